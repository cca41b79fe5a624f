"""A small Invoker for `test_delivery`: runs messages from a topic, survives SIGKILL, and leaves the evidence in files.

    python -m tests.system.delivery_worker BOOTSTRAP TOPIC FOLDER LIFE [POINT COUNT]

`FOLDER/runs` gets the id of every message whose "user code" ran; `FOLDER/records/ID` is its one record (made by
link(2): the first writer wins, as in the store); `FOLDER/seen` tells each delivery with its verdict. With POINT the
process kills itself when it passes that point the COUNT-th time and tells in `FOLDER/deaths` which message it was in.

`KafkaFeed` has the shape of `upcall.ports.Feed`, with one more argument of `deliver`: whether an earlier life had
started the message. It needs two handles, each in its thread, for confluent-kafka lets one call at a time into a
Consumer, and a `poll` that waits keeps a `commit` out (a loop of polls for ever): the *member* holds the place in the
group, fetches nothing and commits when the loop asks; the *reader* is assigned by hand and only fetches. All else is
on the loop. Starts that come while a commit is under way share the next one.
"""

import asyncio
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from traceback import print_exception
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from upcall.core.offsets import Commit, Offsets, Verdict

if TYPE_CHECKING:
    from upcall.ports import Feed

PARALLEL = 6
PREFETCH = 20
LAZY = 0.05
"""Seconds after which what is done is committed, where no start has taken it along."""
FENCED = 3
"""Exit code of a process whose place in the group another one has taken."""

Deliver = Callable[[int, bytes, bool], None]


