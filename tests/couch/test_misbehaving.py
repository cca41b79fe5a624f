"""CouchDBs that are not as they should be, documents that others have written: what is told, and what still goes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from tests.contract.documents import action, activation, subject
from tests.couch.server import Cut, Seen, Server
from tests.couch.test_records import BULK, writing
from upcall import errors
from upcall.errors import Away
from upcall.model.activation import Activation
from upcall.model.entities import Action
from upcall.ports import Query
from upcall.store import couch_http, couch_views
from upcall.store.couch import CouchStore
from upcall.store.couch_spill import Spill
from upcall.testing import until

LIST = "/_design/whisks.v2.1.0/_view/activations"
HELLO = "guest%2Fhello"


class Broken(web.StreamResponse):
    """Ends in the middle."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        writer = await super().prepare(request)
        await self.write(b'{"_id":"guest/he')
        assert request.transport is not None
        request.transport.close()
        return writer


@pytest.fixture
async def store(couch: Server) -> AsyncIterator[CouchStore]:
    async with CouchStore(couch.url()) as store:
        await store.put(action())
        for number in range(1, 11):
            store.record(activation(number))
        await store.flush()
        couch.seen.clear()
        yield store


@pytest.mark.parametrize("times", [1, 50])
async def test_a_list_goes_on_though_records_come_as_fast_as_its_pages(
    store: CouchStore, couch: Server, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr(couch_views, "FIRST", 2)
    monkeypatch.setattr(couch_views, "MOST_ROWS", 2)
    pages = 0

    async def busy(seen: Seen) -> None:
        nonlocal pages
        if seen.path.endswith(LIST):
            pages += 1
        for number in (2 * pages, 2 * pages + 1) if 1 < pages <= times + 1 else ():
            record = activation(100 + number)
            doc = {**couch.records()[activation(1).id], "_id": record.id, "start": record.start}
            couch.databases["test_activations"].write({**doc, "activationId": record.activation_id}, None)

    couch.fault = busy
    async with asyncio.timeout(20):
        found = await store.list(Activation, Query(namespace="guest", limit=5, whole=False))
    assert [each.start for each in found] == [10, 9, 8, 7, 6]


@pytest.mark.parametrize("whole", [True, False])
async def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones(
    store: CouchStore, couch: Server, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    monkeypatch.setattr(couch_http, "LARGEST_BODY", 1600)
    found = await store.list(Activation, Query(namespace="guest", limit=10, whole=whole))
    assert [each.start for each in found] == list(range(10, 0, -1))
    monkeypatch.setattr(couch_http, "LARGEST_BODY", 100)
    with pytest.raises(errors.Unavailable, match="its answer has more than"):
        await store.list(Activation, Query(namespace="guest", limit=10, whole=whole))


async def test_one_record_that_is_none_is_left_out_of_lists(
    store: CouchStore, couch: Server, caplog: pytest.LogCaptureFixture
) -> None:
    odd = {"_id": "guest/odd", "entityType": "activation", "namespace": "guest", "start": 5, "annotations": []}
    couch.databases["test_activations"].write({**odd, "name": 7, "activationId": []}, None)
    for whole in (True, False):
        found = await store.list(Activation, Query(namespace="guest", limit=0, whole=whole))
        assert len(found) == 10
    assert caplog.text.count("guest/odd is corrupted and left out of lists") == 2


@pytest.mark.parametrize(
    "text", ["<html>", "", "[]", "{}", '{"_id":"guest/hello"}', '{"_rev":7}', "[" * 100_000, '{"x":"' + "a" * 50]
)
async def test_an_answer_that_is_no_document_says_nothing_of_one(store: CouchStore, couch: Server, text: str) -> None:
    """An Invoker asks again then; a document that cannot be read would end the activation."""

    async def portal(seen: Seen) -> web.StreamResponse | None:
        return None if "_changes" in seen.path else web.Response(text=text)

    couch.fault = portal
    questions: list[Any] = [
        store.get(Action, "guest/hello"),
        store.put(action(), "1-a"),
        store.list(Action, Query(namespace="guest")),
        store.count(Action, Query(namespace="guest")),
        store.recorded([activation(1).id]),
        store.blocked(),
        store.owner("guest"),
    ]
    for question in questions:
        with pytest.raises(errors.Unavailable):
            await question
    couch.fault = None


async def test_a_document_nested_too_deep_is_one_that_cannot_be_read(store: CouchStore, couch: Server) -> None:
    text = '{"_id":"guest/hello","_rev":"1-a","entityType":"action","annotations":' + "[" * 50_000 + "]" * 50_000 + "}"

    async def deep(seen: Seen) -> web.StreamResponse | None:
        return web.Response(text=text) if seen.path.endswith(HELLO) else None

    couch.fault = deep
    with pytest.raises((errors.Unreadable, errors.Unavailable)):
        await store.get(Action, "guest/hello")


async def test_an_answer_that_is_cut_in_the_middle_is_asked_for_again(store: CouchStore, couch: Server) -> None:
    asked = 0

    async def broken(seen: Seen) -> web.StreamResponse | None:
        nonlocal asked
        if not seen.path.endswith(HELLO):
            return None
        asked += 1
        if asked > 1:
            return None
        return Broken(headers={"Content-Length": "500"})

    couch.fault = broken
    assert (await store.get(Action, "guest/hello")).rev.startswith("1-")
    assert asked == 2


@pytest.mark.parametrize("error", ["timeout", "internal_server_error", None])
async def test_records_of_unknown_fate_count_neither_as_there_nor_as_missing(
    store: CouchStore, couch: Server, error: str | None
) -> None:
    id = activation(1).id

    async def unsure(seen: Seen) -> web.StreamResponse | None:
        if not seen.path.endswith("_all_docs"):
            return None
        return web.json_response({"rows": [{"key": id, "error": error}] if error else []})

    couch.fault = unsure
    with pytest.raises(errors.Unavailable, match="does not say which records"):
        await store.recorded([id])
    couch.fault = None
    assert await store.recorded([id, "guest/none"]) == {id}


@pytest.mark.parametrize("line", [b"x" * 3_000_000, b"\xff\xfe", b"[" * 100_000, b"[1]", b'{"seq":1,"id":2}'])
async def test_changes_are_heard_again_after_a_line_that_is_none(store: CouchStore, couch: Server, line: bytes) -> None:
    told = 0

    async def odd(seen: Seen) -> web.StreamResponse | None:
        nonlocal told
        if "feed=continuous" not in seen.query or told:
            return None
        told += 1
        return web.Response(body=line + b"\n")

    couch.fault = odd
    async with CouchStore(couch.url()) as other:
        await until(lambda: told == 1 and other.changes() is not None)
        before = other.changes()
        await store.put(subject("alice", ("alice", "v" * 36, "k" * 64)))
        await until(lambda: other.changes() not in (None, before))


async def test_a_node_that_does_not_know_a_new_database_yet_is_waited_for(couch: Server) -> None:
    couch.databases.clear()

    async def stale(seen: Seen) -> web.StreamResponse | None:
        if "/_design/" not in seen.path:
            return None
        return web.json_response({"error": "not_found", "reason": "Database does not exist."}, status=404)

    couch.fault = stale
    with pytest.raises(Away):
        await CouchStore(couch.url()).open()
    couch.fault = None
    async with CouchStore(couch.url()):
        pass


@pytest.mark.parametrize(
    "row", [{"error": "timeout", "reason": "nodes"}, {"error": "internal_server_error"}, {"ok": True}, {}]
)
async def test_a_record_that_no_node_has_taken_yet_is_no_refused_one(
    couch: Server, tmp_path: Path, row: dict[str, Any]
) -> None:
    times = 2

    async def unsure(seen: Seen) -> web.StreamResponse | None:
        nonlocal times
        if seen.path != BULK or not times:
            return None
        times -= 1
        return web.json_response([{"id": doc["_id"], **row} for doc in seen.json["docs"]], status=202)

    couch.fault = unsure
    spill = Spill(tmp_path / "spill.db", 10_000_000)
    async with writing(couch, spill=spill) as writer:
        writer.record(activation(1))
        await writer.flush()
        assert spill.aside == 0
    assert list(couch.records()) == [activation(1).id]


async def test_what_the_database_cannot_read_is_stored_without_it(
    couch: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Numbers that fit into no double, for one: it says so of the whole request."""

    async def strict(seen: Seen) -> web.StreamResponse | None:
        if seen.path != BULK or b'"result"' not in seen.body:
            return None
        return web.json_response({"error": "bad_request", "reason": "invalid UTF-8 JSON"}, status=400)

    couch.fault = strict
    spill = Spill(tmp_path / "spill.db", 10_000_000)
    async with writing(couch, spill=spill) as writer:
        writer.record(activation(1))
        await writer.flush()
        assert spill.aside == 0
    record = couch.records()[activation(1).id]
    assert record["response"] == {"statusCode": 0, "size": 7}
    assert record["logs"][0].endswith("Left out, as the database cannot read this record: logs and result.")
    assert "cannot read the record of" in caplog.text


async def test_a_proxy_that_finds_requests_bad_puts_no_record_aside(couch: Server, tmp_path: Path) -> None:
    async def proxy(seen: Seen) -> web.StreamResponse | None:
        return web.Response(status=400, text="<html>400 Bad Request</html>") if seen.path == BULK else None

    couch.fault = proxy
    spill = Spill(tmp_path / "spill.db", 10_000_000)
    async with writing(couch, spill=spill) as writer:
        writer.record(activation(1))
        await until(lambda: writer.trouble is not None)
        assert spill.aside == 0
        couch.fault = None
        await writer.flush()
    assert list(couch.records()) == [activation(1).id]


async def test_a_disk_with_room_for_some_keeps_these_at_the_end(couch: Server, tmp_path: Path) -> None:
    async def cut(seen: Seen) -> None:
        raise Cut

    couch.fault = cut
    async with writing(couch, 0.01, spill=Spill(tmp_path / "spill.db", 3000)) as writer:
        for number in range(1, 21):
            writer.record(activation(number))
    assert 0 < writer.lost < 20
    left = await Spill(tmp_path / "spill.db", 3000).open()
    assert left.waiting == 20 - writer.lost
    await left.close()


async def test_a_view_that_is_being_built_holds_up_nothing_else(store: CouchStore, couch: Server) -> None:
    built = asyncio.Event()

    async def building(seen: Seen) -> None:
        if seen.path.endswith(LIST):
            await built.wait()

    couch.fault = building
    lists = [
        asyncio.ensure_future(store.list(Activation, Query(namespace="guest", whole=False)))
        for _ in range(couch_http.CONNECTIONS + 1)
    ]
    await until(lambda: len(couch.to(LIST)) == couch_http.VIEWS)
    async with asyncio.timeout(20):
        await store.get(Action, "guest/hello")
        await store.owner("guest")
        store.record(activation(11))
        await store.flush()
    built.set()
    assert {len(found) for found in await asyncio.gather(*lists)} <= {10, 11}
