"""The output of pods, as the lines of activations (`upcall.logs`).

Each pod is attached to as soon as its container runs, which keeps stdout and stderr apart and needs no polling: lines
are there some milliseconds after they were printed, and nothing of it lies on the way of a request. What was printed
before, and while the connection was broken (the kubelet is away, the API server is replaced, four hours were silent),
is looked up in the pod's log (`gap`); that part counts as stdout, for a log does not tell.

Where attaching is forbidden, or not offered, the log itself is followed, from the time of the last line on where that
breaks. Then all is stdout, as upstream has it, and the kubelet's rotation may lose lines in a flood. Both sentinels
come by one stream then: they are told apart by turns.

A pod's log belongs to its node and goes with the pod.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from zlib import crc32

from upcall.containers.kubernetes.gap import Line, Seen, Stamped
from upcall.containers.kubernetes.streams import TAIL, Broken, Gone, Refused, Streams
from upcall.logs.collection import QUIET, Collection
from upcall.logs.pipes import TURN, cost, portions
from upcall.logs.sentinels import SENTINEL
from upcall.logs.stream import LogStream
from upcall.logs.streams import Stream, stamp
from upcall.ports import ContainerSpec, Lines

log = logging.getLogger(__name__)

_OPENING = 15.0
"""Seconds after which a container is used though nobody is attached to it yet."""
_AGAIN = 0.2, 5.0
"""Seconds before another attempt, which grow."""
_SETTLING = 0.1
"""Seconds that kubelet and API may be behind with it."""
_QUIET = 15.0
"""Seconds without a sentinel: a node under load passes output on seconds late, and attaching may take as long."""
_TWICE = 0.2
"""Seconds in which what was looked up may come once more."""


class Logs:
    """Of all pods of one Invoker. `bound` is the greatest log limit, in bytes; where it is 0 nothing is read."""

    def __init__(self, streams: Streams, bound: int) -> None:
        self.streams = streams
        self.bound = bound
        self.turn = asyncio.Lock()
        self.apart = True
        """Whether pods are attached to."""

    def of(self, pod: str, spec: ContainerSpec) -> "PodOutput":
        return PodOutput(self, pod, spec)

    def follow(self, why: str) -> None:
        """Pods cannot be attached to."""
        if self.apart:
            self.apart = False
            log.warning(
                "pods cannot be attached to (%s): their logs are followed, and all lines count as stdout; the verbs"
                " get and create for pods/attach in the Role let stderr be told apart",
                why,
            )


class PodOutput:
    """Of one pod: `open` when its container runs, `close` at any time."""

    def __init__(self, logs: Logs, pod: str, spec: ContainerSpec) -> None:
        self._logs = logs
        self._pod = pod
        self._seen = Seen()
        self._stamped = Stamped()
        self._last = self._skipped = 0
        """Times in the log, in nanoseconds: the latest, and up to which lines come again."""
        self._second = False
        """Whether the next sentinel is the other stream's, where both are one."""
        self._twice: Counter[int] = Counter()
        self._twice_until = 0.0
        self._spent = 0
        self._live = asyncio.Event()
        self._over = asyncio.Event()
        """Whether the container has ended."""
        self._task: asyncio.Task[None] | None = None
        self._stream = LogStream(logs.bound, sentinel=bool(logs.bound))
        self._collection = Collection(
            self._stream,
            lambda: True,
            sentinels=spec.sentinels and bool(logs.bound),
            shared=spec.concurrency > 1,
            settling=lambda: _SETTLING if self._live.is_set() else QUIET,
            quiet=_QUIET,
        )
        if not logs.bound:
            self._collection.over()

    async def open(self) -> None:
        """Return when what is printed from now on will be read, or when that takes too long."""
        if self._logs.bound and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._read())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._live.wait(), _OPENING)

    def collect(self, limit: int, complete: bool, done: Callable[[Lines], None]) -> None:
        """As `upcall.ports.Container.collect`."""
        self._collection.collect(limit, complete, done)

    def share(self) -> None:
        """Activations may overlap."""
        self._collection.shared = True

    def over(self) -> None:
        """The container has ended; what it has printed last may yet come."""
        self._over.set()
        if self._task is None:
            self._collection.over()

    async def close(self) -> None:
        """Let go; what was read can still be taken."""
        self._over.set()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._collection.over()

    # --- inside

    async def _read(self) -> None:
        wait, longest = _AGAIN
        try:
            while True:
                last = self._over.is_set()
                if await self._once() or last:
                    break
                if self._live.is_set():
                    self._live.clear()
                    wait = _AGAIN[0]
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), wait)
                wait = min(2 * wait, longest)
        except Gone:
            pass
        except Exception:
            log.exception("the output of pod %s is not read any more", self._pod)
        finally:
            self._live.set()  # nobody need wait for it
            self._collection.over()

    async def _once(self) -> bool:
        """Whether nothing more will come. Raises Gone."""
        try:
            if self._logs.apart:
                await self._looked_up()
                return await self._logs.streams.attach(self._pod, self._opened, self._feed_new)
            self._stamped, self._skipped = Stamped(), self._last
            since = stamp(self._last) if self._last else ""
            await self._logs.streams.follow(self._pod, since, self._live.set, self._followed)
        except Refused as error:
            if not self._logs.apart:
                log.error("the log of pod %s cannot be read: %s", self._pod, error)
                return True
            self._logs.follow(str(error))
        except Broken as error:
            log.debug("the output of pod %s: %s", self._pod, error)
        return False

    async def _opened(self) -> None:
        """Attached; what was printed until now is in the log, and the last of it may come by both ways."""
        try:
            missed = await self._missed()
        except (Broken, Refused, Gone) as error:
            log.debug("the log of pod %s: %s", self._pod, error)
        else:
            self._twice = Counter(crc32(line.text) for line in missed)
            self._twice_until = time.monotonic() + _TWICE
            await self._feed_merged(missed)
        self._live.set()

    async def _looked_up(self) -> None:
        """Before attaching anew: what was missed up to here comes this way only. Raises Broken, Gone."""
        if self._seen.lines or self._over.is_set():
            with contextlib.suppress(Refused):
                await self._feed_merged(await self._missed())

    async def _missed(self) -> Sequence[Line]:
        """What is in the log and was not read. Raises Broken, Refused, Gone."""
        lines = Stamped().feed(await self._logs.streams.log(self._pod))
        return self._seen.new(lines, whole=len(lines) < TAIL)

    async def _feed_new(self, stream: Stream, data: bytes) -> None:
        if self._twice:
            data = self._without_twice(data)
        await self._feed(stream, data)

    def _without_twice(self, data: bytes) -> bytes:
        """Without lines that were looked up a moment ago."""
        if time.monotonic() > self._twice_until:
            self._twice.clear()
            return data
        *lines, rest = data.split(b"\n")
        kept = []
        for line in lines:
            sum = crc32(line)
            if self._twice[sum] > 0:
                self._twice[sum] -= 1
            else:
                kept.append(line + b"\n")
        return b"".join(kept) + rest

    async def _followed(self, data: bytes) -> None:
        """A part of the log, with timestamps."""
        lines = [line for line in self._stamped.feed(data) if line.at > self._skipped]
        self._last = max([self._last, *(line.at for line in lines)])
        await self._feed_merged(lines)

    async def _feed_merged(self, lines: Iterable[Line]) -> None:
        """Both streams as one: stdout, but for every other sentinel."""
        for sentinel, group in itertools.groupby(lines, lambda line: SENTINEL in line.text):
            for each in group if sentinel else ():
                await self._feed("stderr" if self._second else "stdout", _bytes([each]))
                self._second = not self._second
            if not sentinel:
                await self._feed("stdout", _bytes(group))

    async def _feed(self, stream: Stream, data: bytes) -> None:
        self._seen.add(stream, data, time.time_ns())
        for portion in portions(self._stream, data):
            self._stream.feed(stream, portion)
            self._spent += cost(portion)
            if self._spent >= TURN:
                self._spent = 0
                async with self._logs.turn:
                    await asyncio.sleep(0)
        self._collection.heard()


def _bytes(lines: Iterable[Line]) -> bytes:
    return b"".join(line.text + b"\n" if line.ended else line.text for line in lines)
