"""`upcall serve --store couchdb://…`: the platform on a server that goes away, is killed, and is told of changes by
others."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.operating import Caller, upcall
from tests.system.serving import Platform, running
from tests.system.test_serve_postgres import ECHO, SLOW, eventually, ids

if TYPE_CHECKING:
    from tests.system.pouchdb import Server

pytest_plugins = ["tests.system.pouchdb"]


@pytest.fixture
def url(pouchdb: "Server") -> str:
    return pouchdb.url(pouchdb.databases().entities.removesuffix("whisks"))


@pytest.fixture
def platform(url: str, pouchdb: "Server", tmp_path: Path) -> Iterator[Platform]:
    with running(tmp_path / "data", environment={"UPCALL_STORE": url}) as platform:
        yield platform
        pouchdb.start()


def test_the_platform_works_on_it_and_another_life_finds_all(platform: Platform, url: str, tmp_path: Path) -> None:
    assert platform.create("hello", ECHO).status == 200
    answer = platform.invoke("hello", {"a": "b\0"})
    assert (answer.status, answer.body["response"]["result"]) == (200, {"a": "b\0"})
    eventually(lambda: ids(platform) == [answer.body["activationId"]])
    listed = platform.call("GET", "activations?limit=1").body[0]
    assert (listed["name"], listed["statusCode"], listed["duration"]) == ("hello", 0, listed["end"] - listed["start"])
    assert platform.call("GET", "actions").body[0]["name"] == "hello"
    assert platform.stop() == 0
    with running(tmp_path / "other", environment={"UPCALL_STORE": url}) as other:
        assert other.invoke("hello", {"x": 1}).body["response"]["result"] == {"x": 1}
        eventually(lambda: len(ids(other)) == 2)
    assert not (tmp_path / "data" / "upcall.db").exists()


def test_a_subject_that_another_process_blocks_is_out_soon(platform: Platform, url: str, tmp_path: Path) -> None:
    auth = upcall("user", "create", "alice", "--store", url, data=tmp_path / "elsewhere").out.strip()
    caller = Caller(platform, auth)
    with closing(caller.connection):
        caller.make()
        assert [caller.invoke() for _ in range(3)] == [200] * 3
        assert upcall("user", "block", "alice", "--store", url, data=tmp_path / "elsewhere").code == 0
        eventually(lambda: caller.invoke() == 401)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart_of_the_server_loses_nothing_that_was_answered(
    platform: Platform, pouchdb: "Server", end: str
) -> None:
    platform.create("slow", SLOW)
    platform.invoke("slow")
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(platform.invoke, "slow", {"n": n}) for n in range(8)]
        getattr(pouchdb, end)()
        answers = [call.result() for call in calls]
    pouchdb.start()
    answered = {answer.body["activationId"] for answer in answers if answer.status == 200}
    assert answered
    eventually(lambda: answered <= set(ids(platform)))
    found = ids(platform)
    assert len(found) == len(set(found))
