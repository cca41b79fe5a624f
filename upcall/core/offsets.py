"""What has been delivered, started and finished of one partition, and how a commit's metadata says so (D7).

Kafka keeps one number for each group and partition: everything below it is done. Activations finish out of order, and
between "not run" and "done" there is a third state that decides what a restart may do: *started*. So each commit
carries, next to the base (the lowest offset that is not done), a text that tells the three apart above it. User code
of an offset may run once a commit made after `start` is acknowledged, and not before. After a crash:

    | the offset                             | `arrive` | the caller                                       |
    |----------------------------------------|----------|--------------------------------------------------|
    | is done, or in the caller's hands      | SKIP     | drops it                                         |
    | was started, its end was not committed | STARTED  | has its outcome, or status 3 (unless idempotent) |
    | was not started                        | NEW      | runs it                                          |
    | does not fit into the metadata         | FULL     | holds it, and asks again after a `done`          |

The text does not hold one bit for each offset: one activation that runs for minutes, while thousands pass it, would
fill any bitmap (two bits each in 4,095 characters: 13,000 offsets) and stop the topic. It lists the offsets that are
*not* done, lowest first, each as a varint of `(done ones skipped) << 1 | started`: one byte each while fewer than 64
are skipped. What is not listed below `top` is done (or never existed: Kafka's offsets have gaps), what lies at or above
it has not started. `top` is no higher than it must be, so what was only fetched ahead costs a commit nothing. The
window is therefore a number of unfinished offsets (3,251 by default), whatever their distance; beyond it delivery
pauses.

    text     = "upcall1:" base85(varint(base) varint(top - base) entry*)         empty when nothing is to be told
    entry    = varint(skipped << 1 | started)

`_bound` is at least the length of all entries, listed or not, without looking at them: an arrival adds its own length,
a `done` subtracts nothing. That holds because the entry which replaces two neighbours, when the offset between is done,
is never longer than both together. Only when it has grown to the limit are they counted.

Odd: an empty or foreign text counts as a plain offset (upstream's Invoker and Kafka's tools write such), and so does
ours when it was made for another base (mirroring tools translate the offset and copy the text). A text that carries
our mark and cannot be read is refused: running what it may have listed as started would break "at most once".
"""

from base64 import b85decode, b85encode
from collections import deque
from enum import Enum

import msgspec

from upcall.errors import InvalidTransition, Misconfigured

LIMIT = 4095
"""Characters that a broker takes by default: one less than its `offset.metadata.max.bytes`, 4,096."""

MARK = "upcall"
TAG = MARK + "1:"
_LONGEST = 9
"""Bytes of a varint of 63 bits, which is all that Kafka counts to."""
_HEADER = 2 * _LONGEST
"""Bytes kept free for base and span."""


class Verdict(Enum):
    """What to do with an offset that the broker has delivered; the table above."""

    SKIP = "skip"
    STARTED = "started"
    NEW = "new"
    FULL = "full"


class Commit(msgspec.Struct, frozen=True):
    """What to write for the partition: the next offset to read, and the text beside it."""

    offset: int
    text: str


