"""`upcall serve --store postgresql://…`: the platform on a real server that goes away, is killed itself, and is told of
changes by others."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.operating import Caller, upcall
from tests.system.serving import Platform, running

if TYPE_CHECKING:
    from tests.system.postgres import Server

pytest_plugins = ["tests.system.postgres"]

ECHO = "def main(args): return args"
SLOW = "import time\ndef main(args): time.sleep(0.3); return args"


@pytest.fixture
async def url(postgres: "Server") -> str:
    return await postgres.database()


@pytest.fixture
def platform(url: str, postgres: "Server", tmp_path: Path) -> Iterator[Platform]:
    with running(tmp_path / "data", environment={"UPCALL_STORE": url}) as platform:
        yield platform
        postgres.start()


def eventually(test: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not test():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ids(platform: Platform) -> list[str]:
    """Of all records, once for each time that it is listed."""
    found: list[str] = []
    while page := platform.call("GET", f"activations?limit=200&skip={len(found)}").body:
        found += [record["activationId"] for record in page]
    return found


def test_the_platform_works_on_it_and_another_life_finds_all(platform: Platform, url: str, tmp_path: Path) -> None:
    assert platform.create("hello", ECHO).status == 200
    answer = platform.invoke("hello", {"a": "b\0"})
    assert (answer.status, answer.body["response"]["result"]) == (200, {"a": "b\0"})
    assert ids(platform) == [answer.body["activationId"]], "the record is there when the answer is"
    assert platform.stop() == 0
    with running(tmp_path / "other", environment={"UPCALL_STORE": url}) as other:
        assert other.invoke("hello", {"x": 1}).body["response"]["result"] == {"x": 1}
        assert len(ids(other)) == 2
    assert not (tmp_path / "data" / "upcall.db").exists()


def test_a_subject_that_another_process_blocks_is_out_at_once(platform: Platform, url: str, tmp_path: Path) -> None:
    auth = upcall("user", "create", "alice", "--store", url, data=tmp_path / "elsewhere").out.strip()
    caller = Caller(platform, auth)
    with closing(caller.connection):
        caller.make()
        assert [caller.invoke() for _ in range(3)] == [200] * 3
        assert upcall("user", "block", "alice", "--store", url, data=tmp_path / "elsewhere").code == 0
        eventually(lambda: caller.invoke() == 401)
        assert caller.list() == 401


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart_of_the_server_loses_nothing_that_was_answered(
    platform: Platform, postgres: "Server", end: str
) -> None:
    platform.create("hello", ECHO)
    seen: set[str] = set()
    statuses: set[int] = set()
    stopped = False

    def call() -> None:
        caller = Caller(platform, platform.auth)
        with closing(caller.connection):
            while not stopped:
                status, body = caller.call("POST", "actions/hello?blocking=true", {})
                statuses.add(status)
                if status == 200:
                    seen.add(body["activationId"])

    with ThreadPoolExecutor(4) as threads:
        callers = [threads.submit(call) for _ in range(4)]
        try:
            eventually(lambda: len(seen) > 100)
            getattr(postgres, end)()
            assert platform.call("GET", "actions").status == 503
            postgres.start()
            before = len(seen)
            eventually(lambda: len(seen) > before + 100)
        finally:
            stopped = True
        for each in callers:
            each.result()
    assert statuses <= {200, 202, 503}
    recorded = ids(platform)
    assert len(recorded) == len(set(recorded))
    assert seen <= set(recorded)


def test_what_was_accepted_outlives_a_kill_of_the_platform(url: str, tmp_path: Path) -> None:
    with running(tmp_path / "data", environment={"UPCALL_STORE": url}) as platform:
        platform.create("slow", SLOW)
        accepted = {platform.invoke("slow", query="").body["activationId"] for _ in range(20)}
        platform.process.kill()
        platform.process.wait()
    with running(tmp_path / "data", environment={"UPCALL_STORE": url}) as platform:
        eventually(lambda: set(ids(platform)) == accepted)
        statuses = [platform.call("GET", f"activations/{id}").body["response"]["status"] for id in accepted]
        assert set(statuses) <= {"success", "whisk internal error"}
        assert "success" in statuses, "what had not started ran"
        assert len(ids(platform)) == 20


def test_while_the_server_is_away_callers_are_told_and_no_password_is_logged(
    platform: Platform, postgres: "Server"
) -> None:
    platform.create("hello", ECHO)
    postgres.stop()
    answer = platform.call("GET", "actions")
    assert answer.status == 503
    assert "no connection to the database" in json.dumps(answer.body)
    assert "uppg" not in json.dumps(answer.body), "where the database is, is nobody's business"
    postgres.start()
    eventually(lambda: platform.invoke("hello").status == 200)
    assert "Traceback" not in platform.output.read_text()
