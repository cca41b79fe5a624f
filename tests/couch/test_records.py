"""Activation records on their way to CouchDB (spec: store.md §6.3): each is there once, whatever the server does."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec import Raw, structs

from tests.contract.documents import activation
from tests.couch.server import Cut, Fault, Seen, Server
from upcall.model.activation import Response
from upcall.store import couch_writer
from upcall.store.couch_http import CouchHttp
from upcall.store.couch_spill import Spill
from upcall.store.couch_writer import CouchWriter
from upcall.testing import until

BULK = "/test_activations/_bulk_docs"


@asynccontextmanager
async def writing(couch: Server, patience: float = 10.0, **options: Any) -> AsyncIterator[CouchWriter]:
    http = await CouchHttp(couch.url()).open()
    writer = await CouchWriter(http, couch.url().activations, **options).open()
    try:
        yield writer
    finally:
        await writer.close(patience)
        await http.close()


@pytest.fixture
def spill(tmp_path: Path) -> Spill:
    return Spill(tmp_path / "spill.db", 10_000_000)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trouble goes to the disk without a wait."""
    monkeypatch.setattr(couch_writer, "RESTART", 0.0)


def always(answer: Callable[[Seen], int | None]) -> Fault:
    """Answers bulk requests with the status that `answer` says; with none they are served."""

    async def fault(seen: Seen) -> web.StreamResponse | None:
        status = answer(seen) if seen.path == BULK else None
        if status is None:
            return None
        return web.json_response({"error": "odd", "reason": "so"}, status=status)

    return fault


async def cut(seen: Seen) -> None:
    raise Cut


def sizes(couch: Server) -> list[int]:
    return [len(seen.json["docs"]) for seen in couch.to("_bulk_docs")]


async def test_a_record_is_upstreams_document(couch: Server) -> None:
    async with writing(couch) as writer:
        record = activation(1, path="guest/pack/hello", binding="guest/bound")
        assert writer.record(record)
        await writer.flush()
    (request,) = couch.to("_bulk_docs")
    (doc,) = request.json["docs"]
    assert doc.pop("updated") > 1_700_000_000_000
    assert doc == {
        "_id": f"guest/{1:032x}",
        "entityType": "activation",
        "namespace": "guest",
        "name": "hello",
        "subject": "guest-subject",
        "activationId": f"{1:032x}",
        "start": 1,
        "end": 6,
        "duration": 5,
        "response": {"statusCode": 0, "result": {"n": 1}, "size": 7},
        "logs": ["2026-11-23T04:00:00.000000000Z stdout: hi"],
        "version": "0.0.1",
        "publish": False,
        "annotations": json.loads(bytes(record.annotations)),
    }
    assert list(couch.records()) == [record.id]


async def test_one_goes_alone_and_what_comes_meanwhile_shares_the_next(couch: Server) -> None:
    gate = asyncio.Event()

    async def held(seen: Seen) -> None:
        await gate.wait()

    couch.fault = held
    async with writing(couch) as writer:
        for number in range(couch_writer.LANES):
            writer.record(activation(number))
            await until(lambda number=number: len(couch.seen) == number + 1)  # type: ignore[misc]
        for number in range(100, 1300):
            writer.record(activation(number))
        gate.set()
        await writer.flush()
        assert sizes(couch)[:4] == [1, 1, 1, 1]
        assert sorted(sizes(couch)[4:]) == [200, 500, 500]
    assert len(couch.records()) == 1204


async def test_a_group_has_a_bound_of_bytes(couch: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couch_writer, "GROUP_BYTES", 5000)
    async with writing(couch) as writer:
        for number in range(40):
            writer.record(activation(number))
        await writer.flush()
    assert len(couch.records()) == 40
    assert all(len(seen.body) < 5020 for seen in couch.to("_bulk_docs"))
    assert max(sizes(couch)) > 5


@pytest.mark.parametrize("chunked", [False, True])
async def test_the_first_record_of_an_activation_stands(couch: Server, chunked: bool) -> None:
    couch.chunked = chunked
    async with writing(couch) as writer:
        writer.record(activation(1))
        writer.record(structs.replace(activation(1), end=99))
        await writer.flush()
        writer.record(structs.replace(activation(1), end=100))
        writer.record(activation(2))
        await writer.flush()
        assert writer.trouble is None
    assert {id: doc["end"] for id, doc in couch.records().items()} == {activation(1).id: 6, activation(2).id: 7}


