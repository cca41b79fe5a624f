"""https of `serve`: self-signed and with a certificate of the operator's, and what goes wrong with them."""

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.system.operating import Caller
from tests.system.serving import Platform, running
from tests.system.test_npm_client import client
from upcall.controller import certificate

__all__ = ["client"]

SELF = ("--tls", "self-signed")
NAMES = ["localhost", "127.0.0.1"]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("tls") / "data", *SELF) as platform:
        yield platform


def serve(data: Path, *options: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """One that does not start."""
    return subprocess.run(
        [sys.executable, "-m", "upcall", "serve", "--port", "0", "--data", str(data), *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **(environment or {})},
    )


def curl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["curl", "-s", "-S", *words], capture_output=True, text=True, timeout=60, check=False)


def certificate_file(folder: Path, name: str = "own") -> tuple[Path, Path]:
    """A certificate and its key, in files of their own."""
    pem = certificate.make(NAMES, datetime.now(UTC)).decode()
    key, cut, cert = pem.partition("-----BEGIN CERTIFICATE-----")
    files = folder / f"{name}.crt", folder / f"{name}.key"
    files[0].write_text(cut + cert)
    files[1].write_text(key)
    return files


class TestSelfSigned:
    def test_both_kinds_of_requests_on_one_warm_connection(self, platform: Platform) -> None:
        assert platform.url == f"https://127.0.0.1:{platform.port}"
        caller = Caller(platform, platform.auth)
        caller.make()
        for _ in range(3):
            assert (caller.invoke(), caller.list()) == (200, 200)
        status, record = caller.call("POST", "actions/hello?blocking=true", {"a": "x" * 900_000})
        assert (status, len(record["response"]["result"]["a"])) == (200, 900_000)
        assert caller.call("POST", "actions/hello?blocking=true", {"a": "x" * 2_000_000})[0] == 413
        caller.close()

    @pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
    def test_curl_trusts_it_by_its_file(self, platform: Platform, name: str) -> None:
        trusted = ["--cacert", str(platform.data / "tls.crt"), f"https://{name}:{platform.port}/api/v1"]
        done = curl(*trusted)
        assert (done.returncode, '"description"' in done.stdout) == (0, True), done.stderr
        assert curl(*trusted[2:]).returncode == 60, "nobody else's trust is asked for"

    def test_a_strict_verifier_has_nothing_to_say(self, platform: Platform) -> None:
        context = ssl.create_default_context(cafile=platform.data / "tls.crt")
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        with (
            socket.create_connection(("127.0.0.1", platform.port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            assert secure.version() in ("TLSv1.2", "TLSv1.3")
            assert secure.getpeercert() is not None

    def test_the_npm_client_that_ignores_certificates(self, platform: Platform, client: Path) -> None:
        script = (
            "const ow = require('openwhisk')({ apihost: process.argv[1], api_key: process.argv[2],"
            " ignore_certs: process.argv[3] === 'yes' });"
            "ow.actions.list().then(found => console.log('listed', found.length),"
            " error => console.log(String(error)))"
        )
        seen = [
            subprocess.run(
                ["node", "-e", script, platform.url, platform.auth, ignores],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
                env={**os.environ, "NODE_PATH": str(client.parent / "node_modules")},
            ).stdout
            for ignores in ("yes", "no")
        ]
        assert seen[0].startswith("listed")
        assert "self-signed certificate" in seen[1]

    def test_plain_http_and_old_tls_are_closed_and_harm_nobody(self, platform: Platform) -> None:
        assert curl(f"http://127.0.0.1:{platform.port}/api/v1").returncode in (52, 56)
        assert curl("-k", "--tls-max", "1.1", f"https://127.0.0.1:{platform.port}/api/v1").returncode == 35
        assert platform.call("GET", "actions").status == 200
        assert "Traceback" not in platform.output.read_text()

    def test_the_files_and_the_hints(self, platform: Platform) -> None:
        assert (platform.data / "tls.pem").stat().st_mode & 0o777 == 0o600
        assert "PRIVATE" not in (platform.data / "tls.crt").read_text()
        said = platform.output.read_text()
        assert "wsk -i" in said
        assert f"curl --cacert {platform.data}/tls.crt" in said

    def test_actions_reach_the_api_as_before(self, platform: Platform) -> None:
        platform.create("where", "import os\ndef main(args): return {'host': os.environ['__OW_API_HOST']}")
        answer = platform.invoke("where", query="blocking=true&result=true")
        assert answer.body["host"].startswith("http://"), "the way inside ends in this process"


class TestLife:
    def test_it_stays_over_restarts_and_is_renewed_for_new_names_and_near_its_end(self, tmp_path: Path) -> None:
        data = tmp_path / "data"

        def after_a_start(*options: str) -> bytes:
            with running(data, *SELF, *options) as platform:
                assert platform.call("GET", "actions").status == 200
                assert platform.stop() == 0
            return (data / "tls.crt").read_bytes()

        first = after_a_start()
        assert after_a_start() == first
        (data / "tls.crt").unlink()
        assert after_a_start() == first
        names = ["localhost", socket.gethostname(), "127.0.0.1", "::1"]
        elsewhere = certificate.make(["elsewhere"], datetime.now(UTC))
        old = certificate.make(names, datetime.now(UTC) - timedelta(days=800))
        young = certificate.make(names, datetime.now(UTC) - timedelta(days=700))
        for held, stays in ((elsewhere, False), (old, False), (young, True)):
            (data / "tls.pem").write_bytes(held)
            assert (after_a_start() == certificate.public_part(held)) is stays
        (data / "tls.pem").write_text("garbage")
        after_a_start()

    def test_it_stops_in_order_with_open_connections(self, tmp_path: Path) -> None:
        with running(tmp_path / "data", *SELF) as platform:
            idle, half = platform.connect(), socket.create_connection(("127.0.0.1", platform.port))
            idle.connect()
            half.sendall(b"\x16\x03\x01")  # the begin of a handshake
            assert platform.stop() == 0
            half.close()
            idle.close()
        assert "Traceback" not in platform.output.read_text()


class TestTheOperatorsCertificate:
    def test_it_is_served(self, tmp_path: Path) -> None:
        cert, key = certificate_file(tmp_path)
        with running(tmp_path / "data", "--tls-cert", str(cert), "--tls-key", str(key)) as platform:
            url = f"https://localhost:{platform.port}/api/v1"
            assert curl("--cacert", str(cert), url).returncode == 0
            assert not (platform.data / "tls.pem").exists()

    def test_one_file_may_hold_both(self, tmp_path: Path) -> None:
        cert, key = certificate_file(tmp_path)
        both = tmp_path / "both.pem"
        both.write_text(key.read_text() + cert.read_text())
        with running(tmp_path / "data", "--tls-cert", str(both)) as platform:
            assert curl("--cacert", str(cert), platform.url).returncode == 0

    def test_what_is_wrong_is_said_in_one_line(self, tmp_path: Path) -> None:
        cert, key = certificate_file(tmp_path)
        _, other = certificate_file(tmp_path, "other")
        garbage, locked = tmp_path / "garbage", tmp_path / "locked.key"
        garbage.write_text("no PEM")
        form = Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        locked.write_bytes(load_pem_private_key(key.read_bytes(), None).private_bytes(*form))
        wrong = {
            ("--tls-cert", str(cert), "--tls-key", str(other)): "does not belong to the certificate",
            ("--tls-cert", str(cert)): "name the key's file with --tls-key",
            ("--tls-key", str(key)): "name that with --tls-cert",
            ("--tls-cert", str(tmp_path / "none"), "--tls-key", str(key)): "No such file or directory",
            ("--tls-cert", str(garbage), "--tls-key", str(key)): "in PEM form",
            ("--tls-cert", str(cert), "--tls-key", str(locked)): "private key is encrypted",
            (*SELF, "--tls-cert", str(cert)): "leave --tls-cert and --tls-key away",
            ("--tls", "perhaps"): "off, self-signed",
        }
        for options, text in wrong.items():
            done = serve(tmp_path / "data", *options)
            assert done.returncode == 1, options
            assert text in done.stderr
            assert done.stderr.count("\n") == 1

    def test_without_the_package_the_way_to_it_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "cryptography.py").write_text("raise ModuleNotFoundError('cryptography')\n")
        missing = {"PYTHONPATH": str(tmp_path)}
        done = serve(tmp_path / "data", *SELF, environment=missing)
        assert done.returncode == 1
        assert "--tls self-signed needs the package cryptography: " in done.stderr
        assert done.stderr.endswith("python -m pip install cryptography\n")
        cert, key = certificate_file(tmp_path)
        options = ("--tls-cert", str(cert), "--tls-key", str(key))
        with running(tmp_path / "data", *options, environment=missing) as platform:
            assert curl("--cacert", str(cert), platform.url).returncode == 0
