"""How the command line finds its server, and what it says of one that it cannot use."""

import http.server
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.serving import Platform, running
from tests.system.shell import Shell
from upcall.cli import client
from upcall.cli.properties import Properties, Value
from upcall.cli.refusal import Refused

PEM = Path(__file__).with_name("certificate.pem")
"""Self-signed, for localhost, with its key; valid until 2126. For tests, and a secret of nobody's."""
KEY = "uuid:key"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("cli") / "data") as started:
        yield started


class Reply(http.server.BaseHTTPRequestHandler):
    """Answers every request with the server's `reply`: status, headers, body."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        status, headers, body = self.server.reply  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def replying(
    status: int, body: bytes, headers: dict[str, str] | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[http.server.ThreadingHTTPServer]:
    """A server on a free port of localhost."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Reply)
    server.reply, server.asked = (status, headers or {}, body), []  # type: ignore[attr-defined]
    server.handle_error = lambda *args: None  # type: ignore[method-assign]
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def refused(shell: Shell, *words: str, **variables: str) -> tuple[int, str]:
    """Exit code and the one line."""
    done = shell.upcall(*words, **variables)
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    return done.code, done.err


def test_the_data_folder_s_server_is_found_without_any_setting(platform: Platform, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".local/share").mkdir(parents=True)
    (home / ".local/share/upcall").symlink_to(platform.data)
    shell = Shell(home)
    assert shell.good("action", "list").out == "actions\n"
    told = shell.upcall("-v", "action", "list").err
    properties = home / ".local/share/upcall/.wskprops"
    assert f"apihost: {platform.url}, from {properties}\n" in told
    assert f"auth: (hidden), from {properties}\n" in told
    assert re.search(rf"> GET {platform.url}/api/v1/namespaces/_/actions\?limit=30&skip=0\n< 200 OK \(", told)
    assert platform.auth not in told


def test_the_nearer_setting_counts(platform: Platform, tmp_path: Path) -> None:
    shell = Shell.of(platform, tmp_path)
    shell.write(".wskprops", f"# mine\nAPIHOST = {platform.url}\nAUTH={KEY}\n")
    shell.write("other", f"APIHOST={platform.url}\nAUTH={platform.auth}\nNAMESPACE=guest\n")
    code, text = refused(shell, "action", "list")
    assert (code, "The supplied authentication is invalid" in text) == (145, True)
    other = shell.upcall("-v", "action", "list", WSK_CONFIG_FILE="~/other")
    assert (other.code, f"auth: (hidden), from {shell.home / 'other'}" in other.err) == (0, True)
    assert "namespaces/guest/actions" in other.err
    in_action = shell.upcall("-v", "action", "list", __OW_API_KEY=platform.auth, __OW_API_HOST=platform.url)
    assert (in_action.code, "auth: (hidden), from __OW_API_KEY" in in_action.err) == (0, True)
    own = shell.upcall("-v", "action", "list", __OW_API_KEY=KEY, UPCALL_AUTH=platform.auth)
    assert (own.code, "from UPCALL_AUTH" in own.err) == (0, True)
    assert shell.upcall("--auth", platform.auth, "action", "list", UPCALL_AUTH=KEY).code == 0


def test_the_data_folder_s_key_is_for_its_own_server_alone(platform: Platform, tmp_path: Path) -> None:
    shell = Shell.of(platform, tmp_path)
    with replying(200, b"[]") as server:
        other = f"http://127.0.0.1:{server.server_port}"
        code, text = refused(shell, "action", "list", "--apihost", other)
        assert (code, f"no key for {other} is known" in text) == (2, True)
        assert server.asked == []  # type: ignore[attr-defined]
    assert shell.upcall("action", "list", "--apihost", platform.url).code == 0


def test_without_a_server(tmp_path: Path) -> None:
    code, text = refused(Shell(tmp_path), "action", "list")
    assert (code, "no server is known: start one here with 'upcall serve'" in text) == (2, True)


def test_debugging_shows_all_but_keys(platform: Platform, tmp_path: Path) -> None:
    told = Shell.of(platform, tmp_path).upcall("namespace", "list", "-d").err
    assert '< ["guest"]' in told
    assert "> Authorization: (hidden)" in told
    assert platform.auth not in told
    assert re.search(r"> User-Agent: upcall/\S+ \(Linux ", told)


