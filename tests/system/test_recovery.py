"""Whatever is killed: an activation whose id a client has seen ends in one record, and its code runs at most once (D7).

Actions run without isolation here, for each run writes a line into a file of the test: its id, and the number of the
platform's life that it ran in.
"""

import contextlib
import http.client
import json
import random
import signal
import sqlite3
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.system.serving import Answer, Platform
from upcall.model import texts

CODE = """
import os, time
def main(args):
    line = os.environ["__OW_ACTIVATION_ID"] + " " + open({life!r}).read() + "\\n"
    file = os.open({runs!r}, os.O_WRONLY | os.O_APPEND)
    os.write(file, line.encode())
    os.close(file)
    time.sleep(args.get("sleep", 0))
    return {{"n": args.get("n")}}
"""
SMALL = ("--isolation", "none", "--action-network", "host", "--memory", "768m")
"""Three containers: with more callers than that, some activations wait."""


class Seen(msgspec.Struct):
    """What a client has got of one activation; `answer` is the status of a response that was waited for."""

    life: int
    n: int
    answer: int | None


class World:
    """One data folder and the lives of its platforms."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.options = (*SMALL, *options)
        self.data = folder / "data"
        self.runs, self.note = folder / "runs", folder / "life"
        self.runs.touch()
        self.life = 0
        self.seen: dict[str, Seen] = {}
        self.platform: Platform

    def start(self) -> Platform:
        self.life += 1
        fresh = self.note.with_name("fresh")
        fresh.write_text(str(self.life))
        fresh.replace(self.note)  # actions of the life before may be reading it, until the guardian has ended them
        self.platform = Platform(self.data, *self.options, environment={"LIMITS_ACTIONS_INVOKES_CONCURRENT": "10000"})
        return self.platform

    def create(self, name: str, **members: Any) -> None:
        code = CODE.format(life=str(self.note), runs=str(self.runs))
        assert self.platform.create(name, code, **members).status == 200

    def kill(self) -> None:
        self.platform.process.kill()
        self.platform.process.wait()

    def invoke(self, name: str, query: str = "blocking=false", **arguments: Any) -> str:
        """The id of one that is accepted."""
        answer = self.platform.invoke(name, arguments, query)
        assert answer.status == 202, answer
        id: str = answer.body["activationId"]
        return id

    def lines(self, id: str) -> list[int]:
        """The lives in which the activation's code ran."""
        return [int(life) for found, life in map(str.split, self.runs.read_text().splitlines()) if found == id]

    def record(self, id: str) -> Any:
        """Wait for it."""
        found: list[Answer] = []

        def there() -> bool:
            found[:] = [self.platform.call("GET", f"activations/{id}")]
            return found[0].status == 200

        until(there)
        return found[0].body


@contextmanager
def world(folder: Path, *options: str) -> Iterator[World]:
    made = World(folder, *options)
    made.start()
    try:
        yield made
    finally:
        made.platform.process.kill()
        made.platform.process.wait()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that within 60 s"
        time.sleep(0.02)


def text_of(record: Any) -> str:
    return str(record["response"]["result"].get("error"))


class Client(threading.Thread):
    """Calls, of all sorts, over one connection until it breaks."""

    def __init__(self, world: World, seed: int) -> None:
        super().__init__()
        self._world = world
        self._random = random.Random(seed)
        self._life = world.life

    def run(self) -> None:
        platform = self._world.platform
        connection = platform.connect()
        headers = {"Authorization": "Basic " + b64encode(platform.auth.encode()).decode()}
        headers["Content-Type"] = "application/json"
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                self._call(connection, headers)

    def _call(self, connection: http.client.HTTPConnection, headers: dict[str, str]) -> None:
        query, sleep = self._random.choice(
            [
                ("blocking=true", 0.0),
                ("blocking=true", 0.02),
                ("blocking=false", 0.0),
                ("blocking=false", 0.05),
                ("blocking=true&timeout=30", 0.15),
            ]
        )
        n = self._random.randrange(1_000_000)
        action = self._random.choice(["quiet", "unlogged"])
        path = f"/api/v1/namespaces/_/actions/{action}?{query}"
        connection.request("POST", path, json.dumps({"n": n, "sleep": sleep}), headers)
        response = connection.getresponse()
        body = json.loads(response.read())
        id = response.headers["x-openwhisk-activation-id"]
        if response.status == 202:
            self._world.seen[id] = Seen(self._life, n, None)
        elif response.status in (200, 502, 500):
            self._world.seen[id] = Seen(self._life, n, response.status)
            assert id == body["activationId"]


def load_and_kill(world: World, seed: int) -> None:
    """Clients call, and the platform is killed while they do."""
    clients = [Client(world, seed * 100 + number) for number in range(8)]
    for client in clients:
        client.start()
    time.sleep(random.Random(seed).uniform(0.02, 0.4))
    world.kill()
    for client in clients:
        client.join()


