"""A small Invoker for `test_delivery`: runs messages from a topic, survives SIGKILL, and leaves the evidence in files.

    python -m tests.system.delivery_worker BOOTSTRAP TOPIC FOLDER LIFE [POINT COUNT]

It uses the bus over Kafka as the Invoker does. `FOLDER/runs` gets the id of every message whose "user code" ran;
`FOLDER/records/ID` is its one record (made by link(2): the first writer wins); `FOLDER/seen` tells each
delivery with its verdict. With POINT the process kills itself when it passes that point the COUNT-th time and tells in
`FOLDER/deaths` which message it was in.
"""

import asyncio
import json
import os
import signal
import sys
from collections import deque
from pathlib import Path
from time import monotonic

import msgspec

from upcall.brokers import Brokers
from upcall.bus.kafka import KafkaBus
from upcall.model.messages import ActivationMessage, CompletionMessage, Message, Topic
from upcall.ports import Feed
from upcall.telemetry import set_up_logging
from upcall.testing import an_instance

PARALLEL = 6
PREFETCH = 20
LOST = 3
"""Exit code of a process whose feed is lost."""


class Worker:
    """Takes activations `{"ms": how long they run}`; at most PARALLEL run at a time."""

    def __init__(self, bootstrap: str, topic: str, folder: Path, life: str, point: str, count: int) -> None:
        self._folder = folder
        self._life = life
        self._point, self._count = point, count
        self._runs = (folder / "runs").open("a")
        self._seen = (folder / "seen").open("a", buffering=1)
        self._queue: deque[tuple[int, ActivationMessage]] = deque()
        self._free = PARALLEL
        self._topic = Topic(topic, "activation")
        self._acks = Topic(f"{topic}-acks", "ack")
        self._loop = asyncio.get_running_loop()
        self.bus = KafkaBus(Brokers(hosts=bootstrap), 1 << 20, self._flush)
        self.feed: Feed
        self.unfinished = 0
        self.latencies: list[float] = []

    async def start(self) -> None:
        self.feed = await self.bus.feed(self._topic, self._topic.name, self._take, self._lost)
        self.feed.pull(PREFETCH)

    async def _flush(self) -> None:
        """Records are files and durable at once; what waits for that has to wait, all the same."""
        await asyncio.sleep(0.005)

    def _lost(self, error: BaseException) -> None:
        print(error, file=sys.stderr, flush=True)
        os._exit(LOST)

    def _take(self, offset: int, message: Message, started: bool) -> None:
        assert isinstance(message, ActivationMessage)
        self.unfinished += 1
        self._seen.write(f"{self._life} {message.activation_id} {'started' if started else 'new'}\n")
        if started:
            self._end(offset, message, 3)
        else:
            self._queue.append((offset, message))
            self._fill()

    def _fill(self) -> None:
        while self._free and self._queue:
            self._free -= 1
            self._start(*self._queue.popleft())

    def _start(self, offset: int, message: ActivationMessage) -> None:
        begun = monotonic()

        def then() -> None:
            self.latencies.append(monotonic() - begun)
            self._run(offset, message)

        self.feed.started(offset, then)
        self._pass("starting", message)

    def _run(self, offset: int, message: ActivationMessage) -> None:
        self._pass("told", message)
        self._runs.write(f"{message.activation_id}\n")
        self._runs.flush()
        os.fsync(self._runs.fileno())
        self._pass("ran", message)
        assert isinstance(message.content, msgspec.Raw)
        self._loop.call_later(msgspec.json.decode(message.content)["ms"] / 1000, self._finish, offset, message)

    def _finish(self, offset: int, message: ActivationMessage) -> None:
        self._free += 1
        self._end(offset, message, 0)
        self._fill()

    def _end(self, offset: int, message: ActivationMessage, status: int) -> None:
        """The record, then its acknowledgement, then `done`. The first record of an id stands."""
        record = self._folder / "records" / message.activation_id
        draft = record.with_name(f".{message.activation_id}-{self._life}")
        draft.write_text(str(status))
        try:
            os.link(draft, record)
        except FileExistsError:
            status = int(record.read_text())
        draft.unlink()
        if status == 0:
            self._pass("recorded", message)

        def acknowledged(error: BaseException | None) -> None:
            assert error is None
            if status == 0:
                self._pass("acknowledged", message)
            self.feed.done(offset)
            self.feed.pull(1)
            self.unfinished -= 1

        ack = CompletionMessage(message.transid, message.activation_id, status == 3, an_instance())
        self.bus.send(self._acks, ack, acknowledged)

    def _pass(self, point: str, message: ActivationMessage) -> None:
        """Nothing, except on the point where this life is to end."""
        if point == self._point:
            self._count -= 1
            if self._count == 0:
                with (self._folder / "deaths").open("a") as deaths:
                    deaths.write(f"{self._life} {point} {message.activation_id}\n")
                os.kill(os.getpid(), signal.SIGKILL)


async def main(bootstrap: str, topic: str, folder: str, life: str, point: str = "", count: str = "0") -> None:
    set_up_logging("info", "console")
    worker = Worker(bootstrap, topic, Path(folder), life, point, int(count))
    await worker.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    while worker.unfinished:
        await asyncio.sleep(0.005)
    await worker.feed.close()
    await worker.bus.close()
    print(json.dumps(worker.latencies))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
