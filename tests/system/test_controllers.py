"""Two controllers, each a process, on one broker, one store and one Invoker: what one is told holds for both."""

import asyncio
import http.client
import json
import re
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer

from tests.system.fleet.member import Member
from tests.system.operating import upcall
from tests.system.serving import QUIET, Answer

if TYPE_CHECKING:
    from tests.system.kafka import Broker
    from tests.system.postgres import Server

pytest_plugins = ["tests.system.kafka", "tests.system.postgres"]

AUTH = f"{uuid4()}:{'k' * 64}"
SAYS = "def main(args): return {{'says': {0}}}"
MB = 1024 * 1024
CALLERS, CALLS, LIMIT = 20, 10, 60


class Fleet:
    """`controllers` and an Invoker on topics and a store of their own; each test starts what it needs."""

    def __init__(self, folder: Path, broker: "Broker", store: str) -> None:
        self.folder = folder
        self.environment = {
            **QUIET,
            "KAFKA_HOSTS": broker.bootstrap,
            "CONFIG_whisk_kafka_topics_prefix": f"p{uuid4().hex[:8]}-",
            "UPCALL_STORE": store,
            "UPCALL_MEMORY": "512 MB",
            "UPCALL_PREWARM": "none",
            "LIMITS_ACTIONS_INVOKES_CONCURRENT": "1000",
        }
        as_guest = {**self.environment, "UPCALL_AUTH": AUTH}
        self.controllers = [Member("controller", number, folder, as_guest, AUTH) for number in range(2)]
        self.invoker = Member("invoker", 0, folder, self.environment, AUTH)

    def start(self) -> None:
        for member in (*self.controllers, self.invoker):
            member.start()
        for member in self.controllers:
            eventually(partial(ready, member))

    def operate(self, *words: str) -> str:
        done = upcall(*words, data=self.folder / "elsewhere", environment=self.environment)
        assert done.code == 0, done.err
        return done.out.strip()

    def create(self, controller: int, name: str, said: int) -> None:
        action = {"exec": {"kind": "python:3", "code": SAYS.format(said)}}
        assert self.controllers[controller].call("PUT", f"actions/{name}?overwrite=true", action).status == 200

    def invoke(self, controller: int, name: str, auth: str = AUTH) -> Answer:
        path = f"/api/v1/namespaces/_/actions/{name}?blocking=true&result=true"
        return self.controllers[controller].request("POST", path, auth, {})

    def accept(self, controller: int, name: str) -> int:
        """The status of a call that does not wait for the result."""
        return self.controllers[controller].call("POST", f"actions/{name}", {}).status

    def logs(self, controller: int) -> str:
        return "".join(path.read_text() for path in self.controllers[controller].outputs)

    def end(self) -> None:
        for member in (self.invoker, *self.controllers):
            member.kill()


def metric(controller: Member, name: str) -> float:
    text = controller.request("GET", "/metrics").body
    match = re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    assert match, f"{name} is not there"
    return float(match[1])


def controllers(member: Member) -> float:
    """That it knows of."""
    return metric(member, "upcall_controllers")


def share(member: Member) -> float:
    """Bytes of the Invoker that are its own."""
    return metric(member, "upcall_balancer_share_bytes")


def ready(controller: Member) -> bool:
    return controller.states() == {0: "up"}


