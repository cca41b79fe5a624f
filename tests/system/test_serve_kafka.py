"""`upcall serve --bus kafka`: both roles in one process, their messages through a real broker."""

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.system.serving import Platform, running
from tests.system.test_drain import CALLER, KEYED, prepare, signalled
from upcall.core.offsets import Commit, Offsets

if TYPE_CHECKING:
    from tests.system.kafka import Broker

pytest_plugins = ["tests.system.kafka"]

ECHO = "def main(args):\n    print('said')\n    return {'got': args}"
SLOW = "import time\ndef main(args):\n    time.sleep(args['seconds'])\n    return {'slept': True}"
LARGE = "def main(args):\n    return {'text': '\"' * args['count']}"

DONE = re.compile(r"base (\d+), top \1, next \1, open 0, started 0")
"""Of a topic that has probes, too."""


@pytest.fixture
def options(kafka: "Broker") -> dict[str, str]:
    """Topics of its own for each test: a prefix."""
    return {
        "UPCALL_BUS": "kafka",
        "KAFKA_HOSTS": kafka.bootstrap,
        "CONFIG_whisk_kafka_topics_prefix": f"p{uuid4().hex[:8]}-",
    }


@pytest.fixture
def platform(folder: Path, options: dict[str, str]) -> Iterator[Platform]:
    with running(folder / "data", environment=options) as made:
        yield made


def wait(what: str, met: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"{what}: not in {seconds} s"
        time.sleep(0.05)


def recorded(platform: Platform, id: str) -> bool:
    return platform.call("GET", f"activations/{id}").status == 200


def test_blocking_and_non_blocking_calls_go_through_the_broker(platform: Platform) -> None:
    assert platform.create("echo", ECHO).status == 200
    answer = platform.invoke("echo", {"a": "ä"})
    assert (answer.status, answer.body["response"]["result"]) == (200, {"got": {"a": "ä"}})
    accepted = platform.invoke("echo", {"b": 2}, "blocking=false")
    assert accepted.status == 202
    id = accepted.body["activationId"]
    wait("the record", lambda: recorded(platform, id))
    record = platform.call("GET", f"activations/{id}").body
    assert record["response"]["result"] == {"got": {"b": 2}}
    assert len(record["logs"]) == 1
    assert platform.stop() == 0


def test_a_result_too_large_for_its_ack_is_fetched_from_the_store(platform: Platform) -> None:
    """It is cut to 1 MiB, but its quotation marks are escaped in JSON: that is over the topic's limit."""
    assert platform.create("large", LARGE).status == 200
    answer = platform.invoke("large", {"count": 700_000})
    assert answer.status == 502
    error = answer.body["response"]["result"]["error"]
    assert error.startswith("The action produced a response that exceeded the allowed length: 1400011 > 1048576 bytes.")
    assert len(error) > 1 << 20


def test_a_life_that_was_killed_is_continued_by_the_next(folder: Path, options: dict[str, str]) -> None:
    """What had started gets status 3, once; what had not runs."""
    environment = {**options, "UPCALL_MEMORY": "256m"}
    first = Platform(folder / "data", environment=environment)
    assert first.create("slow", SLOW).status == 200
    ids = [first.invoke("slow", {"seconds": 2}, "blocking=false").body["activationId"] for _ in range(2)]
    wait("one has started, one not", lambda: "open 1, started 1" in story(options))
    first.process.kill()
    first.process.wait()
    with running(folder / "data", environment=environment) as second:
        wait("both records", lambda: all(recorded(second, id) for id in ids))
        statuses = [second.call("GET", f"activations/{id}").body["response"]["status"] for id in ids]
        assert statuses == ["whisk internal error", "success"]
        assert second.call("GET", "activations?count=true").body["activations"] == 2
        wait("all is committed", lambda: DONE.fullmatch(story(options)) is not None)


def test_who_loses_the_place_ends_with_the_reason(platform: Platform, folder: Path, options: dict[str, str]) -> None:
    with running(folder / "other", environment=options) as other:
        assert platform.process.wait(60) == 1
        text = platform.output.read_text()
        last = text.splitlines()[-1]
        assert re.match(
            r"upcall: Another process has (taken the place|committed) in group p\w+-(invoker|completed)0", last
        )
        assert "Traceback" not in text
        assert other.create("echo", ECHO).status == 200
        assert other.invoke("echo", {"c": 3}).status == 200


def story(options: dict[str, str]) -> str:
    """What the Invoker's group has committed."""
    topic = options["CONFIG_whisk_kafka_topics_prefix"] + "invoker0"
    consumer = Consumer({"bootstrap.servers": options["KAFKA_HOSTS"], "group.id": topic, "log_level": 0})
    place = consumer.committed([TopicPartition(topic, 0)], timeout=10)[0]
    consumer.close()
    return Offsets(Commit(place.offset, place.metadata or "")).story()


def test_without_brokers_it_does_not_start(folder: Path) -> None:
    with pytest.raises(AssertionError, match=r"upcall serve ended with 1:\n.*name them by --kafka-hosts HOST:PORT"):
        Platform(folder / "data", "--bus", "kafka")


@pytest.mark.parametrize("wait_for_it", [True, False], ids=["blocking", "non-blocking"])
def test_what_runs_at_a_stop_may_call_and_gets_its_answer(
    folder: Path, options: dict[str, str], wait_for_it: bool
) -> None:
    """The Invoker has told everybody that it is disabled; its own controller still sends it what running work needs."""
    with running(folder / "data", environment=options) as platform, ThreadPoolExecutor(1) as threads:
        prepare(platform)
        platform.create("caller", CALLER, annotations=KEYED)
        call = threads.submit(platform.invoke, "caller", {"before": 1, "wait": wait_for_it})
        time.sleep(0.7)
        signalled(platform)
        result = call.result().body["response"]["result"]
        assert platform.process.wait(20) == 0
    if wait_for_it:
        assert result == {"status": 200, "body": '{"slept":0.3}'}
        return
    assert result["status"] == 202
    with running(folder / "data", environment=options) as platform:
        id = json.loads(result["body"])["activationId"]
        wait("the record of what was left to this life", lambda: recorded(platform, id))
