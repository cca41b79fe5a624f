"""`upcall serve` on a CouchDB that is away under load, and is itself killed meanwhile: what was accepted has one record
each."""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING

import pytest

from tests.system.serving import Answer, running
from tests.system.test_serve_postgres import eventually, ids

if TYPE_CHECKING:
    from tests.system.pouchdb import Server

pytest_plugins = ["tests.system.pouchdb"]

NAP = "import time\ndef main(args):\n    time.sleep(0.05)\n    return args\n"
CALLS = 150


@pytest.fixture
def url(pouchdb: "Server") -> Iterator[str]:
    yield pouchdb.url(pouchdb.databases().entities.removesuffix("whisks"))
    pouchdb.start()


def spilled(data: Path) -> int:
    """Records on the disk, as another process sees them."""
    with closing(sqlite3.connect(data / "spill.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM records").fetchone()[0])


def accepted(answers: list[Answer]) -> set[str]:
    return {answer.body["activationId"] for answer in answers if answer.status == 202}


def test_what_was_accepted_has_one_record_whatever_ends_meanwhile(pouchdb: "Server", url: str, tmp_path: Path) -> None:
    data, environment = tmp_path / "data", {"UPCALL_STORE": url, "LIMITS_ACTIONS_INVOKES_CONCURRENT": "1000"}
    with running(data, environment=environment) as platform:
        platform.create("nap", NAP)
        platform.invoke("nap")
        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(platform.invoke, "nap", {"n": n}, "blocking=false") for n in range(CALLS)]
            for call in calls[: CALLS // 3]:
                call.result()
            pouchdb.kill()
            answers = [call.result() for call in calls]
        given = accepted(answers)
        assert len(given) >= CALLS // 3
        eventually(lambda: spilled(data) > 0)
        platform.stop(SIGKILL)
    left = spilled(data)
    assert left > 0
    pouchdb.start()
    with running(data, environment=environment) as platform:
        eventually(lambda: given <= set(ids(platform)))
        eventually(lambda: spilled(data) == 0)
        found = ids(platform)
        assert len(found) == len(set(found))


def test_a_short_absence_is_no_callers_business(pouchdb: "Server", url: str, tmp_path: Path) -> None:
    """What runs while the database is away ends, and its caller is answered by what is on the disk."""
    with running(tmp_path / "data", environment={"UPCALL_STORE": url}) as platform:
        platform.create("nap", NAP.replace("0.05", "2.0"))
        platform.invoke("nap")
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(platform.invoke, "nap", {"n": 1})
            time.sleep(1.0)
            pouchdb.stop()
            answer = call.result()
        assert (answer.status, answer.body["response"]["result"]) == (200, {"n": 1})
        assert spilled(tmp_path / "data") == 1
        pouchdb.start()
        eventually(lambda: answer.body["activationId"] in ids(platform))
