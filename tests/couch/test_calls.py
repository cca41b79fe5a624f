"""Calls of CouchDB as OpenWhisk counts and marks them (spec: metrics.md §3, §4)."""

import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.couch.server import Seen, Server
from upcall import markers
from upcall.model.activation import Activation
from upcall.store.couch import CouchStore
from upcall.store.couch_calls import call_of
from upcall.testing import an_action


@pytest.fixture
async def store(couch: Server) -> AsyncIterator[CouchStore]:
    async with CouchStore(couch.url()) as store:
        yield store


def samples(store: CouchStore) -> dict[str, float]:
    """What `/metrics` has of them, counts alone."""
    found = (sample for metric in store.http.calls.metrics() for sample in metric.samples)
    return {each.name: each.value for each in found if each.name.endswith(("_total", "_count", "_sum"))}


async def test_calls_are_counted_and_timed(store: CouchStore) -> None:
    before = samples(store)
    action = an_action()
    revision = await store.put(action)
    await store.get(type(action), action.id, revision)
    store.record(Activation("guest", "hello", "guest", "a" * 32, 1, 2))
    await store.flush()
    after = samples(store)
    grown = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    for name in ("getDocument", "saveDocument", "saveDocumentBulk"):
        assert grown[f"counter_database_{name}_start_total"] >= 1
        assert grown[f"histogram_database_{name}_finish_seconds_count"] == grown[f"counter_database_{name}_start_total"]
    assert grown["histogram_database_batchSize_counter_count"] == 1
    assert grown["histogram_database_batchSize_counter_sum"] == 1
    assert not [name for name in grown if "_error" in name]


async def test_what_is_refused_is_an_error(couch: Server, store: CouchStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "upcall.markers")
    markers.switch(True)

    async def broken(seen: Seen) -> web.Response | None:
        return web.Response(status=500) if seen.path.endswith("/x") else None

    try:
        answer = await store.http.call("PUT", "no-such-database", "y", body=b"{}")
        couch.fault = broken
        refused = await store.http.call("PUT", couch.url().entities, "x", body=b"{}")
    finally:
        markers.switch(False)
    assert (answer.status, refused.status) == (404, 500)
    found = samples(store)
    assert found["counter_database_saveDocument_error_total"] == 1
    assert found["histogram_database_saveDocument_error_seconds_count"] == 1
    names = [
        record.getMessage().partition("[marker:")[2].partition(":")[0]
        for record in caplog.records
        if record.name == markers.log.name
    ]
    states = ("start", "finish", "start", "error")
    assert names == [f"database_saveDocument_{state}" for state in states]


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "db/guest/a", "getDocument"),
        ("GET", "db/a/code", "getDocumentAttachment"),
        ("PUT", "db/a", "saveDocument"),
        ("DELETE", "db/a", "deleteDocument"),
        ("POST", "db/_bulk_docs", "saveDocumentBulk"),
        ("GET", "db/_design/whisks/_view/actions", "queryView"),
        ("GET", "db", None),
        ("GET", "db/_changes", None),
        ("POST", "db/_all_docs", None),
        ("PUT", "db", None),
        ("PUT", "db/_design/whisks", None),
    ],
)
def test_names(method: str, path: str, name: str | None) -> None:
    segments = ("db", "guest/a") if path == "db/guest/a" else tuple(path.split("/"))
    assert call_of(method, segments) == name
