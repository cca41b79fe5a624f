"""`upcall import couchdb`: a whole OpenWhisk, as its releases have written it, comes over."""

import asyncio
import base64
import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system import openwhisk
from tests.system.openwhisk import ALL, PASSWORD, USER, Databases, Json, action, entity, record, run, url_of
from tests.system.operating import upcall
from tests.system.serving import running
from upcall.errors import NotFound, Unavailable
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Action, Package, Rule, Subject, Trigger
from upcall.model.names import FullyQualifiedName
from upcall.model.store_url import PostgresUrl
from upcall.ports import Stored
from upcall.store.couch_http import CouchHttp
from upcall.store.postgres import PostgresStore
from upcall.store.sqlite import SqliteStore
from upcall.transfer.copying import Copying
from upcall.transfer.couch import CouchSource
from upcall.transfer.report import Report

if TYPE_CHECKING:
    from tests.system.postgres import Server as Postgres
    from tests.system.pouchdb import Server

pytest_plugins = ["tests.system.postgres", "tests.system.pouchdb"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def empty(pouchdb: "Server") -> Databases:
    return Databases(pouchdb.databases()).make()


@pytest.fixture(scope="module")
def filled(pouchdb: "Server") -> Databases:
    databases = Databases(pouchdb.databases()).make()
    openwhisk.fill(databases)
    return databases


async def read(data: Path, kind: type[Document], id: str) -> Any:
    async with SqliteStore(data / "upcall.db") as store:
        return (await store.get(kind, id)).doc


class TestEverything:
    def test_all_of_it_is_there_and_a_second_run_finds_it_so(self, filled: Databases, data: Path) -> None:
        assert run(filled, data=data) == (0, ALL, "")
        assert run(filled, data=data) == (0, ALL.replace("copied", "there already"), "")

    async def test_code_of_every_form(self, filled: Databases, data: Path) -> None:
        assert run(filled, data=data).code == 0
        execs = {}
        async with SqliteStore(data / "upcall.db") as store:
            for id in sorted(filled.ids(filled.url.entities)):
                if "exec" in filled.read(filled.url.entities, id):
                    doc = (await store.get(Action, id)).doc
                    assert isinstance(doc, Action)
                    execs[id] = (doc.exec.kind, doc.exec.code, doc.exec.binary)
        octets = base64.b64encode(openwhisk.ZIP).decode()
        assert execs.pop("guest/image")[0] == "blackbox"
        assert execs.pop("guest/both")[0] == "sequence"
        assert execs == {
            "guest/hello": ("python:3.10", openwhisk.PYTHON, False),
            "guest/inline": ("nodejs:20", "function main(p){return p}", False),
            "guest/jar": ("java:8", octets, True),
            "guest/large": ("python:3.10", openwhisk.LARGE, False),
            "guest/nokind": ("swift:3", "let a = 1", False),
            "guest/old": ("python:3.10", "def main(a): return a", False),
            "guest/pkg/greet": ("python:3.10", openwhisk.PYTHON, False),
            "guest/zipped": ("nodejs:20", octets, True),
        }

    async def test_packages_triggers_and_rules_are_kept_whole(self, filled: Databases, data: Path) -> None:
        assert run(filled, data=data).code == 0
        package = await read(data, Package, "guest/pkg")
        assert (package.publish, package.binding.name, package.updated) == (True, "", 1764000000000)
        assert package.other == {"color": {"of": "mind"}}
        assert (await read(data, Package, "team/round")).binding.name == "about"
        assert (await read(data, Trigger, "guest/door")).rules["guest/r1"].status == "inactive"
        assert (await read(data, Trigger, "guest/bell")).other == {"other": "a member with our own name"}
        old = await read(data, Rule, "guest/r0")
        assert (old.trigger, old.action) == (
            FullyQualifiedName("guest", "door"),
            FullyQualifiedName("guest/pkg", "greet"),
        )

    async def test_who_is_who(self, filled: Databases, data: Path) -> None:
        assert run(filled, data=data).code == 0
        async with SqliteStore(data / "upcall.db") as store:
            guest = await store.identity(openwhisk.GUEST_UUID, openwhisk.GUEST_KEY)
            assert guest is not None
            assert (guest.namespace.name, guest.limits.invocations_per_minute) == ("guest", 60)
            assert await store.blocked() == {"mallory", "team"}
            owner = await store.owner("oldest")
            assert owner is not None
            assert owner.authkey["api_key"].endswith(openwhisk.OLD_KEY)
            assert (await store.get(Subject, "jürgen")).doc.id == "jürgen"
            with pytest.raises(NotFound):
                await store.get(Subject, "gone")

    async def test_postgresql(self, filled: Databases, postgres: "Postgres", data: Path) -> None:
        url = await postgres.database()
        assert run(filled, "--store", url, data=data) == (0, ALL, "")
        assert run(filled, "--store", url, data=data) == (0, ALL.replace("copied", "there already"), "")
        async with PostgresStore(PostgresUrl(url)) as store:
            doc = (await store.get(Action, "guest/large")).doc
            assert isinstance(doc, Action)
            assert doc.exec.code == openwhisk.LARGE

    def test_a_running_platform_serves_what_comes(self, empty: Databases, data: Path) -> None:
        openwhisk.fill(empty)
        with running(data) as platform:
            assert run(empty, data=data) == (0, ALL, "")
            auth = f"{openwhisk.GUEST_UUID}:{openwhisk.GUEST_KEY}"
            code = "def main(args): return args"
            platform.call("PUT", "actions/mine", {"exec": {"kind": "python:3", "code": code}}, auth=auth)
            listed = platform.call("GET", "actions", auth=auth).body
        assert {"mine", "hello", "greet"} <= {each["name"] for each in listed}


class TestRecords:
    def test_they_come_if_asked_for(self, filled: Databases, data: Path) -> None:
        done = run(filled, "--activations", data=data)
        assert (done.code, done.out) == (0, ALL + "activations  3 copied\n")

    @pytest.mark.parametrize("view", [False, True])
    def test_since(self, empty: Databases, data: Path, view: bool) -> None:
        """With the view by date, and where nobody has made it."""
        starts = [1000, 1795400000200, 1795500000200]
        empty.bulk(empty.url.activations, [record("guest", number, start) for number, start in enumerate(starts)])
        if view:
            function = "function (doc) { if (doc.start) emit(doc.start, 1); }"
            design = {"views": {"byDate": {"map": function}}, "language": "javascript"}
            empty.call("PUT", empty.url.activations, "_design", "activations", body=design)
        done = run(empty, "--activations", "--since", "2026-11-23T00:00", data=data)
        assert (done.code, done.out) == (0, "activations  2 copied\n")

    @pytest.mark.parametrize("words", [["--since", "7d"], ["--activations", "--since", "noon"]])
    def test_since_that_says_nothing(self, empty: Databases, data: Path, words: list[str]) -> None:
        done = run(empty, *words, data=data)
        assert done.code == 2
        assert "--since" in done.err

    async def test_many(self, empty: Databases, data: Path) -> None:
        """More than one page, through the view and without it."""
        empty.bulk(empty.url.activations, [record("guest", number, 1000) for number in range(2300)])
        for words in (["--activations"], ["--activations", "--since", "1970-01-01T00:00:01"]):
            done = run(empty, *words, data=data)
            assert done.code == 0
            assert done.out.startswith("activations  2300 ")
        assert isinstance(await read(data, Activation, f"guest/{2299:032x}"), Activation)


class TestDifferences:
    def test_what_is_here_stays_unless_told_otherwise(self, empty: Databases, data: Path) -> None:
        doc = action("guest/hello", {"kind": "python:3.10", "code": "def main(a): return a"})
        rev = empty.entity(doc)
        assert run(empty, data=data).out == "actions      1 copied\n"
        empty.entity({**doc, "_rev": rev, "version": "0.0.4"})
        assert run(empty, data=data) == (1, "actions      1 there with other content, and left so\n", "")
        assert asyncio.run(read(data, Action, "guest/hello")).version == "0.0.3"
        assert run(empty, "--overwrite", data=data) == (0, "actions      1 replaced\n", "")
        assert asyncio.run(read(data, Action, "guest/hello")).version == "0.0.4"

    def test_a_name_that_is_of_another_kind_here(self, empty: Databases, data: Path) -> None:
        rev = empty.entity(action("guest/hello", {"kind": "python:3.10", "code": "def main(a): return a"}))
        assert run(empty, data=data).code == 0
        empty.entity({**entity("guest/hello", "trigger", parameters=[]), "_rev": rev})
        done = run(empty, "--overwrite", data=data)
        assert done.code == 1
        assert "guest/hello: what is of this name where it is to go is of another kind" in done.err


class TestDryRun:
    def test_nothing_is_made(self, filled: Databases, data: Path) -> None:
        assert run(filled, "--dry-run", data=data) == (0, ALL.replace("copied", "would be copied"), "")
        assert not data.exists()

    async def test_no_tables_are_made(self, filled: Databases, postgres: "Postgres", data: Path) -> None:
        url = await postgres.database()
        assert run(filled, "--dry-run", "--store", url, data=data).out == ALL.replace("copied", "would be copied")
        name = url.partition("?")[0].rpartition("/")[2]
        assert not await postgres.run("SELECT 1 FROM pg_tables WHERE schemaname = 'upcall'", database=name)

    def test_nothing_is_written(self, filled: Databases, empty: Databases, data: Path) -> None:
        assert run(empty, data=data) == (0, "There is nothing to copy.\n", "")
        assert run(filled, "--dry-run", data=data).out == ALL.replace("copied", "would be copied")
        assert run(filled, data=data).out == ALL


HOSTILE: list[tuple[Json, str]] = [
    (action("guest/../passwd", {"kind": "python:3.10", "code": ""}), "its package's name is '..'"),
    (action("guest/a\x00b\x1b[31m", {"kind": "python:3.10", "code": ""}), "has a control character"),
    (action("guest/a/b/c", {"kind": "python:3.10", "code": ""}), "has a slash"),
    ({**action("guest/other", {"kind": "python:3.10", "code": ""}), "name": "x"}, "say that it is guest/x"),
    (action("guest/nolimits", {"kind": "python:3.10", "code": ""}, limits={}), "`timeout`"),
    (action("guest/text", {"kind": "python:3.10", "code": ""}, limits="much"), "`$.limits`"),
    (action("guest/list", {"kind": "python:3.10", "code": [1]}), "it cannot be read"),
    (action("guest/exec", {}, exec="python"), "it cannot be read"),
    (action("guest/s3", {"kind": "python:3.10", "code": {"attachmentName": "s3:a/b"}}), "s3:"),
    (action("guest/lost", {"kind": "python:3.10", "code": {"attachmentName": "codefile"}}), "it cannot be read"),
    (action("guest/when", {"kind": "python:3.10", "code": ""}, updated=10**19), "its time is none"),
    (entity("guest/what", "whatever"), "entityType"),
    (entity("guest/nothing", None), "neither action, package, trigger nor rule"),
    (entity("guest/act", "activation"), "entityType"),
    ({**entity("guest/num", None), "entityType": 7}, "entityType"),
    (entity("guest/bound", "package", binding=[1]), "`$.binding`"),
    (entity("guest/ruled", "trigger", rules={"guest/r": 1}), "`$.rules"),
    (entity("guest/rule", "rule", trigger=5, action={}), "it cannot be read"),
    (entity("x" * 300 + "/y", "trigger", parameters=[]), "has more than 256 characters"),
]


class TestDamaged:
    @pytest.mark.parametrize(("doc", "why"), HOSTILE)
    def test_it_is_named_with_its_cause_and_the_rest_comes(
        self, empty: Databases, data: Path, doc: Json, why: str
    ) -> None:
        empty.entity(doc)
        empty.entity(action("guest/zz", {"kind": "python:3.10", "code": ""}))
        done = run(empty, data=data)
        assert (done.code, done.out) == (1, "actions      1 copied\nproblems     1, each named above\n")
        assert why in done.err
        assert len(done.err.splitlines()) == 1
        assert "Traceback" not in done.err
        assert "\x1b" not in done.err
        assert "\x00" not in done.err

    def test_subjects(self, empty: Databases, data: Path) -> None:
        secret = "s" * 64
        empty.subject({"_id": "wrong", "subject": "wrong", "namespaces": {"key": secret}})
        empty.subject({"_id": "worse", "subject": 5, "key": secret})
        empty.subject({"_id": "nobody", "key": secret})
        empty.subject({"_id": "guest/limits", "invocationsPerMinute": "many"})
        done = run(empty, data=data)
        assert (done.code, done.out) == (1, "problems     4, each named above\n")
        assert secret not in done.err

    def test_on_a_terminal_it_stands_above_the_bars(self, empty: Databases, data: Path) -> None:
        empty.entity(entity("guest/what", "whatever"))
        ours, theirs = os.openpty()
        command = [sys.executable, "-m", "upcall", "import", "couchdb", url_of(empty), "--data", str(data)]
        secret = {**os.environ, "UPCALL_COUCHDB_PASSWORD": PASSWORD, "TERM": "xterm"}
        done = subprocess.run(command, stderr=theirs, env=secret, capture_output=False, check=False, timeout=60)
        os.close(theirs)
        pieces: list[bytes] = []
        with contextlib.suppress(OSError):  # how a terminal tells of its end
            while piece := os.read(ours, 100_000):  # one read gives 4 kB at most
                pieces.append(piece)
        os.close(ours)
        told = b"".join(pieces).decode()
        assert done.returncode == 1
        assert "whisks" in told
        assert re.search(r"(^|\n|\x1b\[2K)upcall: \S+ guest/what: ", told)

    def test_nested_too_deep(self, empty: Databases, data: Path) -> None:
        deep = b'{"entityType":"trigger","namespace":"guest","name":"deep","parameters":[{"key":"a","value":%s}]}'
        empty.call("PUT", empty.url.entities, "guest/deep", body=deep % (b"[" * 3000 + b"]" * 3000))
        done = run(empty, data=data)
        assert done.code == 1
        assert "guest/deep: it is nested too deep" in done.err


class Deadly:
    """A store that takes so many documents, and then something happens."""

    def __init__(self, store: SqliteStore, count: int, server: "Server") -> None:
        self._store, self._left, self._server = store, count, server

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        return await self._store.get(kind, id, rev)

    async def put(self, doc: Document, rev: str | None = None) -> str:
        self._left -= 1
        if self._left == 0:
            self._server.kill()
        return await self._store.put(doc, rev)


class TestServer:
    async def test_it_dies_half_way(self, empty: Databases, pouchdb: "Server", data: Path) -> None:
        docs = [action(f"guest/a{number}", {"kind": "python:3.10", "code": ""}) for number in range(60)]
        empty.bulk(empty.url.entities, docs)
        data.mkdir()
        http = await CouchHttp(empty.url).open()
        try:
            async with SqliteStore(data / "upcall.db") as store:
                report = Report(lambda problem: None, lambda seen: None)
                source = CouchSource(http)
                copying = Copying(source, Deadly(store, 20, pouchdb), report, overwrite=False, dry=False)
                with pytest.raises(Unavailable):
                    await copying.run("whisks")
        finally:
            await http.close()
        away = await asyncio.to_thread(run, empty, data=data)
        pouchdb.start()
        assert away.code == 1
        assert "there is no connection to the database" in away.err
        done = await asyncio.to_thread(run, empty, data=data)
        assert done.code == 0
        copied, there = (int(part.split()[0]) for part in done.out.removeprefix("actions").split(","))
        assert copied + there == 60
        assert 20 <= there < 30

    def test_a_wrong_password(self, filled: Databases, data: Path) -> None:
        done = run(filled, data=data, password="a secret that is wrong")
        assert done.code == 1
        assert f"the database refuses the user '{USER}' or the password" in done.err
        assert "a secret" not in done.err
        assert not data.exists()

    def test_a_password_in_a_file_and_names_of_databases(self, filled: Databases, data: Path, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_text(f"{PASSWORD}\n")
        names = ["--subjects-db", filled.url.subjects, "--entities-db", filled.url.entities]
        url = f"couchdb://{USER}@127.0.0.1:{filled.url.port}/"
        done = upcall("import", "couchdb", url, "--password-file", str(file), *names, data=data)
        assert done == (0, ALL, "")

    def test_databases_that_are_not_there(self, pouchdb: "Server", data: Path) -> None:
        databases = Databases(pouchdb.databases())
        done = run(databases, data=data)
        assert done.code == 1
        assert f"has no database '{databases.url.subjects}'" in done.err
        assert not data.exists()

    @pytest.mark.parametrize("url", ["couchdb:/x", "postgresql://a@b/c", "http://a:topsecret@b", "couchdb://a:b@c:x/"])
    def test_a_url_that_is_none(self, data: Path, url: str) -> None:
        done = upcall("import", "couchdb", url, data=data)
        assert done.code == 2
        assert done.err.startswith("error: ")
        assert "topsecret" not in done.err

    def test_a_store_in_couchdb_is_none_of_ours(self, filled: Databases, pouchdb: "Server", data: Path) -> None:
        done = run(filled, "--store", pouchdb.url("x_"), data=data)
        assert done.code == 1
        assert "use CouchDB's own replication" in done.err
        assert PASSWORD not in done.err
