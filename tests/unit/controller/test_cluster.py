"""Several controllers on one bus: who is there, what they count together, what happens when one goes."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable

import pytest

from upcall.bus.followers import MemoryFollowing
from upcall.bus.memory import MemoryBus
from upcall.controller import cluster as module
from upcall.controller.cluster import Cluster
from upcall.core.throttle import Throttles
from upcall.errors import Throttled
from upcall.model.entities import Identity, NamespaceId
from upcall.model.messages import ClusterMessage, Message, Topic, cluster_topic
from upcall.model.sizes import SystemLimits
from upcall.ports import Lost, Sent
from upcall.testing import unexpected, until

USER = Identity("guest", NamespaceId("guest", "u"), {})


class Wire(MemoryBus):
    """A bus that can be cut: what is sent by, or to, one that is cut off is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[ClusterMessage] = []
        self.cut: set[str] = set()
        self.lose = False

    def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
        assert isinstance(message, ClusterMessage)
        self.messages.append(message)
        if message.controller not in self.cut and not self.lose:
            super().send(topic, message, sent)

    async def join(self, name: str, topic: Topic, deliver: Callable[[Message], None]) -> MemoryFollowing:
        return await super().follow(topic, lambda message: None if name in self.cut else deliver(message), unexpected)


class End(MemoryBus):
    """One controller's end of the wire."""

    def __init__(self, wire: Wire, name: str) -> None:
        super().__init__()
        self._wire = wire
        self._name = name

    def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
        self._wire.send(topic, message, sent)

    async def follow(self, topic: Topic, deliver: Callable[[Message], None], lost: Lost) -> MemoryFollowing:
        return await self._wire.join(self._name, topic, deliver)


class Member:
    """A controller's part in the cluster; it goes with `kill` or `leave`."""

    def __init__(self, wire: Wire, name: str, limits: SystemLimits, clock: Callable[[], float]) -> None:
        self.running: dict[str, int] = {}
        self.throttles = Throttles(limits, self.running)
        self.sizes: list[int] = []
        self.doubts = 0
        self.clock = clock
        self.cluster = Cluster(
            End(wire, name),
            name,
            self.throttles,
            resized=self.sizes.append,
            doubt=self._doubt,
            lost=unexpected,
            clock=clock,
        )
        self._wire, self._name = wire, name

    def _doubt(self) -> None:
        self.doubts += 1

    async def attempt(self) -> bool:
        """Whether it passes; what passes is in flight."""
        try:
            held = self.throttles.admit(USER, self.clock())
            if held is not None:
                await self.cluster.agree(held)
        except Throttled:
            return False
        self.running["u"] = self.running.get("u", 0) + 1
        return True

    async def leave(self) -> None:
        await self.cluster.__aexit__()

    async def kill(self) -> None:
        self._wire.cut.add(self._name)
        await self.cluster.__aexit__()
        self._wire.cut.discard(self._name)


