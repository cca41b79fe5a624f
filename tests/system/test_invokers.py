"""A controller and two Invokers, each a process, on a real broker and one database (spec: load-balancer.md §2–§4)."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from tests.system.fleet.member import Member, Role
from upcall.core.balance import java_hash

if TYPE_CHECKING:
    from tests.system.kafka import Broker

pytest_plugins = ["tests.system.kafka"]

AUTH = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:123zO3xZCLrMN6v2BKK1dXYFpXlPkccOFqm12CdAsMgRU4VrNZ9lyGVCGuMDGIwP"
ECHO = "def main(args):\n    return args"
SLOW = "import time\ndef main(args):\n    time.sleep(args['seconds'])\n    return {'slept': True}"

MOVES = "counter_loadbalancer_invokerState_counter_total"


class Fleet:
    """Topics of its own by a prefix; one SQLite file for all."""

    def __init__(self, broker: "Broker", folder: Path, **settings: str) -> None:
        self.prefix = f"p{uuid4().hex[:8]}-"
        self.database = folder / "shared.db"
        self._broker = broker
        self._folder = folder
        self._environment = {
            "KAFKA_HOSTS": broker.bootstrap,
            "CONFIG_whisk_kafka_topics_prefix": self.prefix,
            "UPCALL_STORE": f"sqlite:///{self.database}",
            "LIMITS_ACTIONS_INVOKES_PERMINUTE": "100000",
            "UPCALL_MEMORY": "1 GB",
            "UPCALL_ACTION_NETWORK": "none",
            **settings,
        }
        self.controller = self._member("controller", 0)
        self.invokers = [self._member("invoker", number) for number in range(2)]

    def _member(self, role: Role, number: int) -> Member:
        auth = {"UPCALL_AUTH": AUTH} if role == "controller" else {}
        return Member(role, number, self._folder, {**self._environment, **auth}, AUTH)

    def start(self) -> None:
        for member in (self.controller, *self.invokers):
            member.start()
        self.await_states("up", "up")

    def end(self) -> None:
        for member in (self.controller, *self.invokers):
            member.kill()

    def await_states(self, *states: str) -> None:
        wanted = dict(enumerate(states))
        wait(f"the states {states}", lambda: self.controller.states() == wanted, lambda: str(self.controller.states()))

    def create(self, name: str, code: str) -> None:
        body = {"exec": {"kind": "python:3", "code": code}}
        assert self.controller.call("PUT", f"actions/{name}?overwrite=true", body).status == 200

    def invoke(self, name: str, arguments: Any = None, query: str = "blocking=true") -> Any:
        return self.controller.call("POST", f"actions/{name}?{query}", arguments or {})

    def sent(self, number: int) -> int:
        """Messages that an Invoker's topic has."""
        consumer = Consumer({"bootstrap.servers": self._broker.bootstrap, "group.id": "tests", "log_level": 0})
        try:
            high: int = consumer.get_watermark_offsets(TopicPartition(f"{self.prefix}invoker{number}", 0), 10)[1]
        finally:
            consumer.close()
        return high

    def metric(self, name: str, *labels: str) -> float:
        """Of the controller; 0 where there is none yet."""
        text = self.controller.request("GET", "/metrics").body
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and tuple(sample.labels.values()) == labels:
                    return sample.value
        return 0.0


