"""More work than can be done, and a disk that is slow: intake slows down, memory does not grow, nothing is lost."""

import json
import sqlite3
import threading
import time
from base64 import b64encode
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.system.remains import wait_until
from tests.system.serving import Platform, running

MANY = {"LIMITS_ACTIONS_INVOKES_CONCURRENT": "100000", "LIMITS_ACTIONS_INVOKES_PERMINUTE": "10000000"}
MB = 1024 * 1024
HEADROOM = 300 * MB
"""What the platform may take beyond its rest: twice the journal's bound, and what Python keeps of freed memory."""
MUCH = 8_000
"""Calls: ten times as many as 20 seconds can run, as they come by hundreds a second."""


def resident(platform: Platform) -> int:
    """Bytes."""
    fields = Path(f"/proc/{platform.process.pid}/statm").read_text().split()
    return int(fields[1]) * 4096


class Load:
    """Threads with a warm connection each that invoke as fast as they are answered."""

    def __init__(self, platform: Platform, threads: int, query: str, arguments: Any) -> None:
        self._platform = platform
        self._path = f"/api/v1/namespaces/_/actions/work?{query}"
        self._body = json.dumps(arguments)
        self._headers = {
            "Authorization": "Basic " + b64encode(platform.auth.encode()).decode(),
            "Content-Type": "application/json",
        }
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        self.ids: list[str] = []
        self.refusals: Counter[tuple[int, str]] = Counter()
        self.statuses: Counter[int] = Counter()
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        connection = self._platform.connect()
        while not self._stop.is_set():
            connection.request("POST", self._path, self._body, self._headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
            self.statuses[answer.status] += 1
            if answer.status in (200, 202):
                self.ids.append(body["activationId"])
            else:
                assert int(answer.headers["Retry-After"]) >= 1
                self.refusals[answer.status, "".join(c for c in body["error"] if not c.isdigit())] += 1
        connection.close()


def all_recorded(platform: Platform, ids: list[str]) -> None:
    assert len(set(ids)) == len(ids)
    for id in ids:
        wait_until(partial(has_ended, platform, id), 40)


def has_ended(platform: Platform, id: str) -> bool:
    found = platform.call("GET", f"activations/{id}")
    assert found.status == 404 or found.body["response"]["success"]
    return found.status == 200


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_a_disk_that_stands_still_holds_up_answers_and_loses_nothing(tmp_path: Path, durability: str) -> None:
    """For as long as another program has the database locked."""
    with running(tmp_path / "data", "--durability", durability, environment=MANY) as platform:
        platform.create("work", "def main(args): return {'big': 'x' * 1000}")
        platform.invoke("work")
        loads = [Load(platform, 4, query, {}) for query in ("blocking=true", "")]
        time.sleep(1)
        before = resident(platform)
        with closing(sqlite3.connect(tmp_path / "data" / "upcall.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(0.2)  # what was being written when it came
            answered = sum(sum(load.statuses.values()) for load in loads)
            time.sleep(2.5)
            meanwhile = sum(sum(load.statuses.values()) for load in loads) - answered
            other.execute("ROLLBACK")
        time.sleep(1)
        for load in loads:
            load.end()
        assert resident(platform) - before < HEADROOM
        blocking, others = loads
        if durability == "full":
            assert meanwhile <= 2 * 8, "each has one call under way, and one more at its end"
        assert set(blocking.statuses) <= {200, 503}
        assert set(others.statuses) <= {202, 503}
        ids = [id for load in loads for id in load.ids]
        assert len(set(ids)) == len(ids)
        assert platform.stop() == 0
    with running(tmp_path / "data") as platform:
        all_recorded(platform, list(dict.fromkeys(ids[-300:] + ids[:300:7])))
        assert "Traceback" not in platform.output.read_text()


def test_ten_times_as_much_work_as_can_be_done_is_refused_with_its_cause(tmp_path: Path) -> None:
    """One container, some 40 activations a second, 100 KB of arguments each: what waits would be 800 MB in the end."""
    with running(tmp_path / "data", "--memory", "256 MB", environment=MANY) as platform:
        platform.create("work", "import time\ndef main(args):\n    time.sleep(0.02)\n    return {}")
        platform.invoke("work")
        before = resident(platform)
        load = Load(platform, 8, "", {"x": "x" * 100_000})
        peak, deadline = 0, time.monotonic() + 90
        while sum(load.statuses.values()) < MUCH:
            assert time.monotonic() < deadline
            peak = max(peak, resident(platform))
            assert platform.call("GET", "actions").status == 200, "reads go on"
            time.sleep(0.1)
        load.end()
        assert peak - before < HEADROOM
        assert set(load.statuses) == {202, 503}
        assert all("Try again later" in text for _, text in load.refusals)
        all_recorded(platform, load.ids[:: len(load.ids) // 50])
        assert platform.stop() == 0