class World:
    def __init__(self) -> None:
        self.wire = Wire()
        self.members: list[Member] = []
        self.limits = SystemLimits(invocations_per_minute=60, concurrent_invocations=1000)
        self.later = 0.0
        self.noon = time.time() - time.time() % 60 + 30

    async def start(self, name: str, skew: float = 0.0) -> Member:
        """Clocks stand still, a start takes some milliseconds of them."""
        self.noon += 0.01
        now = self.noon + skew
        member = Member(self.wire, name, self.limits, lambda: now + self.later)
        await member.cluster.__aenter__()
        self.members.append(member)
        return member

    def told(self) -> list[ClusterMessage]:
        return [each for each in self.wire.messages if each.rates or each.running]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Quick of period; nobody is gone before a test says so."""
    for name, value in {"PERIOD": 0.01, "IDLE": 0.02, "SPACING": 0.001, "ANSWERS": 0.01, "PATIENCE": 5.0}.items():
        monkeypatch.setattr(module, name, value)
    made = World()
    yield made
    for member in made.members:
        with contextlib.suppress(Exception):
            await member.leave()


async def test_who_is_alone_is_one_and_tells_nothing_of_its_counts(world: World) -> None:
    only = await world.start("0")
    for _ in range(60):
        assert await only.attempt()
    assert not await only.attempt()
    count = len(world.wire.messages)
    await until(lambda: len(world.wire.messages) > count + 1)
    assert only.cluster.size == 1
    assert world.told() == []


async def test_who_comes_is_known_to_all_and_knows_all_when_it_has_started(world: World) -> None:
    first = await world.start("0")
    for _ in range(30):
        assert await first.attempt()
    second = await world.start("1")
    assert (first.cluster.names, second.cluster.names) == (["0", "1"], ["0", "1"])
    await until(lambda: second.throttles.rates.others == {"u": 30})
    third = await world.start("2")
    await until(lambda: third.throttles.rates.others == {"u": 30})
    assert [each.cluster.size for each in (first, second, third)] == [3, 3, 3]
    assert (first.sizes, second.sizes) == ([2, 3], [2, 3])


async def test_who_leaves_is_gone_at_once_and_nobody_doubts(world: World) -> None:
    first, second = await world.start("0"), await world.start("1")
    doubts = first.doubts
    second.running["u"] = 5
    await until(lambda: first.throttles.running.others == {"u": 5})
    await second.leave()
    assert (first.cluster.size, first.sizes, first.throttles.running.others) == (1, [2, 1], {})
    assert first.doubts == doubts


async def test_who_is_not_heard_any_more_is_gone_with_what_it_had_in_flight(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await world.start("0"), await world.start("1")
    doubts = first.doubts
    assert await second.attempt()
    await until(lambda: first.throttles.running.others == {"u": 1} == first.throttles.rates.others)
    await second.kill()
    monkeypatch.setattr(module, "GONE", 0.1)
    await until(lambda: first.cluster.size == 1)
    assert first.throttles.running.others == {}
    assert first.throttles.rates.others == {"u": 1}, "until the minute is over"
    assert first.doubts == doubts + 1, "it may have written something and not told"


async def test_while_the_bus_is_away_nobody_is_gone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = await world.start("0"), await world.start("1")
    monkeypatch.setattr(module, "GONE", 0.1)
    monkeypatch.setattr(module, "SILENT", 0.05)
    world.wire.lose = True
    count = len(world.wire.messages)
    await until(lambda: len(world.wire.messages) > count + 30)
    world.wire.lose = False
    await until(lambda: len(world.wire.messages) > count + 60)
    assert (first.sizes, second.sizes) == ([2], [2])
    assert (first.cluster.size, second.cluster.size) == (2, 2)


async def test_a_second_life_replaces_the_first(world: World) -> None:
    first, second = await world.start("0"), await world.start("1")
    assert await second.attempt()
    await until(lambda: first.throttles.running.others == {"u": 1})
    await second.kill()
    doubts = first.doubts
    again = await world.start("1")
    assert first.cluster.size == again.cluster.size == 2
    assert first.throttles.running.others == {}
    assert first.doubts == doubts + 1
    assert await again.attempt()
    await until(lambda: first.throttles.rates.others == {"u": 2})  # attempts of both lives count


async def test_what_is_left_of_an_earlier_life_is_not_listened_to(world: World) -> None:
    first, _ = await world.start("0"), await world.start("1")
    late = ClusterMessage("1", 1, 99, running={"u": 7})
    world.wire.send(cluster_topic(), late)
    assert first.throttles.running.others == {}
    assert first.cluster.size == 2


async def test_what_got_lost_is_told_again(world: World) -> None:
    first, second = await world.start("0"), await world.start("1")
    second.running["u"] = 5
    await until(lambda: first.throttles.running.others == {"u": 5})
    world.wire.lose = True
    second.running.clear()
    assert await second.attempt()
    count = len(world.wire.messages)
    await until(lambda: len(world.wire.messages) > count + 10)
    world.wire.lose = False
    await until(lambda: first.throttles.running.others == {"u": 1} == first.throttles.rates.others)


@pytest.fixture
def slow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said but what is asked for."""
    for name in ("PERIOD", "IDLE", "PATIENCE"):
        monkeypatch.setattr(module, name, 1000.0)


@pytest.mark.usefixtures("slow")
@pytest.mark.timeout(20)
async def test_a_burst_over_all_of_them_passes_up_to_the_limit_exactly(world: World) -> None:
    members = [await world.start(str(number)) for number in range(3)]
    passed = await asyncio.gather(*(member.attempt() for _ in range(50) for member in members))
    in_turn = [await member.attempt() for _ in range(20) for member in members]
    assert sum(passed) <= 60
    assert sum(passed) + sum(in_turn) == 60, "what they refused each other is not lost"
    assert sum(member.throttles.rates.attempts("u") for member in members) == 210


@pytest.mark.usefixtures("slow")
@pytest.mark.timeout(20)
async def test_a_burst_at_one_of_them_gets_the_whole_limit(world: World) -> None:
    members = [await world.start(str(number)) for number in range(3)]
    passed = await asyncio.gather(*(members[1].attempt() for _ in range(70)))
    assert sum(passed) == 60


async def test_in_flight_is_limited_over_all_of_them(world: World) -> None:
    world.limits = SystemLimits(invocations_per_minute=10_000, concurrent_invocations=30)
    members = [await world.start(str(number)) for number in range(2)]
    passed = await asyncio.gather(*(member.attempt() for _ in range(40) for member in members))
    assert 29 <= sum(passed) <= 31, "the last place may be given by each of them"
    assert not await members[0].attempt()
    members[1].running.clear()
    world.later += 1.0
    assert await members[0].attempt(), "it asks before it refuses"