@pytest.mark.parametrize(
    ("host", "code", "says"),
    [
        ("http://127.0.0.1:9", 3, "nothing listens at http://127.0.0.1:9: run 'upcall serve', or name another"),
        ("http://nowhere.invalid", 3, "the host of http://nowhere.invalid is not known: see --apihost"),
        (f"http://{'a' * 80}.invalid", 3, "is not known"),
        ("ftp://localhost", 2, "'ftp://localhost' is no address of a server"),
        ("http://[::1", 2, "is no address"),
        ("http://localhost:99999", 2, "is no address"),
        ("two words", 2, "is no address"),
        ("http://user@localhost", 2, "is no address"),
    ],
)
def test_servers_that_are_none(tmp_path: Path, host: str, code: int, says: str) -> None:
    found, text = refused(Shell(tmp_path), "action", "list", "--apihost", host, "-u", KEY)
    assert (found, says in text) == (code, True)


def test_https_where_the_server_has_none(platform: Platform, tmp_path: Path) -> None:
    code, text = refused(Shell(tmp_path), "action", "list", "--apihost", f"127.0.0.1:{platform.port}", "-u", KEY)
    assert code == 3
    assert f"https://127.0.0.1:{platform.port} does not speak TLS" in text
    assert "write --apihost http://" in text


