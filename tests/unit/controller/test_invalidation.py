"""What controllers tell each other of what they write, and what they trust while nobody can be heard."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.unit.controller.test_cache import an_action
from upcall.bus.followers import MemoryFollowing
from upcall.bus.memory import MemoryBus
from upcall.controller import invalidation as module
from upcall.controller.cache import DocumentCache
from upcall.controller.invalidation import Invalidation
from upcall.errors import Unavailable
from upcall.model.messages import CacheInvalidationMessage, CacheKey, Message, Topic, invalidation_topic
from upcall.ports import Lost, Sent
from upcall.store.fake import FakeStore
from upcall.testing import unexpected, until

HELLO = "guest/hello"


class Following(MemoryFollowing):
    """Has heard everything up to when a test says."""

    moment = 0.0

    @property
    def heard(self) -> float:
        return self.moment


class Wire(MemoryBus):
    """Refuses to send while `trouble` is set, and lets know what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: BaseException | None = None
        self.messages: list[Message] = []
        self.tried = 0
        self.following: list[Following] = []

    def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
        self.tried += 1
        if self.trouble is None:
            self.messages.append(message)
            super().send(topic, message, sent)
        elif sent is not None:
            sent(self.trouble)

    async def follow(self, topic: Topic, deliver: Callable[[Message], None], lost: Lost) -> MemoryFollowing:
        made = await super().follow(topic, deliver, lost)
        self.following.append(Following(made._followers, deliver))
        return self.following[-1]


class Member:
    """A controller's cache of actions, on a store and a bus that it shares; `now` is its clock."""

    def __init__(self, wire: Wire, store: FakeStore, name: str) -> None:
        self.now = 0.0
        self.cache = DocumentCache(store, clock=lambda: self.now)
        self.part = Invalidation(wire, name, self.cache, unexpected, clock=lambda: self.now)

    @property
    def knows(self) -> bool:
        return self.cache.cached(HELLO) is not None


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def members(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Member]]:
    """Three that have cached the same action."""
    monkeypatch.setattr(module, "LOOK", 0.001)
    monkeypatch.setattr(module, "AGAIN", 0.001)
    store = FakeStore()
    await store.put(an_action())
    made = [Member(wire, store, str(number)) for number in range(3)]
    for member in made:
        await member.part.__aenter__()
        await member.cache.fetch(HELLO)
    yield made
    for member in made:
        await member.part.__aexit__()


async def test_what_one_writes_all_forget(members: list[Member], wire: Wire) -> None:
    await members[0].cache.fetch(HELLO)
    members[0].part.written(HELLO)
    assert [member.knows for member in members] == [False, False, False]
    assert wire.messages == [CacheInvalidationMessage(CacheKey(HELLO), "controller0")]


async def test_nobody_forgets_anything_else(members: list[Member]) -> None:
    members[0].part.written("guest/other")
    assert [member.knows for member in members] == [True, True, True]


async def test_what_we_told_ourselves_is_not_heard_again(members: list[Member], wire: Wire) -> None:
    """It was forgotten when it was written; what was read since is newer."""
    wire.send(invalidation_topic(), CacheInvalidationMessage(CacheKey(HELLO), "controller1"))
    assert [member.knows for member in members] == [False, True, False]


async def test_what_cannot_be_told_is_told_as_soon_as_it_can(members: list[Member], wire: Wire) -> None:
    wire.trouble = Unavailable("no broker")
    for id in (HELLO, "guest/other", HELLO):
        members[0].part.written(id)
    await until(lambda: wire.tried > 9)
    assert [member.knows for member in members] == [False, True, True]
    wire.trouble = None
    await until(lambda: len(wire.messages) == 2)
    assert [member.knows for member in members] == [False, False, False]
    tried = wire.tried
    members[0].part.written("guest/last")
    assert wire.tried == tried + 1


async def test_of_too_much_that_cannot_be_told_the_newest_is(
    members: list[Member], wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING", 3)
    wire.trouble = Unavailable("no broker")
    for name in "abcdaef":
        members[0].part.written(f"guest/{name}")
    wire.trouble = None
    await until(lambda: len(wire.messages) == 3)
    told = [each.key.main_id for each in wire.messages if isinstance(each, CacheInvalidationMessage)]
    assert told == ["guest/a", "guest/e", "guest/f"]


async def test_what_is_written_again_meanwhile_is_told_once(members: list[Member], wire: Wire) -> None:
    wire.trouble = Unavailable("no broker")
    members[0].part.written(HELLO)
    members[0].part.written("guest/other")
    wire.trouble = None
    members[0].part.written(HELLO)
    await until(lambda: len(wire.messages) == 2)
    assert wire.tried == 4


async def test_while_the_bus_is_away_nothing_is_kept_for_long(members: list[Member], wire: Wire) -> None:
    member = members[0]
    member.now = module.TRUST + 0.1
    await until(lambda: not member.knows)
    await member.cache.fetch(HELLO)
    assert member.knows
    member.now += module.SHORT
    assert not member.knows


async def test_what_was_kept_while_the_bus_was_away_is_dropped_when_it_is_back(
    members: list[Member], wire: Wire
) -> None:
    member = members[0]
    member.now = module.TRUST + 0.1
    await until(lambda: not member.knows)
    await member.cache.fetch(HELLO)
    wire.following[0].moment = member.now
    await until(lambda: not member.knows)
    await member.cache.fetch(HELLO)
    member.now += module.TRUST
    assert member.knows, "all is as it was"


async def test_who_doubts_forgets_everything(members: list[Member]) -> None:
    members[0].part.doubt()
    assert [member.knows for member in members] == [False, True, True]