async def test_an_answer_that_got_lost_makes_no_second_record(couch: Server) -> None:
    cuts = 3

    async def answers_nothing(seen: Seen) -> None:
        nonlocal cuts
        if cuts:
            cuts -= 1
            couch.databases["test_activations"].bulk(seen.json["docs"])
            raise Cut

    couch.fault = answers_nothing
    async with writing(couch) as writer:
        writer.record(activation(1))
        await writer.flush()
        assert writer.trouble is None, "three times at once again is no trouble"
    assert len(couch.seen) == 4
    assert couch.records()[activation(1).id]["_rev"].startswith("1-")


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 408, 429, 500, 502, 503])
async def test_no_status_loses_a_record(couch: Server, status: int, caplog: pytest.LogCaptureFixture) -> None:
    couch.fault = always(lambda seen: status)
    async with writing(couch) as writer:
        for number in range(20):
            writer.record(activation(number))
        await until(lambda: len(couch.seen) > 5)
        assert writer.trouble is not None
        assert "wörd" not in writer.trouble
        assert await writer.get(activation(3).id) is not None
        assert not couch.records()
        couch.fault = None
        await writer.flush()
        assert writer.trouble is None
    assert len(couch.records()) == 20
    assert caplog.text.count("takes no records") == 1


async def test_what_is_refused_is_told_kept_aside_and_holds_up_nobody(
    couch: Server, spill: Spill, caplog: pytest.LogCaptureFixture
) -> None:
    couch.databases["test_activations"].refused[activation(2).id] = "not this one"
    async with writing(couch, spill=spill) as writer:
        for number in range(5):
            writer.record(activation(number))
        await writer.flush()
        assert (spill.waiting, spill.aside) == (0, 1)
        assert json.loads(await writer.get(activation(2).id) or b"")["start"] == 2
    assert len(couch.records()) == 4
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert activation(2).id in said
    assert "forbidden: not this one" in said
    couch.databases["test_activations"].refused.clear()
    async with writing(couch, spill=Spill(spill.path, 1000)) as writer:
        await until(lambda: len(couch.records()) == 5)
        await until(lambda: writer.spill is not None and not writer.spill.aside)


async def test_without_a_disk_what_is_refused_is_lost_and_said(couch: Server, caplog: pytest.LogCaptureFixture) -> None:
    couch.databases["test_activations"].refused[activation(1).id] = "not this one"
    async with writing(couch) as writer:
        writer.record(activation(1))
        await writer.flush()
        assert writer.lost == 1
    assert "it is lost" in caplog.text


async def test_a_document_too_large_is_stored_without_its_logs_or_its_result(
    couch: Server, caplog: pytest.LogCaptureFixture
) -> None:
    couch.largest = 3000
    long = structs.replace(activation(7), logs=["x" * 5000])
    both = structs.replace(
        activation(8), logs=["x" * 5000], response=Response(1, Raw(b'{"error":"%b"}' % (b"y" * 5000)), 9)
    )
    async with writing(couch) as writer:
        for record in (*map(activation, range(7)), long, both):
            writer.record(record)
        await writer.flush()
    records = couch.records()
    assert len(records) == 9
    assert records[long.id]["response"] == {"statusCode": 0, "result": {"n": 1}, "size": 7}
    assert records[both.id]["response"] == {"statusCode": 1, "size": 9}
    assert records[long.id]["annotations"] == json.loads(bytes(long.annotations))
    size = len(json.dumps(records[long.id]))
    assert size < 3000
    (line,) = records[both.id]["logs"]
    assert line.startswith("1970-01-01T00:00:00.013000000Z stderr: Left out")
    assert line.endswith("logs and result.")
    assert caplog.text.count("takes no document of") == 2


async def test_a_document_that_makes_the_request_unreadable_is_found(couch: Server, spill: Spill) -> None:
    bad = activation(3).id
    couch.fault = always(lambda seen: 400 if bad.encode() in seen.body else None)
    async with writing(couch, spill=spill) as writer:
        for number in range(8):
            writer.record(activation(number))
        await writer.flush()
        assert spill.aside == 1
    assert set(couch.records()) == {activation(number).id for number in range(8)} - {bad}