def tls(client_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    if client_certificate:
        context.load_verify_locations(PEM)
        context.verify_mode = ssl.CERT_REQUIRED
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # later ones refuse when the request is under way
    return context


def test_a_certificate_has_to_be_trusted_or_taken_as_it_is(tmp_path: Path) -> None:
    shell = Shell(tmp_path, UPCALL_AUTH=KEY)
    with replying(200, b'["guest"]', tls=tls()) as server:
        host = f"localhost:{server.server_port}"
        code, text = refused(shell, "namespace", "list", "--apihost", host)
        assert (code, f"the certificate of https://{host} is not trusted (self-signed" in text) == (3, True)
        assert "-i accepts it" in text
        assert shell.good("-i", "namespace", "list", "--apihost", host).out == "namespaces\nguest\n"
        assert shell.good("namespace", "list", "--apihost", host, "--insecure").out == "namespaces\nguest\n"
        assert shell.upcall("namespace", "list", "--apihost", host, __OW_IGNORE_CERTS="true").code == 0
        assert shell.upcall("namespace", "list", "--apihost", host, __OW_IGNORE_CERTS="0").code == 3
        assert shell.good("namespace", "list", "--apihost", host, SSL_CERT_FILE=str(PEM)).code == 0
        plain = refused(shell, "namespace", "list", "--apihost", f"http://{host}")
        assert (plain[0], "if it expects TLS, write --apihost https://" in plain[1]) == (3, True)


def test_serve_s_own_certificate_is_trusted_where_its_data_folder_is(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--tls", "self-signed") as platform:
        properties = (platform.data / ".wskprops").read_text()
        url = f"https://127.0.0.1:{platform.port}"
        assert f"APIHOST={url}\n" in properties
        shell = Shell.of(platform, tmp_path / "home")
        assert shell.good("action", "list").out == "actions\n"
        stranger = Shell(tmp_path / "stranger", UPCALL_APIHOST=url, UPCALL_AUTH=platform.auth)
        assert "is not trusted (self-signed" in refused(stranger, "action", "list")[1]
        assert stranger.good("action", "list", "-i").out == "actions\n"
        (platform.data / "tls.crt").write_text("no certificate")
        code, text = refused(shell, "action", "list")
        assert (code, f"the server's certificate {platform.data / 'tls.crt'} cannot be used" in text) == (1, True)


def test_a_client_s_certificate_is_shown_to_the_server(tmp_path: Path) -> None:
    shell = Shell(tmp_path, UPCALL_AUTH=KEY, SSL_CERT_FILE=str(PEM))
    with replying(200, b"[]", tls=tls(client_certificate=True)) as server:
        asked = ("namespace", "list", "--apihost", f"https://localhost:{server.server_port}")
        assert shell.good(*asked, "--cert", str(PEM), "--key", str(PEM)).code == 0
        code, text = refused(shell, *asked)
        assert (code, "does it want a client's certificate, --cert and --key?" in text) == (3, True)
        assert "the client's certificate nothing cannot be used" in refused(shell, *asked, "--cert", "nothing")[1]


@pytest.mark.parametrize(
    ("status", "headers", "body", "code", "says"),
    [
        (200, {}, b"<html>", 3, "200 OK, and the answer is not that of an OpenWhisk API: is --apihost right?"),
        (502, {}, b"<html>", 246, "502 Bad Gateway, and the answer is not"),
        (308, {"Location": "https://elsewhere"}, b"", 3, "the server redirects to https://elsewhere: give that"),
        (503, {"X-Request-ID": "T"}, b'{"error":"full","code":"T"}', 247, "'_': full (code T)"),
        (404, {}, b'{"error":"nothing\\nat all","code":7}', 148, "'_': nothing at all"),
        (200, {"Content-Length": "5"}, b"[]", 3, "closed the connection without an answer"),
    ],
)
def test_answers_that_are_none(
    tmp_path: Path, status: int, headers: dict[str, str], body: bytes, code: int, says: str
) -> None:
    with replying(status, body, headers) as server:
        shell = Shell(tmp_path, UPCALL_AUTH=KEY, UPCALL_APIHOST=f"http://127.0.0.1:{server.server_port}")
        found, text = refused(shell, "action", "list")
        assert (found, says in text) == (code, True)


def test_an_error_s_shape_in_a_result_is_no_error_of_the_server(tmp_path: Path) -> None:
    body = {"error": "mine", "code": "not this request's"}
    with replying(502, json.dumps(body).encode(), {"X-Request-ID": "T"}) as server:
        shell = Shell(tmp_path, UPCALL_AUTH=KEY, UPCALL_APIHOST=f"http://127.0.0.1:{server.server_port}")
        done = shell.upcall("action", "invoke", "a", "-r")
        assert (done.code, json.loads(done.err)) == (246, body)
        path = "/api/v1/namespaces/_/actions/a?blocking=true&result=true"
        assert server.asked == [path]  # type: ignore[attr-defined]


def test_a_path_before_the_api_and_odd_names_are_kept(tmp_path: Path) -> None:
    with replying(200, b"{}") as server:
        host = f"http://127.0.0.1:{server.server_port}/ow/"
        shell = Shell(tmp_path, UPCALL_AUTH=KEY, UPCALL_APIHOST=host, UPCALL_APIVERSION="v2")
        shell.good("action", "get", "/my ns/p&q/a b?")
        assert server.asked == ["/ow/api/v2/namespaces/my%20ns/actions/p%26q/a%20b%3F?code=false"]  # type: ignore[attr-defined]


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CONNECT", 500)
    monkeypatch.setattr(client, "SILENCE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"http://127.0.0.1:{listener.getsockname()[1]}"
        asking = client.Client(Properties({"apihost": Value(host, ""), "auth": Value(KEY, "")}, ()), lambda text: None)
        with pytest.raises(Refused, match=f"{host} did not answer in time") as caught:
            asking.ask("GET")
    assert caught.value.code == 3


def test_a_server_that_hangs_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        code, text = refused(
            Shell(tmp_path), "action", "list", "--apihost", f"http://127.0.0.1:{listener.getsockname()[1]}", "-u", KEY
        )
        thread.join()
    assert (code, "closed the connection without an answer" in text) == (3, True)


def test_a_refusal_that_comes_before_the_upload_s_end_is_read(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            accepted = listener.accept()[0]
            accepted.recv(1000)
            body = b'{"error":"too much","code":"T"}'
            accepted.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            accepted.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        shell = Shell(tmp_path, UPCALL_AUTH=KEY, UPCALL_APIHOST=f"http://127.0.0.1:{listener.getsockname()[1]}")
        shell.write("large.py", "#" * (20 << 20))
        code, text = refused(shell, "action", "create", "large", "large.py")
        thread.join()
    assert (code, text) == (157, "error: Unable to create action 'large': too much\n")
