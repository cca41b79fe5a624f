"""One request to the server's REST API, by the standard library's client: it is loaded in a third of the time that a
general one takes (docs/adr/0007-command-line-client.md).

A server that cannot be reached is `Refused` with exit code 3, in one line that names host, cause and way out; whatever
it answers is an `Answer`. Time-outs: 10 s to connect, then 90 s of silence, for a blocking call is held up to 60 s and
an edge before the server may hold it to 75 s.
"""

import base64
import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from upcall import __version__
from upcall.cli.properties import Properties
from upcall.cli.refusal import NETWORK, USAGE, Refused, exit_code
from upcall.cli.upload import chunks

CONNECT, SILENCE = 10.0, 90.0
"""Seconds."""
ACTIVATION_HEADER = "x-openwhisk-activation-id"

_HOST = re.compile(r"[\w.:%-]+")

Query = Mapping[str, str | int | bool]
Trace = Callable[[str], None]


class Address(NamedTuple):
    """A server's, as `http://127.0.0.1:3233`."""

    scheme: str
    host: str
    port: int | None
    path: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{f':{self.port}' if self.port else ''}{self.path}"


class Answer(NamedTuple):
    """`document` is the decoded body, or None where it is no JSON; `text` is the body."""

    status: int
    reason: str
    headers: Mapping[str, str]
    text: str
    document: Any

    @property
    def tid(self) -> str:
        return self.headers.get("x-request-id", "")

    @property
    def refusal(self) -> str | None:
        """The platform's own error text. An action's result that happens to have the members of an error is none: its
        code is not this request's."""
        body = self.document
        if self.status < 400 or not isinstance(body, dict) or not {"error", "code"} <= body.keys():
            return None
        return str(body["error"]) if not self.tid or body["code"] == self.tid else None


class Client:
    """Asks as one user, in one namespace."""

    def __init__(
        self, properties: Properties, trace: Trace, *, bodies: bool = False, patience: float = SILENCE
    ) -> None:
        self.address = address(properties)
        self._properties = properties
        self._trace = trace
        self._bodies = bodies
        self._patience = patience

    @property
    def namespace(self) -> str:
        return self._properties.get("namespace")

    def ask(self, method: str, *segments: str, query: Query | None = None, body: Any = None, name: str = "") -> Answer:
        """A request to `/namespaces` or below. `name` is what an upload is called."""
        if not self._properties.get("auth"):
            raise Refused(
                f"no key for {self.address} is known: give it with --auth or UPCALL_AUTH, or keep it with "
                f"'upcall property set --auth UUID:KEY'{_looked(self._properties)}",
                USAGE,
            )
        path = "".join(f"/{_quoted(part)}" for part in ("namespaces", *segments))
        return self._send(method, self._api(path) + _asked(query), body, name)

    def operate(self, method: str, path: str, body: Any = None) -> Answer:
        """A request to the server itself, beside the API."""
        return self._send(method, f"{self.address.path}{path}", body, "")

    def describe(self) -> Answer:
        """The API's own description, which needs no key."""
        return self._send("GET", self._api(), None, "")

    def url(self, *segments: str) -> str:
        """Of a path below the API's root, for others to use."""
        return str(self.address._replace(path="")) + self._api("".join(f"/{_quoted(part)}" for part in segments))

    def _api(self, path: str = "") -> str:
        return f"{self.address.path}/api/{_quoted(self._properties.get('apiversion'))}{path}"

    def _send(self, method: str, path: str, body: Any, name: str) -> Answer:
        payload = None if body is None else json.dumps(body).encode()
        headers = self._headers(payload)
        self._say_request(method, path, headers, payload)
        began = time.monotonic()
        try:
            with contextlib.closing(_connection(self.address, self._properties)) as connection:
                response, raw = _exchange(
                    connection, method, path, headers, chunks(payload, name), patience=self._patience
                )
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            raise Refused(_why(self.address, error), NETWORK) from None
        text = raw.decode("utf-8", "replace")
        lowered = {key.lower(): value for key, value in response.getheaders()}
        answer = Answer(response.status, response.reason, lowered, text, _decoded(text))
        self._say_answer(answer, time.monotonic() - began)
        return answer

    def _headers(self, payload: bytes | None) -> dict[str, str]:
        system = os.uname()
        headers = {"Accept": "application/json", "User-Agent": f"upcall/{__version__} ({system[0]} {system[4]})"}
        if auth := self._properties.get("auth"):
            headers["Authorization"] = "Basic " + base64.b64encode(auth.encode("utf-8", "surrogateescape")).decode()
        if payload is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(payload))}
        return headers

    def _say_request(self, method: str, path: str, headers: Mapping[str, str], payload: bytes | None) -> None:
        self._trace(f"> {method} {self.address._replace(path='')}{path}")
        if self._bodies:
            for name, value in headers.items():
                self._trace(f"> {name}: {'(hidden)' if name == 'Authorization' else value}")
            if payload:
                self._trace(f"> {payload.decode()}")

    def _say_answer(self, answer: Answer, seconds: float) -> None:
        self._trace(f"< {answer.status} {answer.reason} ({seconds * 1000:.0f} ms, transaction {answer.tid or '?'})")
        if self._bodies:
            for name, value in answer.headers.items():
                self._trace(f"< {name}: {value}")
            self._trace(f"< {answer.text}")


