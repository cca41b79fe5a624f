"""`upcall export couchdb`: what was imported goes back as upstream writes it, and comes again as it was."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system import openwhisk
from tests.system.openwhisk import ALL, Databases, Json, run

if TYPE_CHECKING:
    from tests.system.pouchdb import Server

pytest_plugins = ["tests.system.pouchdb"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="module")
def filled(pouchdb: "Server") -> Databases:
    databases = Databases(pouchdb.databases()).make()
    openwhisk.fill(databases)
    return databases


class TestRoundTrip:
    def test_there_and_back(self, filled: Databases, pouchdb: "Server", data: Path, tmp_path: Path) -> None:
        other = Databases(pouchdb.databases())
        full = ALL + "activations  3 copied\n"
        assert run(filled, "--activations", data=data) == (0, full, "")
        dry = run(other, "--activations", "--dry-run", data=data, verb="export")
        assert dry == (0, full.replace("copied", "would be copied"), "")
        assert run(other, "--activations", data=data, verb="export") == (0, full, "")
        assert run(other, "--activations", data=data, verb="export").out == full.replace("copied", "there already")
        for one, two in zip(_names(filled), _names(other), strict=True):
            assert filled.ids(one) == other.ids(two)
        assert run(other, "--activations", data=tmp_path / "second") == (0, full, "")
        back = run(other, "--activations", data=data)
        assert (back.code, back.out) == (0, full.replace("copied", "there already"))

    def test_documents_are_upstreams(self, filled: Databases, pouchdb: "Server", data: Path) -> None:
        other = Databases(pouchdb.databases())
        assert run(filled, "--activations", data=data).code == 0
        assert run(other, "--activations", data=data, verb="export").code == 0
        whisks = "guest/pkg", "guest/door", "guest/r1", "guest/bell", "guest/both", "guest/hello"
        for id in whisks:
            before, after = (_plain(each.read(each.url.entities, id)) for each in (filled, other))
            assert {**after, "entityType": 0, "limits": 0} == {**before, "entityType": 0, "limits": 0}
            assert after["entityType"] == before.get("entityType", "trigger")
        assert _plain(other.read(other.url.subjects, "team/limits")) == {
            "_id": "team/limits",
            "concurrentInvocations": 0,
            "allowedKinds": ["nodejs:20", "blackbox"],
        }
        large = other.read(other.url.entities, "guest/large")
        (name,) = large["_attachments"]
        assert large["exec"]["code"]["attachmentName"] == f"couch:{name}"
        assert other.call("GET", other.url.entities, "guest/large", name) == openwhisk.LARGE.encode()
        path = other.url.subjects, "_design", "subjects.v2.0.0", "_view", "identities"
        rows = other.call("GET", *path, query='?key=["guest"]')["rows"]
        assert [row["value"]["key"] for row in rows] == [openwhisk.GUEST_KEY]


def _names(databases: Databases) -> tuple[str, str, str]:
    url = databases.url
    return url.subjects, url.entities, url.activations


def _plain(doc: Json) -> Json:
    return {name: value for name, value in doc.items() if name != "_rev"}
