"""The stores that the contract suite runs over."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.pair import Pair
from tests.couch.server import Server
from upcall.model.sizes import MB
from upcall.model.store_url import PostgresUrl
from upcall.ports import Store
from upcall.store.couch import CouchStore
from upcall.store.couch_spill import Spill
from upcall.store.fake import FakeStore
from upcall.store.postgres import PostgresStore
from upcall.store.sqlite import SqliteStore


@pytest.fixture(params=["sqlite", "shared", "postgres", "couchdb", "couchdb-wire", "fake"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: SqliteStore | Pair | PostgresStore | CouchStore | FakeStore = FakeStore()
    if request.param == "sqlite":
        made = SqliteStore(tmp_path / "upcall.db")
    elif request.param == "shared":
        made = Pair(tmp_path / "upcall.db")
    elif request.param == "postgres":
        made = PostgresStore(PostgresUrl(await request.getfixturevalue("postgres").database()))
    elif request.param == "couchdb":
        made = CouchStore(request.getfixturevalue("pouchdb").databases(), spill=Spill(tmp_path / "spill.db", MB))
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "couchdb-wire":
            server = await stack.enter_async_context(Server())
            made = CouchStore(server.url(), spill=Spill(tmp_path / "spill.db", MB))
        yield await stack.enter_async_context(made)