def require(answer: Answer, what: str) -> Any:
    """The document of a success. Raises Refused: `what` could not be done, why, and the transaction."""
    if answer.status < 300 and answer.document is not None:
        return answer.document
    raise Refused(f"{what}: {reason(answer)}", exit_code(answer.status) if answer.status >= 400 else NETWORK)


def reason(answer: Answer) -> str:
    """Why, in one line."""
    if 300 <= answer.status < 400:
        return f"the server redirects to {answer.headers.get('location', '?')}: give that address with --apihost"
    told = answer.refusal
    if told is None:
        told = f"{answer.status} {answer.reason}, and the answer is not that of an OpenWhisk API: is --apihost right?"
    return f"{told} (code {answer.tid})" if answer.tid else told


def address(properties: Properties) -> Address:
    """Of the text `HOST`, `HOST:PORT` (both mean HTTPS) or a URL. Raises Refused."""
    text = properties.get("apihost")
    if not text:
        raise Refused(
            "no server is known: start one here with 'upcall serve', or name one with --apihost, UPCALL_APIHOST or "
            f"'upcall property set --apihost HOST --auth UUID:KEY'{_looked(properties)}",
            USAGE,
        )
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or parts.query or parts.username:
        raise Refused(f"'{text}' is no address of a server: write HOST or http://HOST:PORT", USAGE)
    return Address(parts.scheme, host, port, parts.path.rstrip("/"))


def _looked(properties: Properties) -> str:
    return f" (looked in {' and '.join(map(str, properties.files))})"


def _connection(where: Address, properties: Properties) -> http.client.HTTPConnection:
    if where.scheme == "http":
        return http.client.HTTPConnection(where.host, where.port, timeout=CONNECT)
    context = ssl.create_default_context()
    if properties.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    cert, key, authority = (properties.get(name) for name in ("cert", "key", "authority"))
    if authority:
        _load(context.load_verify_locations, "the server's certificate", authority)
    if cert:
        _load(context.load_cert_chain, "the client's certificate", cert, key or None)
    return http.client.HTTPSConnection(where.host, where.port, timeout=CONNECT, context=context)


def _load(read: Callable[..., None], what: str, *files: str | None) -> None:
    try:
        read(*files)
    except OSError as error:
        raise Refused(f"{what} {files[0]} cannot be used: {error.strerror or error}") from None


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: Iterable[bytes] | None,
    *,
    patience: float,
) -> tuple[http.client.HTTPResponse, bytes]:
    connection.timeout = min(CONNECT, patience)
    connection.connect()
    connection.sock.settimeout(patience)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        # a server that refuses a body answers before it has read it
        connection.request(method, path, body, headers)
    response = connection.getresponse()
    return response, response.read()


def _why(where: Address, error: OSError | UnicodeError | http.client.HTTPException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"the certificate of {where} is not trusted ({error.verify_message}): -i accepts it all the same"
        case ssl.SSLError() if "ALERT" in (error.reason or ""):
            return f"{where} ended TLS ({error.reason}): does it want a client's certificate, --cert and --key?"
        case ssl.SSLError():
            return f"{where} does not speak TLS ({error.reason}): if it is plain HTTP, write --apihost http://…"
        case socket.gaierror() | UnicodeError() | http.client.InvalidURL():
            return f"the host of {where} is not known: see --apihost"
        case ConnectionRefusedError():
            return f"nothing listens at {where}: run 'upcall serve', or name another server with --apihost"
        case TimeoutError():
            return f"{where} did not answer in time: is it reachable from here?"
        case http.client.HTTPException() | ConnectionError():
            hint = "; if it expects TLS, write --apihost https://…" if where.scheme == "http" else ""
            return f"{where} closed the connection without an answer{hint}"
    return f"{where} cannot be reached: {error.strerror or error}: see --apihost"


def _quoted(segment: str) -> str:
    return quote(segment, safe="", errors="surrogateescape")


def _asked(query: Query | None) -> str:
    if not query:
        return ""
    values = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
    return "?" + urlencode(values, errors="surrogateescape")


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