def eventually(test: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(params=["sqlite", "postgresql"])
def fleet(request: pytest.FixtureRequest, kafka: "Broker", folder: Path) -> Iterator[Fleet]:
    store = f"sqlite:///{folder}/shared/upcall.db"
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        store = asyncio.run(server.database())
    made = Fleet(folder, kafka, store)
    try:
        yield made
    finally:
        made.end()


one_store = pytest.mark.parametrize("fleet", ["postgresql"], indirect=True)


def test_what_one_writes_blocks_or_limits_holds_for_both_at_once(fleet: Fleet) -> None:
    """Without being told they would know only when their caches forget, after 5 minutes."""

    def says(controller: int, said: int) -> bool:
        return bool(fleet.invoke(controller, "hello").body == {"says": said})

    def statuses(auth: str) -> list[int]:
        return [fleet.invoke(number, "hers", auth).status for number in (0, 1)]

    fleet.start()
    first, second = fleet.controllers
    fleet.create(0, "hello", 1)
    assert says(0, 1)
    assert says(1, 1)
    for writer, said in ((1, 2), (0, 3), (1, 4)):
        fleet.create(writer, "hello", said)
        assert says(writer, said)
        eventually(partial(says, 1 - writer, said))
    assert first.call("DELETE", "actions/hello").status == 200
    eventually(lambda: fleet.invoke(1, "hello").status == 404)

    alice = fleet.operate("user", "create", "alice")
    action = {"exec": {"kind": "python:3", "code": SAYS.format(0)}}
    assert second.request("PUT", "/api/v1/namespaces/_/actions/hers", alice, action).status == 200
    assert statuses(alice) == [200, 200]
    fleet.operate("limits", "set", "alice", "--invocationsPerMinute", "0")
    eventually(lambda: statuses(alice) == [429, 429])
    fleet.operate("limits", "delete", "alice")
    eventually(lambda: statuses(alice) == [200, 200])
    fleet.operate("user", "block", "alice")
    eventually(lambda: statuses(alice) == [401, 401])
    fleet.operate("user", "unblock", "alice")
    eventually(lambda: statuses(alice) == [200, 200])
    new = fleet.operate("user", "create", "alice", "--revoke").splitlines()[-1]
    eventually(lambda: statuses(alice) == [401, 401])
    assert statuses(new) == [200, 200]


def burst(fleet: Fleet) -> list[tuple[int, Any, dict[str, str]]]:
    """All answers that `CALLERS` get who call as fast as they can, each always the same controller."""

    def call(caller: int) -> list[tuple[int, Any, dict[str, str]]]:
        controller = fleet.controllers[caller % 2]
        headers = {"Authorization": "Basic " + b64encode(AUTH.encode()).decode()}
        with closing(http.client.HTTPConnection("127.0.0.1", controller.port, timeout=60)) as connection:
            answers = []
            for _ in range(CALLS):
                connection.request("POST", "/api/v1/namespaces/_/actions/hello", None, headers)
                response = connection.getresponse()
                found = {name.lower(): value for name, value in response.getheaders()}
                answers.append((response.status, response.read().decode(), found))
            return answers

    with ThreadPoolExecutor(CALLERS) as threads:
        return [answer for answers in threads.map(call, range(CALLERS)) for answer in answers]


@one_store
def test_a_limit_a_minute_is_one_for_both_and_the_refusal_shows_it(fleet: Fleet) -> None:
    for member in fleet.controllers:
        member._environment = {**member._environment, "LIMITS_ACTIONS_INVOKES_PERMINUTE": str(LIMIT)}
    fleet.start()
    fleet.create(0, "hello", 1)
    while True:
        if (left := 60 - time.time() % 60) < 20:
            time.sleep(left + 0.5)
        minute = time.time() // 60
        answers = burst(fleet)
        time.sleep(0.5)  # for what they have refused each other to be known
        in_turn = [fleet.accept(number % 2, "hello") for number in range(LIMIT)]
        if time.time() // 60 == minute:
            break
        time.sleep(60 - time.time() % 60 + 0.5)
    statuses = Counter([status for status, _, _ in answers] + in_turn)
    assert set(statuses) == {202, 429}, statuses
    passed = sum(status == 202 for status, _, _ in answers)
    assert passed <= LIMIT, "both together"
    assert passed + in_turn.count(202) == LIMIT, f"{passed}, {in_turn}: what floods have refused each other is not lost"
    refused = [(text, headers) for status, text, headers in answers if status == 429]
    assert len(refused) == len(answers) - passed
    texts = re.compile(rf"Too many requests in the last minute \(count: (\d+), allowed: {LIMIT}\)\.")
    counts = [int(match[1]) for text, _ in refused if (match := texts.search(text))]
    assert len(counts) == len(refused)
    assert all(LIMIT < count <= CALLERS * CALLS for count in counts)
    assert all(0 < int(headers["retry-after"]) <= 60 for _, headers in refused)


@one_store
def test_a_refusal_is_a_metric_event(fleet: Fleet, kafka: "Broker") -> None:
    only = fleet.controllers[0]
    prefix = f"u{uuid4().hex[:8]}-"
    only._environment = {
        **only._environment,
        "CONFIG_whisk_userEvents_enabled": "true",
        "CONFIG_whisk_kafka_topics_userEvent_prefix": prefix,
        "LIMITS_ACTIONS_INVOKES_PERMINUTE": "0",
    }
    only.start()
    assert fleet.invoke(0, "hello").status == 429
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": prefix, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([f"{prefix}events"])
        record = consumer.poll(30)
        assert record is not None
        event = json.loads(record.value() or b"")
    finally:
        consumer.close()
    assert (event["source"], event["eventType"], event["namespace"]) == ("controller0", "Metric", "guest")
    assert event["body"] == {"metricName": "TimedRateLimit", "metricValue": 1}


@one_store
def test_a_controller_that_is_killed_and_comes_back_is_missed_and_known_again(fleet: Fleet) -> None:
    fleet.start()
    first, second = fleet.controllers
    eventually(lambda: controllers(first) == controllers(second) == 2)
    fleet.create(1, "hello", 1)
    assert fleet.invoke(0, "hello").status == 200
    second.kill()
    assert fleet.invoke(0, "hello").status == 200
    eventually(lambda: "controller 1 was not heard for 10 s" in fleet.logs(0))
    eventually(lambda: controllers(first) == 1)
    assert share(first) == 512 * MB
    second.start()
    eventually(lambda: share(first) == 256 * MB)
    eventually(lambda: ready(second))
    assert fleet.invoke(1, "hello").body == {"says": 1}
    assert second.terminate(30) == ""
    eventually(lambda: "controller 1 has left" in fleet.logs(0))
    assert first.terminate(30) == ""
    assert "Traceback" not in fleet.logs(0) + fleet.logs(1)


@one_store
def test_what_was_cached_before_the_broker_was_away_is_not_served_after_it(fleet: Fleet, kafka: "Broker") -> None:
    """The writer is killed before it could tell."""
    fleet.start()
    fleet.create(0, "hello", 1)
    assert [fleet.invoke(number, "hello").body for number in (0, 1)] == [{"says": 1}] * 2
    kafka.kill()
    try:
        eventually(lambda: "is not heard: documents are kept for" in fleet.logs(1))
        fleet.create(0, "hello", 2)
        fleet.controllers[0].kill()
    finally:
        kafka.start()
    eventually(lambda: ready(fleet.controllers[1]))
    eventually(lambda: fleet.invoke(1, "hello").status == 200)
    assert fleet.invoke(1, "hello").body == {"says": 2}
