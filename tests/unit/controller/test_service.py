"""The Controller's life, as far as the API's tests do not show it."""

import asyncio
import socket
from base64 import b64encode

import pytest

from upcall.balancing import Balancing
from upcall.bus.memory import MemoryBus, MemoryFeed
from upcall.controller.server import Front
from upcall.controller.service import Controller
from upcall.controller.subjects import ensure_subject
from upcall.errors import Unavailable
from upcall.http.listening import listen
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.messages import ActivationMessage, CombinedMessage, Message, Topic, completed_topic
from upcall.model.sizes import SystemLimits
from upcall.places import GUEST
from upcall.ports import Deliver, Lost, Sent, Stored
from upcall.store.fake import FakeStore
from upcall.testing import MANIFEST, an_action, an_instance

KEY = f"23bc46b1-71f6-4ed5-8c54-816aa4f8c502:{'x' * 64}"


class TakenBus(MemoryBus):
    """Another life may take the place in a group."""

    lost: Lost

    async def feed(self, topic: Topic, group: str, deliver: Deliver, lost: Lost) -> MemoryFeed:
        self.lost = lost
        return await super().feed(topic, group, deliver, lost)


class RefusingBus(MemoryBus):
    """Another life has the place before this one has begun."""

    async def feed(self, topic: Topic, group: str, deliver: Deliver, lost: Lost) -> MemoryFeed:
        lost(Unavailable("another life has the place"))
        return await super().feed(topic, group, deliver, lost)


def made(bus: MemoryBus, listener: socket.socket) -> Controller:
    return Controller(
        "0",
        bus,
        FakeStore(),
        front=Front(listener),
        manifest=MANIFEST,
        limits=SystemLimits(),
        local=lambda: True,
    )


async def test_without_acknowledgements_it_ends_loudly(caplog: pytest.LogCaptureFixture) -> None:
    bus = TakenBus()
    async with made(bus, listen("127.0.0.1", 0)) as controller:
        bus.lost(Unavailable("another life has the place"))
        with pytest.raises(Unavailable):
            await controller.ended
    assert "the bus is lost: another life has the place" in caplog.text


async def test_who_has_lost_its_place_before_it_serves_does_not_begin() -> None:
    with listen("127.0.0.1", 0) as listener, pytest.raises(Unavailable, match="another life has the place"):
        async with made(RefusingBus(), listener):
            pytest.fail("it serves")


class ShrinkingBus(MemoryBus):
    """With an Invoker that tells the ids of activations alone, and keeps no records."""

    def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
        super().send(topic, message, sent)
        if isinstance(message, ActivationMessage):
            ack = CombinedMessage(message.transid, message.activation_id, False, an_instance())
            super().send(completed_topic("0"), ack)


class AskedStore(FakeStore):
    """Counts the records that it is asked for."""

    records = 0

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        self.records += kind is Activation
        return await super().get(kind, id, rev)


async def test_without_polling_who_waits_gets_the_id_and_the_store_is_not_asked() -> None:
    store = AskedStore()
    await ensure_subject(store, GUEST, KEY)
    await store.put(an_action())
    bus = ShrinkingBus()
    controller = Controller(
        "0",
        bus,
        store,
        front=Front(listen("127.0.0.1", 0)),
        manifest=MANIFEST,
        limits=SystemLimits(),
        local=lambda: True,
        balancing=Balancing(polling=False),
    )
    async with controller:
        reader, writer = await asyncio.open_connection("127.0.0.1", controller.port)
        writer.write(
            b"POST /api/v1/namespaces/_/actions/hello?blocking=true&timeout=1000 HTTP/1.1\r\nHost: x\r\n"
            b"Connection: close\r\nContent-Length: 0\r\nAuthorization: Basic %b\r\n\r\n" % b64encode(KEY.encode())
        )
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b'{"activationId":"' in answer
    assert store.records == 0
