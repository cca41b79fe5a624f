"""Publishing on a bus whose answers come late (spec: load-balancer.md §3)."""

import asyncio

import pytest
from msgspec import UNSET, Raw, UnsetType

from tests.api.platform import INSTANCE, a_record, an_action
from upcall.bus.memory import MemoryBus
from upcall.controller.acks import Acks
from upcall.controller.cache import DocumentCache
from upcall.controller.fleet import Fleet
from upcall.controller.invoke import Invocations
from upcall.controller.resolve import Resolver
from upcall.core.health import State
from upcall.errors import Unavailable, UpcallError
from upcall.model.activation import Activation, Response
from upcall.model.documents import Document
from upcall.model.entities import RIGHTS, Identity, NamespaceId
from upcall.model.messages import ActivationMessage, CombinedMessage, Message, ResultMessage, Topic, completed_topic
from upcall.ports import Sent, Stored
from upcall.store.fake import FakeStore
from upcall.testing import unexpected


class LateBus(MemoryBus):
    """Keeps activations and what to call when they are sent."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[ActivationMessage, Sent]] = []

    def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
        if isinstance(message, ActivationMessage) and sent:
            self.kept.append((message, sent))
        else:
            super().send(topic, message, sent)


class CountingStore(FakeStore):
    records = 0

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        self.records += kind is Activation
        await asyncio.sleep(0)
        return await super().get(kind, id, rev)


class Setup:
    """One published activation, and who was told what."""

    def __init__(self, polling: bool = True) -> None:
        self.bus, self.store, self.fleet = LateBus(), CountingStore(), Fleet()
        self.fleet.learn(INSTANCE, 1024)
        self.fleet.move(0, State.HEALTHY)
        self.acks = Acks(self.bus, "0", self.fleet.release, unexpected)
        self.invocations = Invocations(
            self.store,
            self.bus,
            self.acks,
            fleet=self.fleet,
            controller="0",
            polling=polling,
        )
        self.told: list[Activation | UpcallError | None] = []
        self.answered = asyncio.Event()

    def done(self, id: str, activation: Activation | None) -> None:
        self._tell(activation)

    def failed(self, id: str, error: UpcallError) -> None:
        self._tell(error)

    def _tell(self, outcome: Activation | UpcallError | None) -> None:
        self.told.append(outcome)
        self.answered.set()

    async def publish(self, wait: float | None) -> tuple[ActivationMessage, Sent]:
        await self.acks.start()
        await self.store.put(an_action())
        await self.start(wait)
        return self.bus.kept[0]

    async def start(self, wait: float | None, cause: str | UnsetType = UNSET) -> None:
        user = Identity("guest", NamespaceId("guest", "uuid"), {}, RIGHTS)
        plan = await Resolver(DocumentCache(self.store)).plan(user, "guest", "hello")
        self.invocations.publish(self, plan, user, (Raw(b"{}"), {}), ["t", 1], start=1, wait=wait, cause=cause)


async def test_a_caller_who_does_not_wait_is_told_once_the_bus_has_the_message() -> None:
    setup = Setup()
    _, sent = await setup.publish(None)
    assert setup.told == []
    sent(None)
    assert setup.told == [None]
    await setup.acks.close()


async def test_a_caller_whose_wait_is_over_is_not_told_that_sending_failed() -> None:
    setup = Setup()
    _, sent = await setup.publish(0.001)
    await setup.answered.wait()
    sent(OSError("broker"))
    assert setup.told == [None]
    assert (setup.acks.count, setup.fleet._balancer.places[0].permits) == (0, 1024)
    await setup.acks.close()


async def test_several_acks_with_the_id_alone_look_into_the_store_once() -> None:
    setup = Setup()
    message, _ = await setup.publish(60)
    setup.store.record(a_record(message, Response(0, Raw(b"{}"))))
    topic = completed_topic("0")
    async with setup.invocations:
        setup.bus.send(topic, ResultMessage(message.transid, message.activation_id))
        setup.bus.send(topic, ResultMessage(message.transid, message.activation_id))
        await setup.answered.wait()
    assert setup.store.records == 1
    assert len(setup.told) == 1
    await setup.acks.close()


async def test_without_polling_an_id_alone_is_all_that_the_caller_gets() -> None:
    setup = Setup(polling=False)
    message, _ = await setup.publish(60)
    setup.bus.send(completed_topic("0"), CombinedMessage(message.transid, message.activation_id, False, INSTANCE))
    assert setup.told == [None]
    assert setup.store.records == 0
    await setup.acks.close()


async def test_new_work_is_turned_away_while_the_store_takes_nothing_and_its_parts_are_not() -> None:
    setup = Setup()
    await setup.publish(60)
    setup.store.trouble = "database or disk is full"
    with pytest.raises(Unavailable, match="database or disk is full") as refused:
        await setup.start(60)
    assert refused.value.retry_after == 5
    assert setup.acks.count == 1
    await setup.start(60, cause="0" * 32)
    assert setup.acks.count == 2
    await setup.acks.close()
