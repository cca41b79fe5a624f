"""HTTP to a CouchDB server (spec: store.md §1), and what its failures mean.

Connections come and go with a pool; credentials go with each request and are in no text that anybody reads. Segments of
a path are encoded each on its own, `/` among the rest, for a document's id is one segment; a blank becomes `%20`, which
CouchDB reads as it reads upstream's `+`, and other servers read too. Nothing is followed elsewhere: an answer that
redirects would take the credentials along.

A read whose connection broke is tried once more. A write is not: nobody knows whether it happened, and who writes knows
what to make of a conflict with himself.
"""

import asyncio
import io
import ssl
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from typing import NamedTuple, Self
from urllib.parse import quote

import aiohttp
import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from upcall.errors import Away, Misconfigured, Unavailable
from upcall.model import texts
from upcall.model.names import Json
from upcall.model.sizes import MB
from upcall.model.store_url import CouchUrl
from upcall.store.couch_calls import Calls, call_of

CONNECTIONS = 32
"""At most, of one process."""
VIEWS = 8
"""Of them, those that wait for views of one database: an index may be in the building for minutes."""
PATIENCE = 60.0
"""Seconds that a request may take: a view that was not asked for long is brought up to date first."""
CONNECT = 5.0
"""Seconds to get a connection."""
LARGEST_BODY = 128 * MB
"""Of an answer: code of 48 MB takes 64 as base64, lists end at 64."""