class KafkaFeed:
    """One partition, from the group's commit on."""

    def __init__(self, bootstrap: str, topic: str, deliver: Deliver) -> None:
        self._loop = asyncio.get_running_loop()
        self._topic = topic
        self._deliver = deliver
        self._offsets: Offsets | None = None
        self._ours: list[Commit] = []  # the last acknowledged and the one tried: no other may stand in the broker
        self._pulled = 0  # counted by the loop
        self._taken = 0  # counted by the reader
        self._held: deque[Message] = deque()
        self._waiting: list[Callable[[], None]] = []
        self._told: list[Callable[[], None]] | None = None  # of the commit under way
        self._began = 0.0
        self._lazy: asyncio.TimerHandle | None = None
        self.latencies: list[float] = []
        self._closing = False
        self._commits: SimpleQueue[Commit | None] = SimpleQueue()
        common = {
            "bootstrap.servers": bootstrap,
            "group.id": topic,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
        # the instance id: a new life takes the place at once and not after the session's end, an old one is fenced
        self._member = Consumer({**common, "group.instance.id": topic, "session.timeout.ms": 30_000})
        self._reader = Consumer({**common, "fetch.wait.max.ms": 50})
        self._threads = [self._thread(self._hold_place), self._thread(self._read)]

    def pull(self, count: int) -> None:
        self._pulled += count

    def started(self, offset: int, then: Callable[[], None]) -> None:
        assert self._offsets is not None
        self._offsets.start(offset)
        self._waiting.append(then)
        self._loop.call_soon(self._write)  # soon: all starts of this turn of the loop share the commit

    def done(self, offset: int) -> None:
        assert self._offsets is not None
        self._offsets.done(offset)
        self._hand_over()
        if self._lazy is None:
            self._lazy = self._loop.call_later(LAZY, self._write, True)

    async def close(self) -> None:
        self._closing = True
        await self._threads[1]
        while self._told is not None or self._waiting:
            await asyncio.sleep(0.001)
        self._write(even_if_idle=True)
        self._commits.put(None)
        await self._threads[0]
        self._member.close()
        self._reader.close()

    def _thread(self, target: Callable[[], None]) -> asyncio.Future[None]:
        def ended(thread: asyncio.Future[None]) -> None:
            if error := thread.exception():
                print_exception(error)
                os._exit(1)

        thread = self._loop.run_in_executor(None, target)
        thread.add_done_callback(ended)
        return thread

    def _hold_place(self) -> None:
        """The member's thread."""
        self._member.subscribe([self._topic], on_assign=self._assigned)
        while True:
            self._member.poll(0)
            try:
                commit = self._commits.get(timeout=0.05)
            except Empty:
                continue
            if commit is None:
                return
            self._loop.call_soon_threadsafe(self._acknowledged, self._send(commit))

    def _assigned(self, member: Consumer, partitions: list[TopicPartition]) -> None:
        """The first time the commit says where to go on; later (broker gone and back) it must still be ours."""
        member.assign(partitions)
        member.pause(partitions)
        found = member.committed(partitions, timeout=30)[0]
        commit = Commit(max(found.offset, 0), found.metadata or "")
        if self._offsets is None:
            self._ours = [commit]
            self._offsets = Offsets(commit)
        elif commit not in self._ours:
            os._exit(FENCED)

    def _send(self, commit: Commit) -> KafkaException | None:
        self._ours = [self._ours[0], commit]
        place = TopicPartition(self._topic, 0, commit.offset, commit.text)
        try:
            self._member.commit(offsets=[place], asynchronous=False)
        except KafkaException as error:
            return error
        self._ours = [commit]
        return None

    def _read(self) -> None:
        """The reader's thread: never takes more messages than were pulled."""
        while self._offsets is None and not self._closing:
            sleep(0.01)
        if self._offsets is not None:
            self._reader.assign([TopicPartition(self._topic, 0, self._offsets.base)])
        while not self._closing:
            room = self._pulled - self._taken
            if room <= 0:
                sleep(0.002)
                continue
            first = self._reader.poll(0.02)
            if first is None:
                continue
            batch = [first, *(self._reader.consume(room - 1, 0) if room > 1 else [])]
            batch = [message for message in batch if message.error() is None]
            self._taken += len(batch)
            self._loop.call_soon_threadsafe(self._arrived, batch)

    def _arrived(self, batch: list[Message]) -> None:
        self._held.extend(batch)
        self._hand_over()

    def _hand_over(self) -> None:
        assert self._offsets is not None
        while self._held:
            message = self._held[0]
            offset, value = message.offset(), message.value()
            assert offset is not None
            assert isinstance(value, bytes)
            verdict = self._offsets.arrive(offset)
            if verdict is Verdict.FULL:
                return
            self._held.popleft()
            if verdict is Verdict.SKIP:
                self.pull(1)
            else:
                self._deliver(offset, value, verdict is Verdict.STARTED)

    def _write(self, even_if_idle: bool = False) -> None:
        if even_if_idle:
            self._lazy = None
        if self._told is None and self._offsets is not None and (self._waiting or even_if_idle):
            self._told, self._waiting = self._waiting, []
            self._began = monotonic()
            self._commits.put(self._offsets.commit())

    def _acknowledged(self, error: KafkaException | None) -> None:
        assert self._told is not None
        told, self._told = self._told, None
        if error is not None:
            print_exception(error)  # a broker that is away for less than the session only makes the commit wait
            os._exit(FENCED if error.args[0].name() in ("FENCED_INSTANCE_ID", "_FATAL") else 1)
        self.latencies.append(monotonic() - self._began)
        for then in told:
            then()
        self._write()


if TYPE_CHECKING:
    _shape: type[Feed] = KafkaFeed


class Worker:
    """Takes messages `{"id", "ms"}`; at most PARALLEL run at a time."""

    def __init__(self, bootstrap: str, topic: str, folder: Path, life: str, point: str, count: int) -> None:
        self._folder = folder
        self._life = life
        self._point, self._count = point, count
        self._runs = (folder / "runs").open("a")
        self._seen = (folder / "seen").open("a", buffering=1)
        self._queue: deque[tuple[int, str, int]] = deque()
        self._free = PARALLEL
        self.unfinished = 0
        self._acks = f"{topic}-acks"
        self._producer = Producer({"bootstrap.servers": bootstrap, "acks": 1, "linger.ms": 0, "log_level": 0})
        self._loop = asyncio.get_running_loop()
        self.feed = KafkaFeed(bootstrap, topic, self._take)
        self.feed.pull(PREFETCH)

    def serve_producer(self) -> None:
        self._producer.poll(0)
        self._loop.call_later(0.002, self.serve_producer)

    def _take(self, offset: int, value: bytes, started: bool) -> None:
        message = json.loads(value)
        self.unfinished += 1
        self._seen.write(f"{self._life} {message['id']} {'started' if started else 'new'}\n")
        if started:
            self._end(offset, message["id"], 3)
        else:
            self._queue.append((offset, message["id"], message["ms"]))
            self._fill()

    def _fill(self) -> None:
        while self._free and self._queue:
            self._free -= 1
            offset, id, ms = self._queue.popleft()
            self.feed.started(offset, lambda offset=offset, id=id, ms=ms: self._run(offset, id, ms))  # type: ignore[misc]
            self._pass("starting", id)

    def _run(self, offset: int, id: str, ms: int) -> None:
        self._pass("told", id)
        self._runs.write(f"{id}\n")
        self._runs.flush()
        os.fsync(self._runs.fileno())
        self._pass("ran", id)
        self._loop.call_later(ms / 1000, self._finish, offset, id)

    def _finish(self, offset: int, id: str) -> None:
        self._free += 1
        self._end(offset, id, 0)
        self._fill()

    def _end(self, offset: int, id: str, status: int) -> None:
        """The record, then its acknowledgement, then `done`. The first record of an id stands."""
        record = self._folder / "records" / id
        draft = record.with_name(f".{id}-{self._life}")
        draft.write_text(str(status))
        try:
            os.link(draft, record)
        except FileExistsError:
            status = int(record.read_text())
        draft.unlink()
        if status == 0:
            self._pass("recorded", id)

        def acknowledged(error: object, _: object) -> None:
            assert error is None
            if status == 0:
                self._pass("acknowledged", id)
            self.feed.done(offset)
            self.feed.pull(1)
            self.unfinished -= 1

        self._producer.produce(self._acks, f"{id} {status}".encode(), on_delivery=acknowledged)

    def _pass(self, point: str, id: str) -> None:
        """Nothing, except on the point where this life is to end."""
        if point == self._point:
            self._count -= 1
            if self._count == 0:
                with (self._folder / "deaths").open("a") as deaths:
                    deaths.write(f"{self._life} {point} {id}\n")
                os.kill(os.getpid(), signal.SIGKILL)


async def main(bootstrap: str, topic: str, folder: str, life: str, point: str = "", count: str = "0") -> None:
    worker = Worker(bootstrap, topic, Path(folder), life, point, int(count))
    worker.serve_producer()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    while worker.unfinished:
        await asyncio.sleep(0.005)
    await worker.feed.close()
    print(json.dumps(worker.feed.latencies))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
