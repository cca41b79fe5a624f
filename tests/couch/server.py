"""A CouchDB 3 for tests, at the level of HTTP (spec: store.md §1): it records every request as it came, and misbehaves
on demand.

What it has that the tests' other server lacks: If-Match counts on writes, nothing without credentials, a deleted
document is told from a missing one, a conflict in `_bulk_docs` also against a tombstone, `+` in a path is a blank.
"""

import asyncio
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Self
from urllib.parse import unquote, unquote_plus

from aiohttp import web

from tests.couch.database import Database, Refusal
from tests.couch.views import Doc
from upcall.model.store_url import CouchUrl

USER, PASSWORD = "whisk_admin", "p:a ss/wörd"
_BASIC = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()
_JSON = ("startkey", "endkey", "key", "descending", "reduce", "include_docs", "skip", "limit", "inclusive_end")
_OTHER = {"start_key": "startkey", "end_key": "endkey", "startkey_docid": "startkey_docid", "stale": "stale"}


class Seen(NamedTuple):
    """A request; path and query as their bytes were."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Fault = Callable[[Seen], Awaitable[web.StreamResponse | None]]


class Server:
    """At a free port of the loopback; `fault` may answer a request in its stead, or cut it off with `Cut`. `chunked`
    answers come without a length, in pieces."""

    def __init__(self) -> None:
        self.databases: dict[str, Database] = {}
        self.seen: list[Seen] = []
        self.fault: Fault | None = None
        self.chunked = False
        self.largest = 8_000_000
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """At the port that it had."""
        self._runner = web.AppRunner(_application(self._answer), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self.port or self._runner.addresses[0][1]

    async def stop(self) -> None:
        """What it holds stays."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    def url(self, prefix: str = "test_") -> CouchUrl:
        return CouchUrl(
            host="127.0.0.1",
            port=self.port,
            username=USER,
            password=PASSWORD,
            subjects=f"{prefix}subjects",
            entities=f"{prefix}whisks",
            activations=f"{prefix}activations",
        )

    def records(self) -> dict[str, Doc]:
        """What the database of activations holds."""
        return {doc["_id"]: doc for doc in self.databases["test_activations"].live() if "activationId" in doc}

    def to(self, end: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path.endswith(end)]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        seen = Seen(request.method, path, query, dict(request.headers), await request.read())
        self.seen.append(seen)
        if self.fault is not None:
            try:
                answer = await self.fault(seen)
            except Cut:
                assert request.transport is not None
                request.transport.abort()
                raise
            if answer is not None:
                return answer
        try:
            if seen.headers.get("Authorization") != _BASIC:
                raise Refusal(401, "unauthorized", "You are not authorized to access this db.")
            status, found = await self._found(request, seen)
        except Refusal as error:
            status, found = error.status, {"error": error.error, "reason": error.reason}
        return found if isinstance(found, web.StreamResponse) else await self._sent(request, status, found)

    async def _sent(self, request: web.Request, status: int, found: Any) -> web.StreamResponse:
        body = json.dumps(found, separators=(",", ":")).encode() + b"\n"
        if not self.chunked:
            return web.Response(status=status, body=body, content_type="application/json")
        answer = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        for at in range(0, len(body), 7):
            await answer.write(body[at : at + 7])
        await answer.write_eof()
        return answer

    async def _found(self, request: web.Request, seen: Seen) -> tuple[int, Any]:
        name, *rest = [unquote_plus(segment) for segment in seen.path[1:].split("/")]
        if not name:
            return 200, {"couchdb": "Welcome", "version": "3.3.3"}
        if name == "_session":
            return 200, {"ok": True, "userCtx": {"name": USER, "roles": ["_admin"]}}
        if not rest or rest == [""]:
            return self._database(seen.method, name)
        database = self.databases.get(name)
        if database is None:
            raise Refusal(404, "not_found", "Database does not exist.")
        query = _query(seen.query)
        if rest[0] == "_design" and rest[2:3] == ["_view"]:
            return 200, database.view(rest[1], rest[3], query)
        if rest == ["_all_docs"]:
            return 200, database.all({**query, **(seen.json if seen.body else {})})
        if rest == ["_bulk_docs"]:
            return 201, await self._bulk(database, seen)
        if rest == ["_changes"]:
            return 200, await _changes(request, database, query)
        id = "/".join(rest[:2]) if rest[0] == "_design" else rest[0]
        return await self._document(database, seen, id, rest[2 if rest[0] == "_design" else 1 :], query)

    def _database(self, method: str, name: str) -> tuple[int, Any]:
        if method == "PUT":
            if name in self.databases:
                raise Refusal(412, "file_exists", "The database could not be created, the file already exists.")
            self.databases[name] = Database()
            return 201, {"ok": True}
        if name not in self.databases:
            raise Refusal(404, "not_found", "Database does not exist.")
        return 200, {"db_name": name, "doc_count": len(self.databases[name].live())}

    async def _bulk(self, database: Database, seen: Seen) -> list[Doc]:
        docs = seen.json["docs"]
        for doc in docs:
            if len(json.dumps(doc, ensure_ascii=False).encode()) > self.largest:
                raise Refusal(413, "document_too_large", doc["_id"])
        rows = database.bulk(docs)
        await _tell(database)
        return rows

    async def _document(
        self, database: Database, seen: Seen, id: str, attachment: list[str], query: dict[str, Any]
    ) -> tuple[int, Any]:
        rev = seen.headers.get("If-Match", "").strip('"') or query.get("rev")
        if seen.method == "GET":  # where If-Match says nothing
            if not attachment:
                return 200, database.shown(id, query.get("rev"), bool(query.get("attachments")))
            database.get(id, query.get("rev"))
            found = database.attached.get(id, {}).get(attachment[0])
            if found is None:
                raise Refusal(404, "not_found", "Document is missing attachment")
            return 200, web.Response(body=found[1], headers={"Content-Type": found[0]})
        if seen.method == "DELETE":
            database.get(id)
            answer = database.write({"_id": id, "_deleted": True}, rev)
        elif attachment:
            answer = database.attach(id, attachment[0], seen.headers["Content-Type"], seen.body, rev)
        else:
            doc = {**seen.json, "_id": id}
            answer = database.write(doc, doc.pop("_rev", None) or rev)
        await _tell(database)
        return 200 if seen.method == "DELETE" else 201, answer


