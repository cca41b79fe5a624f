"""Invokers that ping and answer probes, on a memory bus (spec: load-balancer.md §4, §8, bus.md §8)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from upcall.bus.memory import MemoryBus
from upcall.controller.fleet import Fleet
from upcall.controller.probe import Probes
from upcall.controller.supervisor import PERIOD, STRANGE, Supervisor
from upcall.core.balance import Job
from upcall.core.health import Outcome
from upcall.errors import Unavailable
from upcall.model.messages import (
    ActivationMessage,
    CombinedMessage,
    CompletionMessage,
    Message,
    PingMessage,
    Topic,
    health_topic,
)
from upcall.model.names import InvokerId
from upcall.ports import Sent
from upcall.testing import unexpected

GB = f"{1 << 30} B"


class Wires(MemoryBus):
    """Notes activations; `broken` is what sending one ends with."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, ActivationMessage]] = []
        self.broken: Exception | None = None

    def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
        if isinstance(message, ActivationMessage):
            self.sent.append((topic.name, message))
            if sent:
                sent(self.broken)
        else:
            super().send(topic, message, sent)


class World:
    """One controller's supervisor, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.bus, self.fleet = Wires(), Fleet()
        self.probes = Probes("7", 1_764_000_000_000)
        self.supervisor = Supervisor(self.bus, self.fleet, self.probes, unexpected, prefix="p-", clock=lambda: self.now)
        self.fleet.supervisor = self.supervisor

    def ping(self, number: int = 0, *, enabled: bool = True, memory: str = GB, **names: Any) -> None:
        self.bus.send(health_topic("p-"), PingMessage(InvokerId(number, memory, **names), enabled))

    def wait(self, seconds: float, *pinging: int) -> None:
        """Time passes in ticks, and these Invokers ping."""
        for tick in range(round(seconds / PERIOD)):
            self.now += PERIOD
            for number in pinging if tick % 4 == 3 else ():
                self.ping(number)
            self.supervisor.tick()

    def answer(self, number: int = 0, *, failed: bool = False, transid: Any = None) -> bool:
        """The Invoker's ack of a probe."""
        given = self.probes.transid if transid is None else transid
        return self.supervisor.unknown(CompletionMessage(given, "a" * 32, failed, InvokerId(number, GB)))

    def probed(self) -> list[str]:
        """Topics of the probes since the last question."""
        found = [topic for topic, _ in self.bus.sent]
        self.bus.sent.clear()
        return found


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.supervisor.start()
    yield made
    await made.supervisor.close()


async def test_the_first_ping_sends_a_probe_and_its_answer_makes_it_healthy(world: World) -> None:
    world.ping()
    assert (world.fleet.states(), world.probed()) == ({"invoker0": "unhealthy"}, ["p-invoker0"])
    with pytest.raises(Unavailable):
        world.fleet.publish(Job("guest", "guest/hello", 256))
    assert world.answer()
    assert world.fleet.states() == {"invoker0": "up"}
    assert world.fleet.publish(Job("guest", "guest/hello", 256)) == 0


async def test_a_probe_is_what_invokers_expect(world: World) -> None:
    world.ping()
    world.answer()
    first, second = (message for _, message in world.bus.sent)
    assert first.transid == ["sid_invokerHealth", 1_764_000_000_000]
    assert (first.action.path, first.action.name, first.action.version) == (
        "whisk.system",
        "invokerHealthTestAction7",
        "0.0.1",
    )
    assert (first.revision, first.blocking, first.init_args, first.locked_args) == (None, False, [], {})
    user = first.user
    assert (user.subject, user.namespace.name, user.rights) == ("whisk.system", "whisk.system", [])
    assert user.authkey["api_key"].startswith(f"{user.namespace.uuid}:")
    assert first.root_controller_index.as_string == "7"
    assert first.activation_id != second.activation_id
    assert len(first.activation_id) == 32


async def test_only_answers_under_our_own_transaction_count(world: World) -> None:
    world.ping()
    for transid in (["sid_invokerHealth", 1_764_000_000_001], ["sid_other", 1_764_000_000_000], ["sid_invokerHealth"]):
        assert not world.answer(transid=transid)
    assert world.fleet.states() == {"invoker0": "unhealthy"}
    assert world.answer(3), "one of an Invoker that is not known is ours, and changes nothing"
    combined = CombinedMessage(world.probes.transid, "a" * 32, False, InvokerId(0, GB))
    assert world.supervisor.unknown(combined)
    assert world.fleet.states() == {"invoker0": "up"}


async def test_failed_probes_keep_it_unhealthy_and_are_repeated_each_minute(world: World) -> None:
    world.ping()
    world.answer(failed=True)
    assert (world.fleet.states(), world.probed()) == ({"invoker0": "unhealthy"}, ["p-invoker0"])
    world.wait(59.5, 0)
    assert world.probed() == []
    world.wait(1, 0)
    assert world.probed() == ["p-invoker0"]


async def test_silent_for_ten_seconds_it_is_down_and_a_ping_brings_it_back(world: World) -> None:
    world.ping()
    world.answer()
    world.wait(9.75)
    assert world.fleet.states() == {"invoker0": "up"}
    world.wait(0.25)
    assert world.fleet.states() == {"invoker0": "down"}
    world.bus.sent.clear()
    world.ping()
    assert (world.fleet.states(), world.probed()) == ({"invoker0": "unhealthy"}, ["p-invoker0"])


