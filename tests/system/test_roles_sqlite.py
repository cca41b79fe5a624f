"""A controller and two Invokers on one broker and one SQLite file, killed in turn under load: no accepted activation is
without its one record, and none has run twice."""

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.fleet.member import Member

if TYPE_CHECKING:
    from tests.system.kafka import Broker

pytest_plugins = ["tests.system.kafka"]

AUTH = f"23bc46b1-71f6-4ed5-8c54-816aa4f8c502:{'k' * 64}"

CODE = """
import os
def main(arguments):
    with open(arguments["file"], "a") as file:
        file.write(os.environ["__OW_ACTIVATION_ID"] + "\\n")
    return {"ran": True}
"""
FAILED = 3
"""The status of what was cut short."""


class Fleet:
    def __init__(self, folder: Path, broker: "Broker") -> None:
        self.database = folder / "store" / "upcall.db"
        self.ran = folder / "ran"
        self.ran.touch()
        environment = {
            "KAFKA_HOSTS": broker.bootstrap,
            "UPCALL_STORE": f"sqlite:///{self.database}",
            "UPCALL_ISOLATION": "none",
            "UPCALL_ACTION_NETWORK": "host",
            "UPCALL_PREWARM": "none",
            "UPCALL_MEMORY": "1 GB",
            "LIMITS_ACTIONS_INVOKES_PERMINUTE": "1000000",
            "LIMITS_ACTIONS_INVOKES_CONCURRENT": "1000000",
        }
        self.controller = Member("controller", 0, folder, {**environment, "UPCALL_AUTH": AUTH}, AUTH)
        self.invokers = [Member("invoker", number, folder, environment, AUTH) for number in range(2)]
        self.accepted: list[str] = []
        self._loading = True

    @property
    def members(self) -> list[Member]:
        return [self.controller, *self.invokers]

    def start(self) -> None:
        for member in self.members:
            member.start()
        self.await_healthy()
        action = {"exec": {"kind": "python:3", "code": CODE}}
        assert self.controller.call("PUT", "actions/note", action).status == 200

    def await_healthy(self) -> None:
        deadline = time.monotonic() + 60
        while list(self.controller.states().values()) != ["up", "up"]:
            assert time.monotonic() < deadline, self.controller.states()
            time.sleep(0.1)

    def load(self) -> None:
        """Calls until `rest`."""
        while self._loading:
            try:
                answer = self.controller.call("POST", "actions/note", {"file": str(self.ran)})
            except OSError:
                time.sleep(0.05)  # the controller is dead: it has accepted nothing that it told
                continue
            if answer.status == 202:
                self.accepted.append(answer.body["activationId"])
            else:
                time.sleep(0.05)

    def rest(self) -> None:
        self._loading = False

    def records(self) -> dict[str, int]:
        """Status by activation id."""
        with closing(sqlite3.connect(self.database)) as connection:
            rows = connection.execute(
                "SELECT doc ->> '$.activationId', doc ->> '$.response.statusCode' FROM activations"
            ).fetchall()
        assert len({id for id, _ in rows}) == len(rows)
        return dict(rows)


@pytest.fixture
def fleet(tmp_path: Path, kafka: "Broker") -> Iterator[Fleet]:
    made = Fleet(tmp_path, kafka)
    try:
        made.start()
        yield made
    finally:
        for member in made.members:
            member.kill()


def test_each_accepted_activation_has_one_record_and_runs_at_most_once(fleet: Fleet) -> None:
    pick = random.Random(3)
    clients = [threading.Thread(target=fleet.load) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for victim in [*fleet.invokers, fleet.controller, *fleet.invokers]:
            target = len(fleet.accepted) + pick.randint(20, 120)
            deadline = time.monotonic() + 60
            while len(fleet.accepted) < target:
                assert time.monotonic() < deadline, "nothing is accepted any more"
                time.sleep(0.01)
            victim.kill()
            victim.start()
    finally:
        fleet.rest()
        for client in clients:
            client.join()
    deadline = time.monotonic() + 120
    while missing := set(fleet.accepted) - set(fleet.records()):
        assert time.monotonic() < deadline, f"{len(missing)} of {len(fleet.accepted)} have no record"
        time.sleep(0.2)
    runs = Counter(fleet.ran.read_text().split())
    records = fleet.records()
    assert {id for id, count in runs.items() if count > 1} == set()
    succeeded = {id for id in fleet.accepted if records[id] == 0}
    assert succeeded - set(runs) == set()
    assert {records[id] for id in fleet.accepted} <= {0, FAILED}
    assert len(succeeded) > len(fleet.accepted) / 2
    logs = "".join(output.read_text() for member in fleet.members for output in member.outputs)
    assert "locked" not in logs
