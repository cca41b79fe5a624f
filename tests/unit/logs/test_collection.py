"""When an activation's lines are handed over: at its end, or when nothing comes any more."""

import asyncio
from collections.abc import Callable

import pytest

from upcall.logs import collection
from upcall.logs.collection import QUIET, Collection
from upcall.logs.sentinels import SENTINEL
from upcall.logs.stream import LogStream
from upcall.logs.streams import STREAMS, Stream
from upcall.model import texts
from upcall.ports import Lines

MB = 1 << 20
MISSING = f"stderr: {texts.LOGS_MISSING}"


class Printing:
    """A collection, with what is in its pipes, and a clock that is set by hand."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, sentinels: bool = True, shared: bool = False, quiet: float = QUIET
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.now = 1000.0
        self.timers: list[tuple[asyncio.TimerHandle, Callable[[], None]]] = []
        monkeypatch.setattr(self.loop, "time", lambda: self.now)
        monkeypatch.setattr(self.loop, "call_at", self._call_at)
        self.stream = LogStream(10 * MB, sentinel=True)
        self.unread: list[tuple[Stream, bytes]] = []
        self.collection = Collection(
            self.stream, self._drain, sentinels=sentinels, shared=shared, settling=lambda: 0.01, quiet=quiet
        )
        self.told: list[Lines] = []

    def _call_at(self, when: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, call, (), self.loop)
        self.timers.append((handle, call))
        return handle

    def _drain(self) -> bool:
        """One portion at a time."""
        if self.unread:
            self.stream.feed(*self.unread.pop(0))
        return not self.unread

    def collect(self, complete: bool = True, limit: int = MB) -> None:
        self.collection.collect(limit, complete, self.told.append)

    def comes(self, *texts: str, stream: Stream = "stdout") -> None:
        self.stream.feed(stream, "".join(f"{text}\n" for text in texts).encode())
        self.collection.heard()

    def ends(self) -> None:
        for name in STREAMS:
            self.comes(SENTINEL.decode(), stream=name)

    def passes(self, seconds: float) -> None:
        """Due timers fire, each at its time."""
        until = self.now + seconds
        while due := self._due(until):
            self.now = max(self.now, due[0].when())
            due[1]()
        self.now = until

    def _due(self, until: float) -> tuple[asyncio.TimerHandle, Callable[[], None]] | None:
        self.timers = sorted((timer for timer in self.timers if not timer[0].cancelled()), key=lambda timer: timer[0])
        return self.timers.pop(0) if self.timers and self.timers[0][0].when() <= until else None

    @property
    def lines(self) -> list[str]:
        (told,) = self.told
        return [line[31:] for line in told.lines]


@pytest.fixture
def printing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Printing]:
    """Called inside the test, where the loop runs."""
    return lambda **ways: Printing(monkeypatch, **ways)


async def test_what_has_ended_is_told_at_once(printing: Callable[..., Printing]) -> None:
    made = printing()
    made.comes("a")
    made.ends()
    made.collect()
    assert made.lines == ["stdout: a"]
    assert made.timers == []


async def test_what_is_still_unread_is_read_over_turns_of_the_loop(printing: Callable[..., Printing]) -> None:
    made = printing()
    made.unread = [("stdout", b"%d\n" % number) for number in range(5)] + [(name, SENTINEL + b"\n") for name in STREAMS]
    made.collect()
    assert made.told == []
    await asyncio.sleep(0)
    assert 0 < len(made.unread) < 6
    while made.unread:
        await asyncio.sleep(0)
    assert made.lines == [f"stdout: {number}" for number in range(5)]


async def test_the_second_sentinel_ends_the_wait(printing: Callable[..., Printing]) -> None:
    made = printing()
    made.collect()
    made.comes("late", SENTINEL.decode())
    assert made.told == []
    made.comes(SENTINEL.decode(), stream="stderr")
    assert made.lines == ["stdout: late"]


async def test_two_seconds_without_a_line_are_too_many(printing: Callable[..., Printing]) -> None:
    made = printing()
    made.collect()
    for number in range(3):
        made.passes(1.9)
        made.comes(str(number))
    made.passes(1.9)
    assert made.told == []
    made.passes(0.2)
    assert made.lines == ["stdout: 0", "stdout: 1", "stdout: 2", MISSING]
    assert made.told[0].failed


@pytest.mark.parametrize(("limit", "seconds"), [(1, 10), (5, 10), (8, 16)])
async def test_somebody_who_never_stops_is_not_waited_for_longer_than_his_limit_says(
    printing: Callable[..., Printing], limit: int, seconds: int
) -> None:
    made = printing()
    made.collect(limit=limit * MB)
    for _ in range(seconds - 1):
        made.passes(1)
        made.comes("more")
    made.passes(0.9)
    made.comes("more")
    assert made.told == []
    made.passes(0.2)
    assert made.told[0].failed


@pytest.mark.parametrize(("sentinels", "complete"), [(False, True), (True, False), (False, False)])
async def test_others_are_given_a_little_time_and_nothing_of_theirs_is_missing(
    printing: Callable[..., Printing], sentinels: bool, complete: bool
) -> None:
    made = printing(sentinels=sentinels)
    made.comes("a")
    made.collect(complete)
    made.passes(0.009)
    made.comes("b")
    made.passes(0.009)
    assert made.told == []
    made.passes(0.002)
    assert made.lines == ["stdout: a", "stdout: b"]
    assert not made.told[0].failed


async def test_a_foreign_image_that_never_stops_is_not_waited_for(printing: Callable[..., Printing]) -> None:
    made = printing(sentinels=False)
    made.collect()
    for _ in range(12):
        made.passes(0.009)
        made.comes("more")
    assert len(made.told) == 1


async def test_a_foreign_image_that_has_sentinels_is_not_waited_for(printing: Callable[..., Printing]) -> None:
    made = printing(sentinels=False)
    made.collect()
    made.ends()
    assert made.lines == []


async def test_whoever_shares_a_container_takes_what_is_there(printing: Callable[..., Printing]) -> None:
    made = printing(shared=True)
    made.comes("a")
    made.collect()
    assert made.lines == ["stdout: a"]
    assert not made.told[0].failed


async def test_the_containers_end_ends_the_wait_when_all_is_read(printing: Callable[..., Printing]) -> None:
    made = printing()
    made.collect()
    made.unread = [("stdout", b"last\n"), ("stdout", b"words\n")]
    made.collection.over()
    assert made.told == []
    await asyncio.sleep(0)
    assert made.lines == ["stdout: last", "stdout: words", MISSING]
    made.told.clear()
    made.collect()
    assert made.lines == [MISSING]
    made.passes(100)


async def test_a_second_one_that_comes_too_early_leaves_the_first_what_there_is(
    printing: Callable[..., Printing],
) -> None:
    made = printing()
    made.collect()
    made.comes("first")
    made.collect()
    assert made.told[0].lines[0].endswith("stdout: first")
    made.ends()
    assert len(made.told) == 1, "these are owed"
    made.ends()
    assert [len(told.lines) for told in made.told] == [2, 0]


def test_numbers_are_as_in_upstream() -> None:
    assert (collection.QUIET, collection._LEAST) == (2.0, 5)


async def test_who_has_promised_is_not_waited_for_and_nothing_is_missing(printing: Callable[..., Printing]) -> None:
    made = printing()
    made.collection.promise()
    made.comes("hello", SENTINEL.decode(), "again")
    made.collect()
    assert made.lines == ["stdout: hello", "stdout: again"]


async def test_where_output_comes_from_afar_a_sentinel_is_waited_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    printing = Printing(monkeypatch, quiet=15.0)
    printing.collect()
    printing.passes(14.0)
    assert not printing.told
    printing.comes("hello")
    printing.ends()
    assert [[line.partition("Z ")[2] for line in lines.lines] for lines in printing.told] == [["stdout: hello"]]
