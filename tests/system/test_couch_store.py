"""The store in CouchDB beside others, over restarts, and where it cannot be opened."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.contract.documents import action, activation, subject
from tests.couch.server import Server as CouchServer
from tests.system.operating import upcall
from upcall import errors
from upcall.errors import Away, Misconfigured
from upcall.model.activation import Activation
from upcall.model.entities import Action, Limits, UserLimits
from upcall.model.keep import parse_keep
from upcall.model.sizes import MB
from upcall.model.store_url import CouchUrl
from upcall.ports import Query
from upcall.store import choice, couch_changes, couch_retention
from upcall.store.couch import CouchStore
from upcall.store.couch_designs import designs
from upcall.store.couch_http import CouchHttp
from upcall.store.couch_retention import Sweeper
from upcall.store.couch_spill import Spill

if TYPE_CHECKING:
    from tests.system.pouchdb import Server

pytest_plugins = ["tests.system.pouchdb"]


@pytest.fixture
def url(pouchdb: "Server") -> CouchUrl:
    return pouchdb.databases()


@pytest.fixture
async def store(pouchdb: "Server", url: CouchUrl, tmp_path: Path) -> AsyncIterator[CouchStore]:
    async with CouchStore(url, spill=Spill(tmp_path / "spill.db", MB)) as store:
        yield store
        pouchdb.start()


async def eventually(test: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not test():
            await asyncio.sleep(0.01)


class TestOpening:
    async def test_what_is_missing_is_made_with_upstreams_names(self, store: CouchStore) -> None:
        for database, documents in designs(store.http.url).items():
            for name, views in documents.items():
                answer = await store.http.read(database, "_design", name)
                assert msgspec.json.decode(answer.body)["views"] == views

    async def test_a_design_document_that_is_there_is_used_and_never_replaced(self, url: CouchUrl) -> None:
        http = await CouchHttp(url).open()
        await http.write("PUT", url.entities)
        theirs = {"views": {"actions": {"map": "function (doc) { emit([doc.namespace, doc.updated], 1); }"}}}
        await http.write("PUT", url.entities, "_design", "whisks.v2.1.0", body=msgspec.json.encode(theirs))
        async with CouchStore(url) as store:
            await store.put(action())
            assert [doc.name for doc in await store.list(Action, Query(namespace="guest"))] == ["hello"]
            kept = msgspec.json.decode((await http.read(url.entities, "_design", "whisks.v2.1.0")).body)
            assert kept["views"] == theirs["views"]
            with pytest.raises(errors.Unavailable, match="is not there"):
                await store.count(type("Trigger", (Action,), {"entity_type": "trigger"}), Query(namespace="guest"))
        await http.close()

    async def test_many_that_start_together_make_them_once(self, url: CouchUrl) -> None:
        stores = await asyncio.gather(*(CouchStore(url).open() for _ in range(4)))
        await asyncio.gather(*(store.close() for store in stores))

    async def test_an_invoker_makes_nothing_and_says_what_is_missing(self, url: CouchUrl) -> None:
        with pytest.raises(Misconfigured, match=f"there is no database '{url.entities}'") as refused:
            await CouchStore(url, part="invoker").open()
        assert url.password not in str(refused.value)
        async with CouchStore(url), CouchStore(url, part="invoker") as invoker:
            assert invoker.changes() is not None

    async def test_a_wrong_password_is_told_without_it(self, url: CouchUrl) -> None:
        wrong = msgspec.structs.replace(url, password="another")
        with pytest.raises(Misconfigured, match="refuses the user 'admin' or the password") as refused:
            await CouchStore(wrong).open()
        assert "another" not in str(refused.value)
        assert not isinstance(refused.value, Away)

    async def test_who_gives_no_password_is_told_so(self) -> None:
        """By the tests' CouchDB 3: the stand-in lets everybody read."""
        async with CouchServer() as server:
            nobody = msgspec.structs.replace(server.url(), username="", password="")
            with pytest.raises(Misconfigured, match="the database refuses requests without a user"):
                await CouchStore(nobody).open()

    async def test_a_server_that_is_not_there_yet_is_waited_for(
        self, pouchdb: "Server", url: CouchUrl, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        pouchdb.kill()

        async def opened() -> None:
            async with choice.opened(url, tmp_path, "normal") as store:
                await store.put(action())

        opening = asyncio.create_task(opened())
        await eventually(lambda: "does not answer" in caplog.text)
        pouchdb.start()
        await opening
        assert url.password not in caplog.text

    async def test_no_tls_is_an_error_that_nobody_waits_for(self, url: CouchUrl, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured, match="does not speak TLS") as refused:
            async with choice.opened(msgspec.structs.replace(url, protocol="https"), tmp_path, "normal"):
                pass
        assert not isinstance(refused.value, Away)

    def test_a_command_beside_it_works(self, pouchdb: "Server", url: CouchUrl, tmp_path: Path) -> None:
        place = pouchdb.url(url.entities.removesuffix("whisks"))
        made = upcall("user", "create", "alice", "--store", place, data=tmp_path)
        assert made.code == 0, made
        got = upcall("user", "get", "alice", "--store", place, data=tmp_path)
        assert got.out.strip() == made.out.strip()


class TestSharing:
    async def test_a_change_by_another_process_is_told(self, store: CouchStore, url: CouchUrl) -> None:
        before = store.changes()
        assert before is not None
        async with CouchStore(url, part="guest") as other:
            await other.put(subject("alice-s", ("alice", "u1", "k1")))
            await eventually(lambda: store.changes() not in (before, None))
            before = store.changes()
            await other.put(Limits("alice", UserLimits(fires_per_minute=1)))
            await eventually(lambda: store.changes() not in (before, None))
            assert other.changes() is None

    async def test_two_write_one_document_and_one_of_them_is_first(self, store: CouchStore, url: CouchUrl) -> None:
        async with CouchStore(url) as other:
            rev = await store.put(action())
            ends = await asyncio.gather(
                *(each.put(action(code=str(n)), rev) for n, each in enumerate([store, other] * 4)),
                return_exceptions=True,
            )
            assert sum(isinstance(end, str) for end in ends) == 1
            assert all(isinstance(end, str | errors.Conflict) for end in ends)

    async def test_a_reader_beside_a_writer_never_sees_half_an_action(self, store: CouchStore, url: CouchUrl) -> None:
        """Code and version of one revision."""

        async def write() -> None:
            rev = None
            for number in range(30):
                doc = action(code=f"# {number}\n" + "x" * 20000)
                doc.version = f"0.0.{number}"
                rev = await store.put(doc, rev)

        async with CouchStore(url, part="invoker") as reader:
            writing = asyncio.create_task(write())
            seen: set[str] = set()
            while not writing.done():
                try:
                    found = (await reader.get(Action, "guest/hello")).doc
                except errors.NotFound:
                    assert not seen
                    continue
                assert isinstance(found, Action)
                assert str(found.exec.code).startswith(f"# {found.version.rpartition('.')[2]}\n")
                seen.add(found.version)
            await writing
            assert len(seen) > 1


class TestAbsence:
    async def test_nothing_is_known_of_accounts_while_the_server_is_away(
        self, store: CouchStore, pouchdb: "Server"
    ) -> None:
        before = store.changes()
        pouchdb.kill()
        await eventually(lambda: store.changes() is None)
        with pytest.raises(errors.Unavailable, match="there is no connection to the database"):
            await store.get(Action, "guest/hello")
        with pytest.raises(errors.Unavailable, match="there is no connection to the database"):
            await store.put(action())
        pouchdb.start()
        await eventually(lambda: store.changes() is not None)
        assert store.changes() != before
        await store.put(action())

    async def test_a_server_that_says_nothing_is_away(
        self, pouchdb: "Server", url: CouchUrl, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(couch_changes, "BEAT", 0.2)
        monkeypatch.setattr(couch_changes, "SILENCE", 0.6)
        async with CouchStore(url) as store:
            pouchdb.pause()
            try:
                await eventually(lambda: store.changes() is None)
            finally:
                pouchdb.resume()
            await eventually(lambda: store.changes() is not None)

    async def test_records_wait_for_the_server(self, store: CouchStore, pouchdb: "Server") -> None:
        pouchdb.kill()
        for number in range(1, 51):
            assert store.record(activation(number))
        assert (await store.get(Activation, activation(7).id)).doc == activation(7)
        pouchdb.start()
        await eventually(lambda: store.pending == 0 and store.trouble is None)
        found = await store.list(Activation, Query(namespace="guest", limit=0))
        while len(found) < 50:
            found = await store.list(Activation, Query(namespace="guest", limit=0))
        assert [doc.start for doc in found] == list(range(50, 0, -1))


class TestRetention:
    async def test_what_is_older_goes_in_steps(self, store: CouchStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(couch_retention, "ROWS", 20)
        for number in range(1, 101):
            store.record(activation(number, at=number * 1000))
        await store.flush()
        sweeper = Sweeper(store.http, parse_keep("1h"), clock=lambda: 3600 + 71)
        assert await sweeper.sweep() == 70
        left = await store.list(Activation, Query(namespace="guest", limit=0))
        assert sorted(doc.start for doc in left) == [number * 1000 for number in range(71, 101)]
        assert await sweeper.sweep() == 0

    async def test_two_may_sweep_at_once(self, store: CouchStore) -> None:
        for number in range(1, 101):
            store.record(activation(number))
        await store.flush()
        sweepers = [Sweeper(store.http, parse_keep("1h")) for _ in range(2)]
        assert sum(await asyncio.gather(*(sweeper.sweep() for sweeper in sweepers))) >= 100
        assert await store.count(Activation, Query(namespace="guest")) == 0

    async def test_a_bound_of_size_is_said_not_to_be_held(
        self, store: CouchStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert await Sweeper(store.http, parse_keep("1GB")).sweep() == 0
        assert "how large CouchDB's files are is not bound from here" in caplog.text
