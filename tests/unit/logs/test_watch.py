"""Pipes that are read in time: how often the loop is woken for them, counted and not timed."""

import asyncio
import contextlib
import os
from collections.abc import Iterator

import pytest

from upcall.logs import watch
from upcall.logs.pipes import Pipes
from upcall.logs.streams import Stream
from upcall.logs.watch import Watch
from upcall.testing import until


class Heard:
    """A sink that counts what came."""

    full = False

    def __init__(self) -> None:
        self.reads = self.size = 0

    def feed(self, stream: Stream, data: bytes) -> None:
        self.reads += 1
        self.size += len(data)


@contextlib.contextmanager
def a_pipe() -> Iterator[tuple[int, int]]:
    """Its ends; the reader is closed by who reads."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    yield reader, writer
    os.close(writer)


def watched(reader: int, heard: Heard) -> Pipes:
    pipes = Pipes(asyncio.get_running_loop(), heard, {reader: "stdout"}, awaited=False)
    pipes.watch()
    return pipes


async def test_what_nobody_collects_is_read_all_the_same() -> None:
    heard = Heard()
    with a_pipe() as (reader, writer):
        pipes = watched(reader, heard)
        for size in (6, 12):
            os.write(writer, b"hello\n")
            await until(lambda size=size: heard.size == size)  # type: ignore[misc]
        await pipes.close()


async def test_who_prints_line_by_line_wakes_the_loop_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "REST", 3600.0)
    heard = Heard()
    with a_pipe() as (reader, writer):
        pipes = watched(reader, heard)
        for _ in range(5):
            os.write(writer, b"hello\n")
            for _ in range(5):
                await asyncio.sleep(0.001)
        assert (heard.reads, heard.size) == (1, 6)
        assert pipes.drain()
        assert (heard.reads, heard.size) == (2, 30)
        await pipes.close()


async def test_who_writes_much_does_not_wait_for_a_loop_that_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "REST", 3600.0)
    heard, piece = Heard(), b"x" * (watch.LITTLE + 1)
    with a_pipe() as (reader, writer):
        pipes = watched(reader, heard)
        for size in range(len(piece), 8 * len(piece), len(piece)):
            os.write(writer, piece)
            await until(lambda size=size: heard.size == size)  # type: ignore[misc]
        await pipes.close()


@pytest.mark.parametrize("by", ["close", "end of file"])
async def test_the_last_pipe_leaves_nothing_open(by: str) -> None:
    before = os.listdir("/proc/self/fd")
    with a_pipe() as (first, one), a_pipe() as (second, two):
        pipes = [watched(first, Heard()), watched(second, Heard())]
        await pipes[0].close()
        assert asyncio.get_running_loop() in Watch._of
        if by == "close":
            await pipes[1].close()
        else:
            os.write(two, b"the end")
            os.dup2(one, two)
            await until(lambda: asyncio.get_running_loop() not in Watch._of)
        assert Watch._of == {}
    assert os.listdir("/proc/self/fd") == before
