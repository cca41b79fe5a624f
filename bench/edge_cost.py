"""What one warm blocking invoke costs in edge, route, invoke and acks: pure Python, no kernel.

The protocol is fed the bytes of a request over a stub transport; a stub bus answers at once with a combined ack. The
best of many short repeats is nearly free of the machine's load. Goal: 6.5 us with the result.

    python bench/edge_cost.py [--repeats 600] [--gate 20]
"""

import argparse
import asyncio
import base64
import gc
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from upcall.controller.acks import Acks
from upcall.controller.admission import Admission
from upcall.controller.auth import Authenticator
from upcall.controller.cache import DocumentCache
from upcall.controller.edge import EdgeProtocol
from upcall.controller.exchange import Edge
from upcall.controller.fleet import Fleet
from upcall.controller.invoke import Invocations
from upcall.controller.resolve import Resolver
from upcall.controller.route import InvokeRoute
from upcall.core.throttle import Throttles
from upcall.model.activation import Activation, Response
from upcall.model.entities import Action, ActionLimits, Exec, NamespaceKey, Subject
from upcall.model.messages import ActivationMessage, CombinedMessage, Topic
from upcall.model.names import InvokerId
from upcall.model.sizes import SystemLimits
from upcall.ports import Bus, Store
from upcall.store.fake import FakeStore
from upcall.testing import unexpected

UUID, KEY = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502", "k" * 64
AUTH = b"Basic " + base64.b64encode(f"{UUID}:{KEY}".encode())
INSTANCE = InvokerId(0, "2147483648 B")
BODY = b'{"name": "Ada"}'
REQUEST = (
    b"POST /api/v1/namespaces/_/actions/hello?blocking=true&result=%s HTTP/1.1\r\nHost: localhost:3233\r\n"
    b"User-Agent: bench\r\nAccept: */*\r\nAuthorization: " + AUTH + b"\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
)
ROUNDS = 200


class ImmediateBus:
    """Answers an activation within `send`; takes no feed's credit."""

    recalls = False

    def __init__(self) -> None:
        self.deliver: Any = None

    async def ensure(self, topic: Topic) -> None:
        pass

    def send(self, topic: Topic, message: Any, sent: Any = None) -> None:
        assert isinstance(message, ActivationMessage)
        sent(None)
        user = message.user
        record = Activation(
            user.namespace.name,
            "hello",
            user.subject,
            message.activation_id,
            1,
            2,
            1,
            response=Response(0, message.content),
        )
        self.deliver(0, CombinedMessage(message.transid, record, False, INSTANCE), False)

    def keep(self, topic: Topic, message: Any, then: Any) -> None:
        then()

    async def follow(self, topic: Topic, deliver: Any, lost: Any) -> Any:
        return self

    async def recall(self, topic: Topic, since: int, heard: Any) -> None:
        pass

    async def feed(self, topic: Topic, group: str, deliver: Any, lost: Any) -> "ImmediateBus":
        self.deliver = deliver
        return self

    def pull(self, count: int) -> None:
        pass

    def done(self, offset: int) -> None:
        pass

    def started(self, offset: int, then: Any) -> None:
        then()

    async def close(self) -> None:
        pass


class StubTransport(asyncio.Transport):
    """Keeps the last thing written."""

    written = b""
    writes = 0

    def write(self, data: Any) -> None:
        self.written = data
        self.writes += 1

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@asynccontextmanager
async def connected(store: Store, bus: Bus) -> AsyncIterator[tuple[EdgeProtocol, StubTransport]]:
    """A connection of the guest's to controller 0, whose only Invoker is on `bus`; `store` has guest/hello."""
    fleet = Fleet(local=lambda: True)
    await store.put(Subject("guest-subject", [NamespaceKey("guest", UUID, KEY)]))
    acks = Acks(bus, "0", fleet.release, unexpected)
    await acks.start()
    auth, cache = Authenticator(store), DocumentCache(store)
    await auth.authenticate(AUTH)
    await cache.fetch("guest/hello")
    limits = SystemLimits(invocations_per_minute=10**9)
    async with Invocations(store, bus, acks, fleet=fleet, controller="0") as invocations:
        edge = Edge(
            InvokeRoute(
                invocations, Resolver(cache), auth, limits, admission=Admission(Throttles(limits, acks.in_flight))
            )
        )
        state = ServerState()
        state.default_headers = [(b"date", b"Thu, 01 Jan 2026 00:00:00 GMT")]
        config = uvicorn.Config(lambda _scope, _receive, _send: None, ws="none", lifespan="off", log_config=None)
        protocol = EdgeProtocol(config, state, {}, edge=edge)
        transport = StubTransport()
        protocol.connection_made(transport)
        yield protocol, transport
    await acks.close()


async def measure(repeats: int) -> dict[str, float]:
    store = FakeStore()
    await store.put(Action("guest", "hello", Exec("python:3", "x"), ActionLimits(60_000, 256)))
    async with connected(store, ImmediateBus()) as (protocol, transport):
        found = {}
        for name, flag in (("result", b"true"), ("record", b"false")):
            found[name] = best(protocol, REQUEST % (flag, len(BODY), BODY), repeats)
            assert transport.written.startswith(b"HTTP/1.1 200 OK\r\n"), transport.written
        assert transport.writes == 2 * repeats * ROUNDS
    return found


def best(protocol: EdgeProtocol, request: bytes, repeats: int) -> float:
    feed = protocol.data_received
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(ROUNDS):
            feed(request)
        times.append(time.perf_counter() - start)
    return min(times) / ROUNDS * 1e6


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=600)
    parser.add_argument("--gate", type=float, default=None, help="exit 1 above this many us")
    given = parser.parse_args()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    found = asyncio.run(measure(given.repeats))
    for name, cost in found.items():
        print(f"invoke, answered with the {name}: {cost:.1f} us")
    return 1 if given.gate is not None and max(found.values()) > given.gate else 0


if __name__ == "__main__":
    sys.exit(main())
