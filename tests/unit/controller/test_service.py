"""The Controller's life, as far as the API's tests do not show it."""

import pytest

from upcall.bus.memory import MemoryBus, MemoryFeed
from upcall.controller.server import Front
from upcall.controller.service import Controller
from upcall.errors import Unavailable
from upcall.http.listening import listen
from upcall.model.messages import Topic
from upcall.model.sizes import SystemLimits
from upcall.ports import Deliver, Lost
from upcall.store.fake import FakeStore
from upcall.testing import MANIFEST


class TakenBus(MemoryBus):
    """Another life may take the place in a group."""

    lost: Lost

    async def feed(self, topic: Topic, group: str, deliver: Deliver, lost: Lost) -> MemoryFeed:
        self.lost = lost
        return await super().feed(topic, group, deliver, lost)


async def test_without_acknowledgements_it_ends_loudly(caplog: pytest.LogCaptureFixture) -> None:
    bus = TakenBus()
    controller = Controller(
        "0",
        bus,
        FakeStore(),
        front=Front(listen("127.0.0.1", 0)),
        manifest=MANIFEST,
        limits=SystemLimits(),
        local=lambda: True,
    )
    async with controller:
        bus.lost(Unavailable("another life has the place"))
        with pytest.raises(Unavailable):
            await controller.ended
    assert "the bus is lost: another life has the place" in caplog.text