async def test_a_time_in_which_this_process_did_not_run_is_no_silence(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.ping()
    world.answer()
    world.wait(5)
    world.now += 60
    world.supervisor.tick()
    assert "this process has not run for 59.8 s" in caplog.text
    assert world.fleet.states() == {"invoker0": "up"}
    world.wait(4.5)
    assert world.fleet.states() == {"invoker0": "up"}
    world.wait(0.5)
    assert world.fleet.states() == {"invoker0": "down"}


async def test_a_disabled_ping_takes_it_down_at_once_and_an_enabled_one_begins_anew(world: World) -> None:
    world.ping()
    world.answer()
    world.ping(enabled=False)
    assert world.fleet.states() == {"invoker0": "down"}
    world.ping(enabled=False)
    assert world.fleet.states() == {"invoker0": "down"}
    world.ping()
    assert world.fleet.states() == {"invoker0": "unhealthy"}


async def test_one_that_is_new_and_disabled_is_known_and_not_probed(world: World) -> None:
    world.ping(enabled=False)
    assert (world.fleet.states(), world.probed()) == ({"invoker0": "down"}, [])


async def test_ids_that_are_missing_are_shown_and_down(world: World) -> None:
    world.ping(2, unique_name="pod-2", displayed_name="10.0.0.7")
    world.answer(2)
    assert world.fleet.states() == {"invoker0": "down", "invoker1": "down", "invoker2/pod-2/10.0.0.7": "up"}
    world.ping(2, unique_name="pod-2", displayed_name="10.0.0.8")
    assert list(world.fleet.states()) == ["invoker0", "invoker1", "invoker2/pod-2/10.0.0.8"]
    world.ping(0, displayed_name="name")
    assert world.fleet.states()["invoker0/name"] == "unhealthy"


async def test_outcomes_of_users_activations_count(world: World) -> None:
    world.ping()
    world.answer()
    job = Job("guest", "guest/hello", 256)
    for outcome in (*[Outcome.SUCCESS] * 5, *[Outcome.SYSTEM_ERROR] * 4):
        world.fleet.release(job, world.fleet.publish(job), outcome)
    assert world.fleet.states() == {"invoker0": "unhealthy"}
    for _ in range(7):
        world.answer()
    assert world.fleet.states() == {"invoker0": "up"}
    for outcome in [Outcome.TIMEOUT] * 4:
        world.fleet.release(job, world.fleet.publish(job), outcome)
    assert world.fleet.states() == {"invoker0": "unresponsive"}


async def test_what_was_never_sent_is_no_outcome(world: World) -> None:
    world.ping()
    world.answer()
    job = Job("guest", "guest/hello", 256)
    for _ in range(10):
        world.fleet.release(job, world.fleet.publish(job), None)
    assert world.fleet.states() == {"invoker0": "up"}


async def test_a_probe_that_cannot_be_sent_is_sent_soon_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.bus.broken = Unavailable("no broker")
    world.ping()
    assert "invoker0 could not be tested: no broker" in caplog.text
    world.probed()  # forgotten
    world.bus.broken = None
    world.wait(2, 0)
    assert world.probed() == ["p-invoker0"]


@pytest.mark.parametrize(
    ("number", "memory", "says"),
    [
        (-1, GB, "numbered from 0 to 9999"),
        (10_000, GB, "numbered from 0 to 9999"),
        (2**31, GB, "numbered from 0 to 9999"),
        (0, "a lot", "'a lot' is no size"),
        (0, "0 B", "it has no memory: 0 B"),
        (0, f"{'9' * 4000} g", f"it says that it has {'9' * 50}"),
    ],
)
async def test_pings_that_cannot_be_are_dropped_and_told_once(
    world: World, number: int, memory: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        world.ping(number, memory=memory)
    assert world.fleet.states() == {}
    assert [says in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize("name", ["x" * 600, "two\nlines", "\x1b[2J", "\u2028"])
async def test_names_that_would_spoil_lists_and_logs_are_dropped(
    world: World, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        world.ping(0, unique_name=name)
    assert world.fleet.states() == {}
    assert ["up to 526 characters that can be printed" in record.message for record in caplog.records] == [True]


async def test_of_many_whose_pings_are_dropped_some_are_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(1000):
        world.ping(0, unique_name=f"{number}" * 1000)
    assert len(caplog.records) == STRANGE
    assert max(len(record.message) for record in caplog.records) < 700


async def test_a_new_name_or_memory_is_taken_over_and_its_health_stays(world: World) -> None:
    world.ping(unique_name="a")
    world.answer()
    world.ping(unique_name="b")
    assert world.fleet.states() == {"invoker0/b": "up"}


async def test_waiting_for_the_first_healthy_one(world: World) -> None:
    waiting = asyncio.create_task(world.supervisor.until(1))
    world.ping()
    await asyncio.sleep(0)
    assert not waiting.done()
    world.answer()
    await asyncio.wait_for(waiting, 5)


async def test_transitions_are_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.ping(unique_name="pod-0")
    world.answer()
    world.ping(enabled=False, unique_name="pod-0")
    told = [(record.levelname, record.message) for record in caplog.records]
    assert told == [
        ("INFO", "invoker0/pod-0 is unhealthy (it was down)"),
        ("INFO", "invoker0/pod-0 is up (it was unhealthy)"),
        ("WARNING", "invoker0/pod-0 is down (it was up)"),
    ]
