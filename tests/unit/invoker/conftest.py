"""An Invoker with fakes around it, and what is said to it and by it."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from upcall.bus.memory import MemoryBus
from upcall.core.pool import PoolConfig
from upcall.invoker.service import Invoker
from upcall.model.activation import Activation
from upcall.model.entities import Action, ActionLimits
from upcall.model.messages import ActivationMessage, invoker_topic
from upcall.model.names import Json
from upcall.ports import Stored
from upcall.store.cache import ActionCache
from upcall.testing import (
    MANIFEST,
    Controller,
    FakeContainer,
    FakeContainers,
    FakeStore,
    Reply,
    Script,
    a_message,
    an_instance,
)

NO_LOGS = ActionLimits(timeout=60_000, memory=256, logs=0)


class Recalling(MemoryBus):
    """As if it outlived the process: what is told leaves it, and comes again to the next life."""

    recalls = True


class Stage:
    """One Invoker between a bus, a store, containers and a controller."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.store = FakeStore()
        self.containers = FakeContainers()
        self.controller = Controller(self.bus)
        self.actions = ActionCache(self.store, time.monotonic)
        self.invoker: Invoker
        self._revisions: dict[str, str] = {}

    @asynccontextmanager
    async def started(self, pool: PoolConfig | None = None, **options: Any) -> AsyncIterator[Invoker]:
        """Start the Invoker; it stops with the block."""
        await self.controller.start()
        self.invoker = Invoker(
            an_instance(),
            self.bus,
            self.store,
            self.actions,
            self.containers,
            pool=pool or PoolConfig(memory=1024),
            **{"manifest": MANIFEST, **options},
        )
        async with self.invoker:
            yield self.invoker

    async def put(self, action: Action) -> str:
        revision = self._revisions[action.id] = await self.store.put(action, self._revisions.get(action.id))
        return revision

    async def send(self, action: Action, **options: Any) -> ActivationMessage:
        """Put the action if it is new, and ask for it."""
        revision = self._revisions.get(action.id) or await self.put(action)
        message = a_message(action, revision, **options)
        self.bus.send(invoker_topic(0), message)
        return message

    async def call(self, action: Action, **options: Any) -> ActivationMessage:
        """`send`, and wait for the last ack."""
        message = await self.send(action, **options)
        await self.controller.ended(message.activation_id)
        return message

    async def result(self, action: Action, **options: Any) -> Activation:
        """The record that a blocking call's ack carries."""
        message = await self.call(action, **options)
        return self.controller.record(message.activation_id)

    async def stored(self, message: ActivationMessage) -> Activation:
        """The record in the store."""
        found: Stored = await self.store.get(Activation, f"{message.user.namespace.name}/{message.activation_id}")
        assert isinstance(found.doc, Activation)
        return found.doc

    def shapes(self, message: ActivationMessage) -> list[str]:
        return self.controller.shapes(message.activation_id)

    @property
    def container(self) -> FakeContainer:
        """The one made last."""
        return self.containers.made[-1]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(stage.containers.close)
        yield stage


def answers(*replies: Reply, init: Reply | None = None) -> Script:
    """One reply after the other for /run, the last for ever; `init` for /init."""
    left = list(replies)

    def script(path: str, body: Json) -> Reply:
        if path == "/init":
            return init or Reply()
        return left.pop(0) if len(left) > 1 else left[0]

    return script


def value(record: Activation) -> Any:
    assert isinstance(record.response.result, msgspec.Raw)
    return msgspec.json.decode(record.response.result)


def annotations(record: Activation) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in msgspec.json.decode(record.annotations)}