LARGEST_LINE = MB
LARGE = 256 * 1024
"""Bytes of a body that is sent in pieces."""

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What raises where an answer is not what it should be, or nested too deep."""
FAILURES = (aiohttp.ClientError, OSError, TimeoutError)
"""What raises when no answer came."""

JSON: Mapping[str, str] = {"Content-Type": "application/json"}
NOTHING: Mapping[str, str] = {}


class Oversized(Unavailable):
    """The answer is larger than any may be."""


class Answer(NamedTuple):
    """Of the server; `body` is what it is, JSON but for attachments."""

    status: int
    body: bytes

    @property
    def fine(self) -> bool:
        return 200 <= self.status < 300


class _Fault(msgspec.Struct):
    error: str = ""
    reason: str | None = None


class CouchHttp:
    """To one server; `open` it first. Several tasks may call at once."""

    def __init__(self, url: CouchUrl, connections: int = CONNECTIONS) -> None:
        self.url = url
        self._connections = connections
        self.calls = Calls()
        self._session: aiohttp.ClientSession | None = None
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(VIEWS))

    async def open(self) -> Self:
        """Asks nothing of the server."""
        headers = {"Accept": "application/json"}
        if self.url.username or self.url.password:
            headers["Authorization"] = aiohttp.encode_basic_auth(self.url.username, self.url.password, "utf-8")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def call(
        self,
        method: str,
        *segments: str,
        query: Mapping[str, str] = NOTHING,
        body: bytes | None = None,
        headers: Mapping[str, str] = NOTHING,
        patience: float = PATIENCE,
    ) -> Answer:
        """One request, whatever its answer; a body is JSON unless `headers` say otherwise. Raises FAILURES, Oversized,
        and Unavailable after `close`."""
        if self._session is None:
            raise Unavailable(texts.store_silent("it is closed"))
        sent = {**JSON, **headers} if body is not None else dict(headers)
        timeout = aiohttp.ClientTimeout(total=patience, sock_connect=CONNECT)
        target, what = self.target(segments, query), call_of(method, segments)
        # the library sends what is large in pieces only from a file
        data = io.BytesIO(body) if body is not None and len(body) > LARGE else body
        with self.calls.timed(what) as ended:
            async with self._session.request(
                method, target, data=data, headers=sent, allow_redirects=False, timeout=timeout
            ) as answer:
                ended(answer.status)
                return Answer(answer.status, await _bounded(answer))

    async def read(
        self,
        *segments: str,
        query: Mapping[str, str] = NOTHING,
        headers: Mapping[str, str] = NOTHING,
        absent: bool = True,
    ) -> Answer:
        """GET: 2xx, or 404 where `absent` says that this is an answer. Raises Unavailable, Oversized among it."""
        try:
            try:
                answer = await self.call("GET", *segments, query=query, headers=headers)
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
                answer = await self.call("GET", *segments, query=query, headers=headers)
        except FAILURES as error:
            raise Unavailable(texts.store_silent(cause(error))) from error
        if answer.fine or (absent and answer.status == 404):
            return answer
        raise Unavailable(texts.store_silent(self.refusal(answer)))

    async def view(self, database: str, design: str, name: str, query: Mapping[str, str]) -> Answer:
        """As `read`, in turns with others."""
        turn = self._turns[database]
        try:
            async with asyncio.timeout(PATIENCE):
                await turn.acquire()
        except TimeoutError as error:
            raise Unavailable(texts.store_silent("its views are busy")) from error
        try:
            return await self.read(database, "_design", design, "_view", name, query=query)
        finally:
            turn.release()

    async def write(
        self,
        method: str,
        *segments: str,
        query: Mapping[str, str] = NOTHING,
        body: bytes | None = None,
        headers: Mapping[str, str] = NOTHING,
    ) -> Answer:
        """2xx, 404 or 409. Raises Unavailable, and then nobody knows whether anything was written."""
        try:
            answer = await self.call(method, *segments, query=query, body=body, headers=headers)
        except FAILURES as error:
            raise Unavailable(texts.store_refuses(cause(error))) from error
        if answer.fine or answer.status in (404, 409):
            return answer
        raise Unavailable(texts.store_refuses(self.refusal(answer)))

    async def lines(self, *segments: str, query: Mapping[str, str], silence: float) -> AsyncGenerator[bytes]:
        """Of an answer that goes on, without empty ones, as they come. Raises FAILURES, TimeoutError among them where
        nothing comes for `silence` seconds; Unavailable."""
        if self._session is None:
            raise Unavailable(texts.store_silent("it is closed"))
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=silence)
        async with self._session.get(
            self.target(segments, query),
            headers={"Accept-Encoding": "identity"},  # what is compressed waits until there is enough of it
            allow_redirects=False,
            timeout=timeout,
            read_bufsize=LARGEST_LINE,
        ) as answer:
            if answer.status != 200:
                raise Unavailable(texts.store_silent(self.refusal(Answer(answer.status, await _bounded(answer)))))
            try:
                async for line in answer.content:
                    if line.strip():
                        yield line
            except (HttpProcessingError, ValueError) as error:
                raise Unavailable(texts.store_silent("a line of its answer has no end")) from error

    def target(self, segments: tuple[str, ...], query: Mapping[str, str]) -> URL:
        path = "/".join(quote(segment, safe="", errors="surrogatepass") for segment in segments)
        asked = "&".join(f"{name}={quote(value, safe='', errors='surrogatepass')}" for name, value in query.items())
        return URL(f"{self.url.url}/{path}{'?' if asked else ''}{asked}", encoded=True)

    def refusal(self, answer: Answer) -> str:
        """In words, what the answer says is wrong."""
        if answer.status == 401:
            who = f"the user '{self.url.username}' or the password" if self.url.username else "requests without a user"
            return f"the database refuses {who}"
        said = fault(answer)
        if answer.status == 403:
            return f"the database does not allow this to the user '{self.url.username}'{said and f' ({said})'}"
        return f"the database answers {answer.status}{said and f' ({said})'}"

    def unusable(self, why: str) -> Misconfigured:
        """Where the store cannot even be opened."""
        return Misconfigured(self._unusable(why, "Look"))

    def away(self, error: Exception) -> Misconfigured:
        """The same where no answer came; Away where one may come in a moment."""
        why = cause(error)
        if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError | aiohttp.InvalidURL):
            return Misconfigured(self._unusable(why, "Look"))
        if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror:
            why = error.os_error.strerror
        return Away(self._unusable(why, "Look whether the server runs, and"), why)

    def _unusable(self, why: str, look: str) -> str:
        return (
            f"the store {self.url.masked} cannot be used: {why}. {look} whether the store's URL (--store, "
            "UPCALL_STORE, or whisk.couchdb) names it and a user who may use its databases"
        )


def fault(answer: Answer) -> str:
    """What CouchDB says of a failure: `error: reason`; empty where it says nothing readable."""
    try:
        said = msgspec.json.decode(answer.body, type=_Fault)
    except UNREADABLE:
        return ""
    return ": ".join(part for part in (said.error, said.reason or "") if part)[:300]


def cause(error: Exception) -> str:
    """Of a failure of the way to the server, in words, without addresses, users or passwords."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        told = error.certificate_error
        return f"the server's certificate is not trusted ({getattr(told, 'verify_message', '') or 'it does not fit'})"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "the server does not speak TLS as it should"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the database's answer broke off"
    if isinstance(error, TimeoutError):
        return "the database does not answer"
    return "there is no connection to the database"


def decoded(answer: Answer) -> Json:
    """Raises Unavailable where this is no JSON."""
    try:
        return msgspec.json.decode(answer.body)
    except UNREADABLE as error:
        raise Unavailable(texts.store_silent("the database's answer is no JSON")) from error


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > LARGEST_BODY:
            answer.close()
            raise Oversized(texts.store_silent(f"its answer has more than {LARGEST_BODY // MB} MB"))
    return bytes(body)