class Offsets:
    """One partition, from its last commit on. Not thread-safe; every method is plain and quick."""

    def __init__(self, committed: Commit, limit: int = LIMIT) -> None:
        self._body = (limit - len(TAG)) * 4 // 5 - _HEADER
        if self._body < _LONGEST:
            raise Misconfigured(f"Commit metadata of {limit} characters is too small: allow at least {LIMIT}.")
        base = max(committed.offset, 0)  # the client writes "no commit yet" as a negative number
        self._top, self._open = _decode(base, committed.text)
        self._recovered = deque(self._open)
        self._next = base
        self._told = self._top
        """What lies at or above it has neither started nor is it done."""
        self._bound = self._length()

    @property
    def base(self) -> int:
        """The lowest offset that is not done."""
        return next(iter(self._open), self._top)

    @property
    def room(self) -> int:
        """How many more consecutive offsets are sure to fit."""
        return max(self._body - self._bound, 0)

    def arrive(self, offset: int) -> Verdict:
        """Take what the broker delivers, in its order; any verdict but FULL moves on past the offset."""
        if offset < self._next:
            return Verdict.SKIP
        self._forget_below(offset)
        if offset >= self._top:
            return self._admit(offset)
        self._next = offset + 1
        if not self._recovered or self._recovered[0] != offset:
            return Verdict.SKIP
        return Verdict.STARTED if self._open[self._recovered.popleft()] else Verdict.NEW

    def start(self, offset: int) -> None:
        """User code is about to run; it may once the next commit is acknowledged."""
        self._expect_held(offset, "start")
        self._open[offset] = True
        if offset >= self._told:
            self._told = offset + 1

    def done(self, offset: int) -> None:
        """Its outcome is published; with or without a start (an activation may be refused before it)."""
        self._expect_held(offset, "end")
        del self._open[offset]
        if offset >= self._told:
            self._told = offset + 1

    def begun(self, offset: int) -> bool | None:
        """Whether an offset that was delivered has started; None where it is done."""
        return self._open.get(offset)

    def commit(self) -> Commit:
        """The state as of now, for the broker."""
        base = self.base
        top, before = max(self._told, base), base - 1
        entries = bytearray()
        for offset, started in self._open.items():
            if offset >= top:
                break
            _append(entries, (offset - before - 1) << 1 | started)
            before = offset
        if before + 1 == top and not any(entries):
            return Commit(base, "")
        head = bytearray()
        _append(head, base)
        _append(head, top - base)
        return Commit(base, TAG + b85encode(head + entries).decode())

    def story(self) -> str:
        """For an error's text and the log."""
        started = sum(self._open.values())
        return f"base {self.base}, top {self._top}, next {self._next}, open {len(self._open)}, started {started}"

    def _admit(self, offset: int) -> Verdict:
        cost = _length((offset - self._top) << 1)
        if self._bound + cost > self._body:
            self._bound = self._length()  # what was done since it was counted may have made room
        if self._bound + cost > self._body:
            return Verdict.FULL
        self._bound += cost
        self._open[offset] = False
        self._top = self._next = offset + 1
        return Verdict.NEW

    def _length(self) -> int:
        """Of all entries, in bytes."""
        found, before = 0, self.base - 1
        for offset in self._open:
            found += _length((offset - before - 1) << 1)
            before = offset
        return found

    def _expect_held(self, offset: int, event: str) -> None:
        if offset not in self._open or offset >= self._next:
            raise InvalidTransition(f"{event} of offset {offset}, which nobody holds: {self.story()}")

    def _forget_below(self, offset: int) -> None:
        """Retention has removed what an earlier life left open: it never comes again."""
        while self._recovered and self._recovered[0] < offset:
            del self._open[self._recovered.popleft()]


def check(offsets: Offsets) -> None:
    """The invariants; raises AssertionError."""
    order = list(offsets._open)
    assert order == sorted(order), "open offsets are in order"
    assert all(offset < offsets._top for offset in order), "nothing is open that was not delivered"
    assert offsets._length() <= offsets._bound, "the bound is never below the true length"
    told = [offset for offset, started in offsets._open.items() if started]
    assert all(offset < offsets._told for offset in told), "what has started is told"


def _decode(base: int, text: str) -> tuple[int, dict[int, bool]]:
    """Where the text ends, and what is open below that. A plain offset has nothing below."""
    if not text.startswith(MARK):
        return base, {}
    if not text.startswith(TAG):
        raise Misconfigured(f"The group's commit was written by a newer version ({text[:12]}…): start that version.")
    try:
        numbers = _numbers(b85decode(text[len(TAG) :]))
        told_base, span, *entries = numbers
    except ValueError:
        raise Misconfigured(
            f"The group's commit at offset {base} is damaged, so what has started is unknown: "
            "set the group's offset with Kafka's tools to go on."
        ) from None
    if told_base != base:
        return base, {}
    open_: dict[int, bool] = {}
    before = base - 1
    for entry in entries:
        before += (entry >> 1) + 1
        open_[before] = bool(entry & 1)
    return base + span, open_


def _numbers(data: bytes) -> list[int]:
    """All varints (7 bits a byte, low first). Raises ValueError where the last one is cut."""
    numbers, number, shift = [], 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    if shift:
        raise ValueError("cut")
    return numbers


def _append(target: bytearray, number: int) -> None:
    while number >= 0x80:
        target.append(number & 0x7F | 0x80)
        number >>= 7
    target.append(number)


def _length(number: int) -> int:
    """Bytes of the varint."""
    return max((number.bit_length() + 6) // 7, 1)
