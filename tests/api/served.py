"""A whole Controller on a loop of its own, in a thread, for clients that block: memory bus and store, and an Invoker
that answers with the arguments and keeps a record, as the real one does."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import structs

from tests.api.client import KEY, MANIFEST, UUIDS
from tests.api.contract import LIMITS
from tests.api.platform import StubInvoker, a_record
from upcall.bus.memory import MemoryBus
from upcall.controller.server import Front
from upcall.controller.service import Controller
from upcall.http.listening import listen
from upcall.http.metrics import Exposed
from upcall.model.activation import Response
from upcall.model.entities import NamespaceKey, Subject
from upcall.model.messages import ActivationMessage
from upcall.store.fake import FakeStore

AUTH = (UUIDS["guest"], KEY)


class RecordingInvoker(StubInvoker):
    def __init__(self, bus: MemoryBus, store: FakeStore) -> None:
        super().__init__(bus)
        self._store = store

    def finish(self, message: ActivationMessage, response: Response) -> None:
        self._store.record(a_record(message, response))
        super().finish(message, response)


@contextmanager
def served() -> Iterator[str]:
    """The URL."""
    ready: threading.Event = threading.Event()
    listener = listen("127.0.0.1", 0)
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        store, bus = FakeStore(), MemoryBus()
        await store.put(Subject("guest-subject", [NamespaceKey("guest", UUIDS["guest"], KEY)]))
        await RecordingInvoker(bus, store).start()
        async with Controller(
            "0",
            bus,
            store,
            front=Front(listener),
            manifest=MANIFEST,
            limits=structs.replace(LIMITS, invocations_per_minute=1_000_000),
            local=lambda: True,
            metrics=Exposed([]),
        ) as controller:
            ready.set()
            await stop.wait()
            await controller.stop(1.0)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="controller")
    thread.start()
    try:
        assert ready.wait(10)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