def check(world: World, id: str, seen: Seen) -> str:
    """How it went, where that is as it has to be."""
    record, runs = world.record(id), world.lines(id)
    assert len(runs) <= 1, f"{id} ran twice: {runs}"
    if seen.answer is not None:
        assert record["response"]["success"] == (seen.answer == 200), f"{id} was answered with {seen.answer}: {record}"
    if record["response"]["success"]:
        assert record["response"]["result"] == {"n": seen.n}
        assert len(runs) == 1
        return "ran later" if runs[0] > seen.life else "ran"
    assert text_of(record) == texts.INTERRUPTED, record
    return "interrupted"


@pytest.mark.parametrize(("durability", "kills"), [("normal", 10), ("full", 4)])
@pytest.mark.timeout(240)
def test_every_id_that_a_client_has_seen_ends_in_one_record(tmp_path: Path, durability: str, kills: int) -> None:
    with world(tmp_path, "--durability", durability) as made:
        made.create("quiet")
        made.create("unlogged", limits={"logs": 0})
        for seed in range(kills):
            load_and_kill(made, seed)
            made.start()
        stories = Counter(check(made, id, seen) for id, seen in made.seen.items())
        assert made.platform.stop() == 0
        assert "Traceback" not in made.platform.output.read_text()
        with closing(sqlite3.connect(made.data / "upcall.db")) as database:
            assert database.execute("SELECT count(*) FROM journal").fetchone() == (0,)
            twice = database.execute("SELECT id FROM activations GROUP BY id HAVING count(*) > 1").fetchall()
            assert twice == []
    assert min(stories["ran"], stories["ran later"], stories["interrupted"]) > 0, (
        f"the test tries too little: {stories}"
    )


def test_what_started_ends_with_status_3_and_runs_again_only_where_it_may(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        made.create("once")
        made.create("often", annotations=[{"key": "idempotent", "value": True}])
        once, often = made.invoke("once", sleep=30), made.invoke("often", sleep=3)
        late = made.invoke("once", "blocking=true&timeout=100", sleep=30)
        until(lambda: all(made.lines(id) for id in (once, often, late)))
        made.kill()
        made.start()
        for id in (once, late):
            record = made.record(id)
            assert record["response"]["status"] == "whisk internal error"
            assert text_of(record) == texts.INTERRUPTED
            assert {"key": "path", "value": "guest/once"} in record["annotations"]
            assert made.lines(id) == [1]
        assert made.record(often)["response"]["success"]
        assert made.lines(often) == [1, 2]


def test_a_stop_leaves_what_has_not_started_to_the_next_life(tmp_path: Path) -> None:
    with world(tmp_path, "--grace", "1") as made:
        made.create("slow")
        holding = [made.invoke("slow", sleep=30) for _ in range(3)]
        until(lambda: all(made.lines(id) for id in holding))
        waiting = [made.invoke("slow", n=number) for number in range(5)]
        answers: list[Answer] = []
        caller = threading.Thread(target=lambda: answers.append(made.platform.invoke("slow", {"n": 5})))
        caller.start()
        until(lambda: in_flight(made.platform) == 9)
        made.platform.process.send_signal(signal.SIGTERM)
        assert made.platform.process.wait(timeout=30) == 0
        caller.join()
        assert answers[0].status == 202, "who still waits is told the id of what will run"
        waiting.append(answers[0].body["activationId"])
        assert "6 accepted activations have not started" in made.platform.output.read_text()
        made.start()
        for number, id in enumerate(waiting):
            assert made.record(id)["response"]["result"] == {"n": number}
            assert made.lines(id) == [2]
        for id in holding:
            assert text_of(made.record(id)) == texts.SHUTDOWN
            assert made.lines(id) == [1]


def in_flight(platform: Platform) -> int:
    """Activations that wait or run."""
    connection = platform.connect()
    connection.request("GET", "/activation/count")
    found = int(connection.getresponse().read())
    connection.close()
    return found


def test_thousands_that_wait_are_run_by_the_next_life_in_their_order(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        made.create("one", limits={"memory": 512})
        first = made.invoke("one", sleep=30)
        until(lambda: bool(made.lines(first)))
        ids = [made.invoke("one", n=number) for number in range(2000)]
        made.kill()
        made.start()
        assert made.record(ids[-1])["response"]["result"] == {"n": 1999}
        ran = [line.split()[0] for line in made.runs.read_text().splitlines()]
        assert ran == [first, *ids]
        assert text_of(made.record(first)) == texts.INTERRUPTED


def test_what_cannot_be_read_stays_and_stops_nothing(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        made.create("quiet")
        assert made.platform.stop() == 0
        with closing(sqlite3.connect(made.data / "upcall.db")) as database, database:
            row = ("guest/" + "0" * 32, "invoker0", 0, b'{"of": "a newer release"}')
            database.execute("INSERT INTO journal (id, topic, started, message) VALUES (?,?,?,?)", row)
        for path in made.data.glob("upcall.db-ahead-*"):
            path.write_bytes(b"\xff" * 1000)
        made.start()
        assert made.platform.invoke("quiet").status == 200
        assert made.platform.stop() == 0
        assert (
            f"activation guest/{'0' * 32} of an earlier life stays in the journal" in made.platform.output.read_text()
        )
        with closing(sqlite3.connect(made.data / "upcall.db")) as database:
            assert database.execute("SELECT id FROM journal").fetchall() == [("guest/" + "0" * 32,)]
