"""D7 on a real broker, by its adapter: whatever is killed, each message ends once, its user code runs at most once."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from upcall.bus.codec import decode, encode
from upcall.model.messages import CompletionMessage
from upcall.testing import a_message

if TYPE_CHECKING:
    from tests.system.kafka import Broker

pytest_plugins = ["tests.system.kafka"]

ROOT = Path(__file__).parents[2]
WORKER = "tests.system.delivery_worker"
POINTS = ("starting", "told", "ran", "recorded", "acknowledged")


class World:
    """A topic with messages, the workers that live on it, and what they left behind."""

    def __init__(self, broker: "Broker", folder: Path, seed: int) -> None:
        self.broker = broker
        self.folder = folder
        self.random = random.Random(seed)
        self.client: dict[str, str | int | float | bool] = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
        self.topic = f"invoker-{uuid4().hex[:8]}"
        self.ids: list[str] = []
        self.lives: list[subprocess.Popen[bytes]] = []
        (folder / "records").mkdir()
        topics = [NewTopic(self.topic, 1, 1), NewTopic(f"{self.topic}-acks", 1, 1)]
        admin = AdminClient(self.client)  # must outlive its futures
        for made in admin.create_topics(topics).values():
            made.result(20)

    def send(self, count: int) -> None:
        producer = Producer({**self.client, "acks": 1})
        for _ in range(count):
            id = f"m{len(self.ids):04}"
            self.ids.append(id)
            message = a_message(content={"ms": self.random.randint(0, 25)})
            message.activation_id = id
            producer.produce(self.topic, encode(message))
        assert producer.flush(20) == 0

    def live(self, *planted: str) -> subprocess.Popen[bytes]:
        """A new life of the worker."""
        command = [sys.executable, "-m", WORKER, self.broker.bootstrap, self.topic, str(self.folder)]
        life = subprocess.Popen(
            [*command, f"life{len(self.lives)}", *planted],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        self.lives.append(life)
        return life

    def wait(self, what: str, met: Callable[[], bool], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not met():
            assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
            assert self.lives[-1].poll() in (None, -signal.SIGKILL), "the worker ended by itself"
            time.sleep(0.005)

    def records(self) -> dict[str, int]:
        found = [path for path in (self.folder / "records").iterdir() if not path.name.startswith(".")]
        return {path.name: int(path.read_text()) for path in found}

    def count_records(self) -> int:
        return sum(not name.startswith(".") for name in os.listdir(self.folder / "records"))

    def lines(self, name: str) -> list[list[str]]:
        path = self.folder / name
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def finish(self) -> list[float]:
        """Let the last life end everything and stop it; gives the durations of its commits."""
        self.wait("the end of all messages", lambda: self.count_records() >= len(self.ids), 60)
        life = self.lives[-1]
        life.send_signal(signal.SIGTERM)
        out, _ = life.communicate(timeout=20)
        assert life.returncode == 0
        durations: list[float] = json.loads(out)
        return durations

    def acks(self) -> Counter[tuple[str, int]]:
        """All that stands in the topic of acknowledgements."""
        consumer = Consumer({**self.client, "group.id": "reader"})
        place = TopicPartition(f"{self.topic}-acks", 0, 0)
        consumer.assign([place])
        _, end = consumer.get_watermark_offsets(place, timeout=10)
        values = [message.value() for message in consumer.consume(end, 10)]
        consumer.close()
        assert len(values) == end
        acks = [decode("ack", value) for value in values if isinstance(value, bytes)]
        return Counter(
            (ack.activation_id, 3 if ack.is_system_error else 0) for ack in acks if isinstance(ack, CompletionMessage)
        )

    def committed(self) -> tuple[int, str | None]:
        consumer = Consumer({**self.client, "group.id": self.topic})
        place = consumer.committed([TopicPartition(self.topic, 0)], timeout=10)[0]
        consumer.close()
        return place.offset, place.metadata

    def check(self) -> dict[str, int]:
        """Every message ended once and ran at most once; gives the records."""
        runs = [id for (id,) in self.lines("runs")]
        records = self.records()
        assert [id for id, times in Counter(runs).items() if times > 1] == [], "user code ran twice"
        assert sorted(records) == self.ids, "each message has its record"
        assert {id for id, status in records.items() if status == 0} <= set(runs), "success without a run"
        assert set(records.values()) <= {0, 3}
        assert set(self.acks()) == set(records.items()), "each record was acknowledged as it is"
        assert self.committed() == (len(self.ids), ""), "all is committed"
        return records

    def end(self) -> None:
        for life in self.lives:
            if life.poll() is None:
                life.kill()
                life.wait()
            assert life.stdout is not None
            life.stdout.close()


@pytest.fixture
def world(kafka: "Broker", tmp_path: Path) -> Iterator[World]:
    made = World(kafka, tmp_path, seed=20)
    yield made
    made.end()


def next_verdict(world: World, life: str, id: str) -> str | None:
    """What the first life after `life` that saw the message said of it."""
    for seen_by, seen, verdict in world.lines("seen"):
        if int(seen_by[4:]) > int(life[4:]) and seen == id:
            return verdict
    return None


def test_a_message_killed_at_a_known_point_gets_the_outcome_of_that_point(world: World) -> None:
    world.send(150)
    for point in POINTS:
        world.live(point, str(world.random.randint(5, 12))).wait(30)
    world.live()
    world.finish()
    records = world.check()
    runs = {id for (id,) in world.lines("runs")}
    found = {
        point: (next_verdict(world, life, id), id in runs, records[id]) for life, point, id in world.lines("deaths")
    }
    assert found.pop("acknowledged") in [("started", True, 0), (None, True, 0)]  # its `done` may be committed or not
    assert found == {
        "starting": ("new", True, 0),
        "told": ("started", False, 3),
        "ran": ("started", True, 3),
        "recorded": ("started", True, 0),
    }


def test_every_message_ends_once_under_kills_at_random(world: World) -> None:
    world.send(600)
    kills = 7
    for _ in range(kills):
        before = world.count_records()
        life = world.live()
        world.wait("a few records", lambda before=before: world.count_records() > before + 10)  # type: ignore[misc]
        time.sleep(world.random.uniform(0, 0.2))
        life.kill()
        life.wait()
    world.live()
    durations = world.finish()
    records = world.check()
    lost = [id for id, status in records.items() if status == 3]
    assert 0 < len(lost) <= kills * 6, "only what was running at a kill is lost"
    seen = Counter(id for _, id, verdict in world.lines("seen") if verdict == "new")
    again = [id for id, times in seen.items() if times > 1]
    assert again, "some were delivered, not started, and delivered again"
    assert [records[id] for id in again].count(0) > len(again) / 2, "and ran then"
    durations.sort()
    p50, p99 = (durations[len(durations) * part // 100] * 1000 for part in (50, 99))
    print(f"{len(durations)} commits in the last life: p50 {p50:.2f} ms, p99 {p99:.2f} ms; {len(lost)} lost")


def test_a_process_whose_place_is_taken_starts_nothing_more(world: World) -> None:
    world.send(300)
    old = world.live()
    world.wait("a few records", lambda: world.count_records() > 20)
    old.send_signal(signal.SIGSTOP)
    new = world.live()
    world.wait("the new life's work", lambda: any(life == "life1" for life, _, _ in world.lines("seen")))
    ran = len(world.lines("runs"))
    old.send_signal(signal.SIGCONT)
    assert old.wait(20) == 3, "the old one stops by itself"
    assert new.poll() is None
    world.finish()
    assert len(world.lines("runs")) > ran
    world.check()


def test_a_broker_killed_and_started_again_loses_and_repeats_nothing(world: World) -> None:
    world.send(300)
    world.live()
    world.wait("a few records", lambda: world.count_records() > 30)
    world.broker.kill()
    world.broker.start()
    world.finish()
    assert set(world.check().values()) == {0}


def test_a_worker_killed_while_the_broker_is_down_has_started_nothing_untold(world: World) -> None:
    world.send(200)
    life = world.live()
    world.wait("a few records", lambda: world.count_records() > 30)
    world.broker.kill()
    time.sleep(0.5)
    life.kill()
    life.wait()
    world.broker.start()
    world.live()
    world.finish()
    lost = [id for id, status in world.check().items() if status == 3]
    assert len(lost) <= 6
