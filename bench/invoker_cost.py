"""Pure Python cost of a warm activation in the Invoker: from the bus's send to the last ack, with a stubbed socket.

What is real: memory bus, service, pool, activation, container client with its parser, records up to the store's door.
What is not: the kernel (the transport answers within `write`), the store (takes records and drops them), the
controller (drops acks). The best of many repeats is nearly free of load.

    python -m bench.invoker_cost [REPEATS] [--profile]
"""

import asyncio
import cProfile
import gc
import pstats
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from upcall.bus.memory import MemoryBus
from upcall.core.pool import PoolConfig
from upcall.invoker.service import Invoker
from upcall.model.activation import Activation
from upcall.model.entities import ActionLimits
from upcall.model.messages import ActivationMessage, completed_topic, invoker_topic
from upcall.store.cache import ActionCache
from upcall.testing import MANIFEST, FakeContainers, FakeStore, a_message, an_action, an_instance, unexpected, until

ROUNDS = 1000
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n{"greeting":"Hello, Ada"}'


class Socket:
    """A transport whose peer answers at once."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def write(self, data: bytes) -> None:
        self._connection.data_received(ANSWER)

    def abort(self) -> None:
        """Nothing is open."""


class Sink(FakeStore):
    """Takes records and forgets them."""

    def record(self, activation: Activation) -> bool:
        return True


@contextmanager
def stubbed(invoker: Invoker) -> Iterator[None]:
    """The one connection to the one container, which nobody uses, has its peer here."""
    connection = invoker._runner.boxes[1].runtime.free[0]
    real, connection._transport = connection._transport, Socket(connection)  # type: ignore[assignment]
    try:
        yield
    finally:
        connection._transport = real


def microseconds(bus: MemoryBus, message: ActivationMessage) -> float:
    topic = invoker_topic(0)
    gc.collect()
    gc.disable()
    begin = time.perf_counter()
    for _ in range(ROUNDS):
        bus.send(topic, message)
    spent = time.perf_counter() - begin
    gc.enable()
    return spent / ROUNDS * 1e6


async def measure(name: str, logs: int, blocking: bool, repeats: int, profile: bool) -> None:
    bus, store, containers = MemoryBus(), Sink(), FakeContainers()
    acks = [0]

    def deliver(offset: int, ack: object, started: bool) -> None:
        acks[0] += 1
        feed.pull(1)
        feed.done(offset)

    feed = await bus.feed(completed_topic("0"), "completed0", deliver, unexpected)
    feed.pull(100)
    action = an_action(limits=ActionLimits(60_000, 256, logs))
    revision = await store.put(action)
    actions = ActionCache(store, time.monotonic)
    pool = PoolConfig(memory=2048)
    async with Invoker(an_instance(), bus, store, actions, containers, pool=pool, manifest=MANIFEST) as invoker:
        message = a_message(action, revision, content={"name": "Ada"}, blocking=blocking)
        message.transid[1] = 2**42  # epoch ms that are yet to come: it has not waited
        bus.send(invoker_topic(0), message)
        await until(lambda: acks[0] > 0 and invoker.load == 0)
        with stubbed(invoker):
            before = acks[0]
            costs = [microseconds(bus, message) for _ in range(repeats)]
            per = (acks[0] - before) / ROUNDS / repeats
            print(f"{name:<28} best {min(costs):5.2f}  median {sorted(costs)[repeats // 2]:5.2f} us   acks {per:.0f}")
            if profile:
                profiler = cProfile.Profile()
                profiler.runcall(microseconds, bus, message)
                pstats.Stats(profiler).sort_stats("tottime").print_stats(32)


async def main(repeats: int, profile: bool) -> None:
    await measure("blocking, logs", 10, True, repeats, profile)
    await measure("blocking, no logs", 0, True, repeats, False)
    await measure("non-blocking, logs", 10, False, repeats, False)


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:] if text.isdigit()]
    asyncio.run(main(numbers[0] if numbers else 100, "--profile" in sys.argv))