def wait(what: str, met: Callable[[], bool], found: Callable[[], str] = str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"{what}: not in {seconds} s: {found()}"
        time.sleep(0.05)


def home(name: str) -> int:
    """Of two Invokers, by hand."""
    return abs(java_hash("guest") ^ java_hash(f"guest/{name}")) % 2


def homed(number: int) -> str:
    """A name of an action whose home is that Invoker."""
    return next(name for name in (f"a{count}" for count in range(100)) if home(name) == number)


@pytest.fixture(scope="module")
def fleet(kafka: "Broker", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(kafka, tmp_path_factory.mktemp("fl"))
    try:
        made.start()
        yield made
    finally:
        made.end()


def test_each_action_goes_to_its_home_every_time(fleet: Fleet) -> None:
    for number in range(2):
        name = homed(number)
        fleet.create(name, ECHO)
        before = [fleet.sent(0), fleet.sent(1)]
        for count in range(5):
            answer = fleet.invoke(name, {"count": count})
            assert (answer.status, answer.body["response"]["result"]) == (200, {"count": count})
        after = [fleet.sent(0), fleet.sent(1)]
        assert after[number] - before[number] == 5
        assert after[1 - number] == before[1 - number]


def test_the_other_takes_over_from_one_that_was_killed_until_it_is_back(fleet: Fleet) -> None:
    name = homed(1)
    fleet.create(name, ECHO)
    fleet.invokers[1].kill()
    fleet.await_states("up", "down")
    before = fleet.sent(1)
    for _ in range(3):
        assert fleet.invoke(name).status == 200
    assert fleet.sent(1) == before
    fleet.invokers[1].start()
    fleet.await_states("up", "up")
    assert fleet.sent(1) > before, "its probe"
    before = fleet.sent(1)
    assert fleet.invoke(name).status == 200
    assert fleet.sent(1) == before + 1


def test_what_was_on_its_way_to_the_one_that_was_killed_is_answered_by_its_next_life(fleet: Fleet) -> None:
    name = homed(0)
    fleet.create(name, SLOW)
    ids = [fleet.invoke(name, {"seconds": 1}, "blocking=false").body["activationId"] for _ in range(6)]
    fleet.invokers[0].kill()
    ids += [fleet.invoke(name, {"seconds": 0}, "blocking=false").body["activationId"] for _ in range(2)]
    fleet.invokers[0].start()
    for id in ids:
        wait(f"the record of {id}", lambda id=id: fleet.controller.call("GET", f"activations/{id}").status == 200)  # type: ignore[misc]
    wait("all slots are free", lambda: fleet.controller.request("GET", "/activation/count").body == 0)
    fleet.await_states("up", "up")


def test_those_that_cannot_do_their_work_are_left_alone_until_they_can(fleet: Fleet) -> None:
    """The controller remembers actions that cannot be read any more: a system error each time, on whichever it is."""
    names = [name for name in (f"b{count}" for count in range(100)) if home(name) == 1][:20]
    for name in names:
        fleet.create(name, ECHO)
        assert fleet.invoke(name).status == 200
    fleet.invokers[1].kill()
    fleet.invokers[1].start()  # it remembers nothing
    fleet.await_states("up", "up")
    moves = fleet.metric(MOVES, "unhealthy")
    with sqlite3.connect(fleet.database, timeout=30) as database:
        database.execute("UPDATE documents SET doc = CAST('{' AS BLOB) WHERE id LIKE 'guest/b%'")
    answers = [fleet.invoke(name) for name in names]
    assert {answer.status for answer in answers} <= {500, 503}
    assert "Action version is not compatible" in answers[0].body["response"]["result"]["error"]
    assert fleet.metric(MOVES, "unhealthy") > moves
    fleet.await_states("up", "up")
    fleet.create(homed(1), ECHO)
    assert fleet.invoke(homed(1)).status == 200


def test_a_disabled_one_is_down_at_once(fleet: Fleet) -> None:
    one = fleet.invokers[0]
    assert one.request("POST", "/disable", "invoker.user:invoker.pass").status == 200
    fleet.await_states("down", "up")
    before = fleet.sent(0)
    fleet.create(homed(0), ECHO)
    assert fleet.invoke(homed(0)).status == 200
    assert fleet.sent(0) == before
    assert one.request("POST", "/enable", "invoker.user:invoker.pass").status == 200
    fleet.await_states("up", "up")


def test_with_no_invoker_left_callers_are_told_so(fleet: Fleet) -> None:
    """The last test: both are stopped."""
    fleet.create("hello", ECHO)
    for invoker in fleet.invokers:
        assert invoker.terminate(30) == ""
    fleet.await_states("down", "down")
    answer = fleet.invoke("hello")
    text = "The server is currently unavailable (because it is overloaded or down for maintenance)."
    assert (answer.status, answer.body["error"]) == (503, text)
    assert fleet.controller.request("GET", "/invokers/ready").body == {"unhealthy": "0/2"}