class Cut(Exception):
    """Of a fault: the connection ends without an answer."""


def _application(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Application:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await answer(request)
        except (Cut, ConnectionError):
            return web.Response(status=500)

    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", handle)
    return application


def _query(text: str) -> dict[str, Any]:
    pairs = [part.partition("=") for part in text.split("&") if part]
    given = {_OTHER.get(name, name): unquote(value.replace("+", " ")) for name, _, value in pairs}
    return {name: json.loads(value) if name in (*_JSON, "attachments") else value for name, value in given.items()}


async def _tell(database: Database) -> None:
    async with database.changed:
        database.changed.notify_all()


async def _changes(request: web.Request, database: Database, query: dict[str, Any]) -> Any:
    """Sequences are opaque texts on CouchDB 3."""
    since = query.get("since", "0")
    at = len(database.changes) if since == "now" else int(since.partition("-")[0])
    if query.get("feed") != "continuous":
        rows = [_change(number, *each) for number, each in enumerate(database.changes[at:], at + 1)]
        return {"results": rows[: query.get("limit")], "last_seq": f"{len(database.changes)}-g1AAAA", "pending": 0}
    answer = web.StreamResponse()
    await answer.prepare(request)
    beat = int(query.get("heartbeat", 60_000)) / 1000
    while True:
        while at < len(database.changes):
            at += 1
            await answer.write(json.dumps(_change(at, *database.changes[at - 1])).encode() + b"\n")
        try:
            async with asyncio.timeout(beat), database.changed:
                if at == len(database.changes):
                    await database.changed.wait()
        except TimeoutError:
            await answer.write(b"\n")


def _change(number: int, id: str, rev: str) -> Doc:
    return {"seq": f"{number}-g1AAAA", "id": id, "changes": [{"rev": rev}]}