async def test_who_does_not_answer_is_not_waited_for_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = await world.start("0"), await world.start("1")
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    await second.kill()
    passed = [await first.attempt() for _ in range(70)]
    assert sum(passed) == 60
    assert first.cluster.size == 2


@pytest.mark.usefixtures("slow")
async def test_who_is_silent_is_not_waited_for_at_all(world: World) -> None:
    first, second = await world.start("0"), await world.start("1")
    await second.kill()
    first.cluster._peers["1"].heard -= module.SILENT
    async with asyncio.timeout(10):
        assert sum([await first.attempt() for _ in range(70)]) == 60
    assert first.cluster.size == 2


class Puppet:
    """Another controller that says what it is told to."""

    def __init__(self, world: World) -> None:
        self.wire = world.wire
        self.number = 0

    def say(self, seen: ClusterMessage | None = None, parts: int = 0, **running: int) -> None:
        self.number += 1
        heard = {seen.controller: (seen.incarnation, seen.number)} if seen else {}
        message = ClusterMessage("9", 5, self.number, heard, running=running, parts=parts)
        self.wire.send(cluster_topic(), message)

    async def answer(self) -> ClusterMessage:
        """The next message of the other."""
        count = len(self.wire.messages)
        await until(lambda: len(self.wire.messages) > count)
        return self.wire.messages[-1]


async def test_what_has_a_gap_is_not_called_heard_before_all_of_it_was_told_again(world: World) -> None:
    first, puppet = await world.start("0"), Puppet(world)
    puppet.say(u=3)
    assert (await puppet.answer()).seen == {"9": (5, 1)}
    puppet.number = 7
    puppet.say(v=4)
    answer = await puppet.answer()
    assert (answer.seen, answer.whole, answer.asks) == ({}, True, True)
    assert first.throttles.running.others == {"v": 4}, "what may have ended in the gap is not believed"
    puppet.say(u=1)
    assert (await puppet.answer()).seen == {}
    puppet.say(parts=2, v=4)
    assert (await puppet.answer()).seen == {"9": (5, 10)}
    assert first.throttles.running.others == {"u": 1, "v": 4}


async def test_an_attempt_waits_for_an_answer_to_its_own_question(world: World) -> None:
    world.limits = SystemLimits(invocations_per_minute=1000, concurrent_invocations=30)
    first, puppet = await world.start("0"), Puppet(world)
    puppet.say(u=30)
    before = await puppet.answer()
    attempt = asyncio.ensure_future(first.attempt())
    await until(lambda: world.wire.messages[-1].rates == {"u": 1})
    asked = world.wire.messages[-1]
    assert asked.asks
    puppet.say(before)
    await until(lambda: world.wire.messages[-1].number > asked.number + 1)
    assert not attempt.done()
    puppet.say(asked, u=29)
    assert await attempt


async def test_when_the_bus_was_away_the_others_have_their_time_again(world: World) -> None:
    first, _ = await world.start("0"), await world.start("1")
    world.wire.cut = {"0", "1"}
    first.cluster._echo -= 100.0
    for peer in first.cluster._peers.values():
        peer.heard -= 100.0
    world.wire.cut = {"1"}
    echo = first.cluster._echo
    await until(lambda: first.cluster._echo > echo)
    first.cluster._sweep(asyncio.get_running_loop().time())
    assert first.cluster.size == 2


async def test_clocks_that_differ_share_a_minute_by_its_number(world: World) -> None:
    first, second = await world.start("0"), await world.start("1", skew=60)
    for _ in range(10):
        assert await second.attempt()
    await until(lambda: any(each.rates for each in world.told()))
    assert first.throttles.rates.others == {}
    first.throttles.rates.turn(first.clock() + 60)
    assert first.throttles.rates.others == {"u": 10}


async def test_a_clock_that_is_far_off_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await world.start("0")
        await world.start("1", skew=3600)
        await until(lambda: "the clock of controller 1 is 60 minutes away from ours" in caplog.text)


async def test_messages_are_bounded_however_many_namespaces_there_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENTRIES", 20)
    first = await world.start("0")
    namespaces = {f"u{number}": 1 for number in range(105)}
    first.running.update(namespaces)
    second = await world.start("1")
    await until(lambda: second.throttles.running.others == namespaces)
    assert max(len(each.running) for each in world.told()) == 10


async def test_of_endless_names_some_are_controllers_and_it_is_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    first = await world.start("0")
    for number in range(1000):
        world.wire.send(cluster_topic(), ClusterMessage(f"n{number}", 1, 1))
    await until(lambda: first.cluster.size == module.MOST + 1)
    assert [f"controller n{module.MOST} is not heard" in each.message for each in caplog.records] == [True]
