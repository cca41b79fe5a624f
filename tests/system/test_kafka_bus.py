"""The bus over a real Kafka where things go wrong: what cannot be read, is too large, is deleted, answers no more."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import NewPartitions, NewTopic  # type: ignore[attr-defined]

from tests.system.kafka_world import Taker, World, encoded, number_of, numbered
from upcall.brokers import Brokers
from upcall.bus.codec import encode
from upcall.bus.kafka import KafkaBus
from upcall.bus.kafka_feed import LAZY
from upcall.errors import Misconfigured, TooLarge
from upcall.model.messages import Topic
from upcall.testing import until

if TYPE_CHECKING:
    from tests.system.kafka import Broker

ROOT = Path(__file__).parents[2]
pytest_plugins = ["tests.system.kafka"]


@pytest.fixture
async def world(kafka: "Broker") -> AsyncIterator[World]:
    made = await World(kafka).make()
    yield made
    await made.close()


async def test_what_is_no_message_is_told_and_skipped_for_good(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.put(encoded(0), b"nonsense", b"\xff\x00", b"", b'{"creationId":"1"}', encoded(5))
    taker = Taker()
    feed = await world.feed(taker, 2)
    await until(lambda: taker.numbers == [0, 5])
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [text.split(":")[0] for text in said] == [
        f"offset {n} of {world.topic.name} is skipped" for n in range(1, 5)
    ]
    for token in taker.tokens:
        feed.done(token)
    await until(lambda: world.story().startswith("base 6,"))


async def test_a_message_over_the_limit_is_too_large_and_its_neighbours_are_not(world: World) -> None:
    """The one in the middle is within this process's limit and over the topic's."""
    small = Topic(f"{world.topic.name}-small", "activation")
    settings = {"max.message.bytes": "20000"}
    world.admin.create_topics([NewTopic(small.name, 1, 1, config=settings)])[small.name].result(10)
    told: dict[int, BaseException | None] = {}
    for number, size in enumerate((0, 100_000, 0, 5 << 20, 0)):
        world.bus.send(small, numbered(number, size), lambda error, number=number: told.__setitem__(number, error))  # type: ignore[misc]
    await until(lambda: len(told) == 5)
    assert {number: type(error) for number, error in told.items() if error} == {1: TooLarge, 3: TooLarge}


async def test_five_megabytes_pass_where_the_limits_allow_it(kafka: "Broker") -> None:
    world, taker = await World(kafka, payload=6 << 20).make(), Taker()
    told: list[BaseException | None] = []
    world.bus.send(world.topic, numbered(1, 5 << 20), told.append)
    await world.feed(taker, 1)
    await until(lambda: taker.numbers == [1] and told == [None])
    await world.close()


async def test_a_second_process_with_the_same_id_takes_the_place_and_the_first_is_told(world: World) -> None:
    world.send(1, 2)
    first, second = Taker(), Taker()
    old = await world.feed(first, 1)
    await until(lambda: first.numbers == [1])
    new = await world.feed(second, 9)
    await until(lambda: second.numbers == [1, 2])
    started: list[str] = []
    old.started(first.tokens[0], lambda: started.append("old"))
    await until(lambda: len(first.lost) == 1)
    assert "Another process has taken the place in group" in str(first.lost[0])
    new.started(second.tokens[0], lambda: started.append("new"))
    await until(lambda: started == ["new"])
    assert second.lost == []


async def test_what_has_started_and_is_not_done_comes_to_the_next_feed_as_started(world: World) -> None:
    world.send(0, 1, 2)
    taker, again = Taker(), Taker()
    feed = await world.feed(taker, 3)
    await until(lambda: len(taker.taken) == 3)
    started: list[str] = []
    feed.started(taker.tokens[1], lambda: started.append("1"))
    await until(lambda: started == ["1"])
    await world.feed(again, 9)
    await until(lambda: len(again.taken) == 3)
    assert [started for _, _, started in again.taken] == [False, True, False]


async def test_what_is_done_is_committed_when_its_record_is_durable_and_starts_do_not_wait_for_that(
    world: World,
) -> None:
    world.send(0, 1)
    taker, started = Taker(), list[int]()
    feed = await world.feed(taker, 2)
    await until(lambda: len(taker.taken) == 2)
    world.flushed.clear()
    for token in taker.tokens:
        feed.started(token, lambda token=token: started.append(token))  # type: ignore[misc]
    feed.done(taker.tokens[0])
    await until(lambda: len(started) == 2)
    await asyncio.sleep(4 * LAZY)
    assert world.story() == "base 0, top 2, next 0, open 2, started 2"
    world.flushed.set()
    await until(lambda: world.story() == "base 1, top 2, next 1, open 1, started 1")
    feed.done(taker.tokens[1])
    await until(lambda: world.story() == "base 2, top 2, next 2, open 0, started 0")


async def test_a_topic_deleted_and_made_again_is_read_from_its_beginning(world: World) -> None:
    taker = Taker()
    feed = await world.feed(taker, 100)
    world.send(*range(5))
    await until(lambda: len(taker.taken) == 5)
    for token in taker.tokens[:4]:
        feed.done(token)
    await until(lambda: world.story().startswith("base 4,"))
    world.admin.delete_topics([world.topic.name])[world.topic.name].result(10)
    await until(lambda: world.topic.name not in world.admin.list_topics(timeout=5).topics)
    await world.bus.ensure(world.topic)
    await until(lambda: world.end() == 0)  # till then the broker may take messages for the old one
    world.send(*range(10, 13))  # fewer than it had: else nothing tells it from the old one
    await until(lambda: taker.numbers[5:] == list(range(10, 13)), 30)
    world.send(*range(13, 18))
    await until(lambda: taker.numbers[5:] == list(range(10, 18)))
    called: list[str] = []
    feed.started(taker.tokens[4], lambda: called.append("of the old topic"))
    feed.done(taker.tokens[4])
    feed.started(taker.tokens[5], lambda: called.append("of the new one"))
    await until(lambda: len(called) == 2)
    for token in taker.tokens[5:]:
        feed.done(token)
    await until(lambda: world.story() == "base 8, top 8, next 8, open 0, started 0")
    assert taker.lost == []


async def test_a_topic_made_again_and_filled_at_once_is_read_as_a_whole_and_nothing_comes_twice(world: World) -> None:
    taker = Taker()
    feed = await world.feed(taker, 100)
    await world.sent(*range(3))
    await until(lambda: len(taker.taken) == 3)
    for token in taker.tokens:
        feed.done(token)
    await until(lambda: world.story().startswith("base 3,"))
    world.admin.delete_topics([world.topic.name])[world.topic.name].result(10)
    await until(lambda: world.topic.name not in world.admin.list_topics(timeout=5).topics)
    await world.bus.ensure(world.topic)
    world.put(*map(encoded, range(10, 30)))  # more than it had
    ran: list[int] = []
    for count in range(1, 21):
        await until(lambda: len(taker.taken) >= 3 + count, 30)  # noqa: B023
        token, message, _ = taker.taken[2 + count]
        feed.started(token, partial(ran.append, number_of(message)))
    await until(lambda: len(ran) == 20)
    assert sorted(ran) == sorted(taker.numbers[3:]) == list(range(10, 30))
    await until(lambda: world.story() == "base 0, top 20, next 0, open 20, started 20")
    for token in taker.tokens[3:]:
        feed.done(token)
    await until(lambda: world.story() == "base 20, top 20, next 20, open 0, started 0")
    assert taker.lost == []


async def test_what_does_not_fit_into_the_commit_waits_for_what_is_done(kafka: "Broker") -> None:
    world, taker = await World(kafka, offset_metadata=64).make(), Taker()
    world.send(*range(200))
    feed = await world.feed(taker, 200)
    await until(lambda: len(taker.taken) > 0)
    most, handled = 0, 0
    while handled < 200:
        await until(lambda: len(taker.taken) > handled)  # noqa: B023
        most = max(most, len(taker.taken) - handled)
        feed.done(taker.tokens[handled])
        handled += 1
    assert most <= 26, "as many varints as 64 characters hold"
    assert taker.numbers == list(range(200))
    await world.close()


async def test_partitions_are_apart(world: World) -> None:
    wide = Topic(f"{world.topic.name}-wide", "activation")
    world.topic = wide
    world.admin.create_topics([NewTopic(wide.name, 3, 1)])[wide.name].result(10)
    for partition in range(3):
        world.put(encoded(partition), encoded(10 + partition), partition=partition)
    taker, again = Taker(), Taker()
    feed = await world.feed(taker, 99)
    await until(lambda: len(taker.taken) == 6)
    assert len(set(taker.tokens)) == 6
    for token, message, _ in taker.taken:
        if number_of(message) != 12:
            feed.done(token)
    await feed.close()
    await world.feed(again, 99)
    await until(lambda: again.numbers == [12])


async def test_partitions_that_come_later_are_read(kafka: "Broker") -> None:
    world, taker = await World(kafka, consumer={"topic.metadata.refresh.interval.ms": "500"}).make(), Taker()
    await world.feed(taker, 99)
    world.send(1)
    await until(lambda: taker.numbers == [1])
    world.admin.create_partitions([NewPartitions(world.topic.name, 2)])[world.topic.name].result(10)
    world.put(encoded(2), partition=1)
    await until(lambda: taker.numbers == [1, 2], 60)
    await world.close()


async def test_a_damaged_commit_stops_the_start(world: World) -> None:
    world.commit(2, "upcall1:!")
    await world.sent(0, 1, 2)
    with pytest.raises(Misconfigured, match="commit at offset 2 is damaged"):
        await world.feed(Taker())


async def test_a_commit_of_upstreams_invoker_is_a_plain_offset(world: World) -> None:
    await world.sent(0, 1, 2)
    world.commit(1, "somebody else's")
    taker = Taker()
    await world.feed(taker, 9)
    await until(lambda: taker.numbers == [1, 2])


async def test_brokers_that_do_not_answer_end_the_feed_after_a_while(kafka: "Broker") -> None:
    world, taker = await World(kafka, silence=2.0).make(), Taker()
    await world.feed(taker, 9)
    world.send(1)
    await until(lambda: taker.numbers == [1])
    kafka.freeze()
    try:
        await until(lambda: len(taker.lost) == 1, 60)
    finally:
        kafka.thaw()
    assert "could not be read for 2 s: the brokers do not answer" in str(taker.lost[0])
    await world.close()


async def test_a_start_that_cannot_be_committed_never_runs_and_ends_the_feed(kafka: "Broker") -> None:
    world, taker = await World(kafka, silence=2.0).make(), Taker()
    feed = await world.feed(taker, 1)
    world.send(1)
    await until(lambda: taker.numbers == [1])
    kafka.kill()
    ran: list[str] = []
    feed.started(taker.tokens[0], lambda: ran.append("ran"))
    await until(lambda: len(taker.lost) == 1, 60)
    kafka.start()
    reasons = ("no commit for", "does not take commits", "could not be read")  # whatever is noticed first
    assert any(reason in str(taker.lost[0]) for reason in reasons)
    assert ran == []
    await world.close()


async def test_a_broker_started_again_gets_what_was_sent_meanwhile_once_and_in_order(world: World) -> None:
    taker = Taker()
    await world.feed(taker, 1000)
    told: list[BaseException | None] = []
    world.send(*range(50), told=told.append)
    await until(lambda: len(taker.taken) > 0)
    world.broker.kill()
    world.send(*range(50, 150), told=told.append)
    kept: list[str] = []
    late = numbered(150)
    world.bus.send(world.topic, late, told.append)
    world.bus.keep(world.topic, late, lambda: kept.append("kept"))
    assert kept == [], "no broker has it"
    world.broker.start()
    await until(lambda: len(taker.taken) == 151, 30)
    await until(lambda: told == [None] * 151 and kept == ["kept"])
    assert taker.numbers == list(range(151))


async def test_a_broker_away_for_longer_than_a_session_takes_nobodys_place(kafka: "Broker") -> None:
    """A commit that waits for the broker gets there together with the wish to join again, and is refused as that of
    somebody whose place was taken. The client keeps it for a session's length; it has to last until the broker is
    back, and the session, which began earlier, must not."""
    world = await World(kafka, consumer={"session.timeout.ms": "6000", "heartbeat.interval.ms": "1000"}).make()
    taker = Taker()
    feed = await world.feed(taker, 1000)
    world.send(0)
    await until(lambda: taker.taken != [])
    kafka.kill()
    await asyncio.sleep(4.5)
    began: list[int] = []
    feed.started(taker.tokens[0], lambda: began.append(1))
    await asyncio.sleep(0.2)  # it is with the client
    kafka.start()
    await until(lambda: began == [1] or taker.lost != [], 40)
    assert taker.lost == []
    await world.close()


async def test_topics_are_made_as_asked_and_left_as_they_are(kafka: "Broker") -> None:
    given = {"invoker.retention.ms": "7200000", "invoker.partitions": "2", "completed.partitions": "9"}
    world = World(kafka, payload=2 << 20, serdes_overhead=100, topics=given)
    await world.make()
    assert len(world.admin.list_topics(timeout=5).topics[world.topic.name].partitions) == 2
    first = await World(kafka).make()
    await first.bus.ensure(world.topic)
    assert settings_of(world) == {
        "segment.bytes": "536870912",
        "retention.bytes": "1073741824",
        "retention.ms": "7200000",
        "max.message.bytes": str((2 << 20) + 100),
    }
    for each in (world, first):
        await each.close()


def settings_of(world: World) -> dict[str, str]:
    from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]

    resource = ConfigResource("topic", world.topic.name)
    found = world.admin.describe_configs([resource])[resource].result(10)
    return {
        name: str(found[name].value)
        for name in ("segment.bytes", "retention.bytes", "retention.ms", "max.message.bytes")
    }


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"common": {"no.such.setting": "1"}}, 'No such configuration property: "no.such.setting"'),
        ({"common": {"ssl.truststore.location": "/etc/ca.jks"}}, "certificates are in PEM"),
        ({"producer": {"acks": "some"}}, "acks"),
    ],
)
async def test_settings_that_the_client_does_not_take_are_named(settings: dict[str, dict[str, str]], says: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        KafkaBus(Brokers(hosts="127.0.0.1:1", **settings), 1 << 20)  # type: ignore[arg-type]
    assert says in str(caught.value)


async def test_no_broker_at_the_start_is_told_with_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upcall.bus.kafka_topics.PATIENCE", 0.1)
    bus = KafkaBus(Brokers(hosts="127.0.0.1:1"), 1 << 20)
    with pytest.raises(
        Misconfigured, match=r"can neither be found nor made at 127\.0\.0\.1:1: .* is KAFKA_HOSTS right"
    ):
        await bus.ensure(Topic("t", "activation"))
    await bus.close()


async def test_a_flood_is_taken_in_order_within_bounded_memory(world: World) -> None:
    """200 MB wait; a tenth of that may be fetched ahead."""
    data = encode(numbered(0, 20_000))
    world.put(*[data] * 10_000)
    command = [sys.executable, "-m", "tests.system.slow_consumer", world.broker.bootstrap, world.topic.name, "10000"]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert int(output) < 64 << 10