async def test_a_document_that_breaks_each_request_holds_up_nobody_for_long(couch: Server, spill: Spill) -> None:
    bad = activation(3).id
    couch.fault = always(lambda seen: 500 if bad.encode() in seen.body else None)
    async with writing(couch, spill=spill) as writer:
        for number in range(8):
            writer.record(activation(number))
        await until(lambda: len(couch.records()) == 7)
        number = 100
        while not spill.aside:
            writer.record(activation(number := number + 1))
            await asyncio.sleep(0.01)
        couch.fault = None
        await writer.flush()
        assert await spill.get(bad) is not None
    assert bad not in couch.records()


async def test_what_memory_does_not_hold_goes_to_the_disk_and_out_in_order(
    couch: Server, spill: Spill, at_once: None
) -> None:
    await couch.stop()
    async with writing(couch, spill=spill, max_records=10) as writer:
        for number in range(100):
            while not writer.record(activation(number)):
                await writer.room()
        await asyncio.wait_for(writer.flush(), 30)
        assert len(writer) == 0
        assert spill.waiting == 100
        assert writer.trouble is not None
        assert writer.refusal() is None
        assert json.loads(await writer.get(activation(50).id) or b"")["start"] == 50
        order = [record.id for record in await spill.first(100, 1_000_000)]
        await couch.start()
        await until(lambda: len(couch.records()) == 100)
        await until(lambda: spill.size == 0)
    sent = [doc["_id"] for seen in couch.to("_bulk_docs") for doc in seen.json["docs"]]
    assert list(dict.fromkeys(sent)) == order


async def test_the_next_life_sends_what_the_last_one_left(couch: Server, spill: Spill) -> None:
    await couch.stop()
    async with writing(couch, 0.01, spill=spill) as writer:
        for number in range(30):
            writer.record(activation(number))
    assert writer.lost == 0
    await couch.start()
    async with writing(couch, spill=Spill(spill.path, 10_000_000)):
        await until(lambda: len(couch.records()) == 30)


async def test_a_spill_that_is_full_turns_new_activations_away(couch: Server, tmp_path: Path, at_once: None) -> None:
    await couch.stop()
    spill = Spill(tmp_path / "spill.db", 3000)
    async with writing(couch, 0.01, spill=spill, max_records=20) as writer:
        number = 0
        while writer.refusal() is None:
            writer.record(activation(number := number + 1))
            await asyncio.sleep(0.001)
        refusal = writer.refusal()
        assert refusal is not None
        assert "store.spill" in refusal
        assert "no connection" in refusal
        await couch.start()
        await until(lambda: writer.refusal() is None)
        await writer.flush()
    await until(lambda: not writer.lost)


async def test_memory_alone_slows_the_intake(couch: Server) -> None:
    couch.fault = cut
    async with writing(couch, max_records=3) as writer:
        assert [writer.record(activation(number)) for number in range(5)] == [True] * 3 + [False] * 2
        room = asyncio.ensure_future(writer.room())
        await until(lambda: len(couch.seen) > 8)
        assert not room.done()
        couch.fault = None
        await room
        assert writer.record(activation(5))
    assert len(couch.records()) == 4


async def test_a_list_need_not_wait_for_a_server_that_is_away(couch: Server) -> None:
    couch.fault = cut
    async with writing(couch, 0.01) as writer:
        writer.record(activation(1))
        flushed = asyncio.ensure_future(writer.flush())
        await writer.attempt()
        assert writer.trouble is not None
        assert not flushed.done()
        couch.fault = None
        await flushed
    assert writer.lost == 0


async def test_what_nothing_takes_is_lost_and_said(couch: Server, caplog: pytest.LogCaptureFixture) -> None:
    await couch.stop()
    async with writing(couch, 0.01) as writer:
        writer.record(activation(1))
        await until(lambda: writer.trouble is not None)
    assert writer.lost == 1
    assert "1 activation records are lost: there is no connection to the database" in caplog.text


async def test_answers_that_are_none_of_a_couchdb(couch: Server) -> None:
    texts = iter(["<html>", "[]", '[{"ok":true,"id":"other","rev":"1-a"}]', '{"ok":true}'])

    async def odd(seen: Seen) -> web.StreamResponse | None:
        text = next(texts, None)
        return None if text is None else web.Response(status=201, text=text)

    couch.fault = odd
    async with writing(couch) as writer:
        writer.record(activation(1))
        await writer.flush()
    assert len(couch.seen) == 5
    assert len(couch.records()) == 1
