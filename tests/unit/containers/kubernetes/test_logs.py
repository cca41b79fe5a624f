"""When what a pod prints is complete, where its stream, its log or both fail."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from upcall.containers.kubernetes.logs import Logs, PodOutput
from upcall.containers.kubernetes.streams import Broken, Feed, Gone, Refused, Streams
from upcall.logs.sentinels import TEXT
from upcall.logs.streams import Stream, stamp
from upcall.ports import ContainerSpec, Lines

MB = 1 << 20
SPEC = ContainerSpec(kind="python:3", image="i", memory=128, name="n")
Opened = Callable[[], Awaitable[None]]
Printed = tuple[Stream, str]


class Api:
    """One pod's. Each attempt to attach meets the next of `ways`: an error, or what comes then; after the last of it
    the stream rests."""

    def __init__(self, *ways: Exception | list[Printed]) -> None:
        self._ways = list(ways)
        self.printed: list[str] = []
        self.attempts = 0
        self.readable = True

    async def attach(self, pod: str, opened: Opened, feed: Feed) -> bool:
        self.attempts += 1
        way = self._ways.pop(0) if self._ways else Broken("away")
        if isinstance(way, Exception):
            raise way
        await opened()
        await asyncio.sleep(0.01)
        for stream, text in way:
            if text == "<cut>":
                return False
            await feed(stream, f"{text}\n".encode())
        await asyncio.Event().wait()
        return True

    async def log(self, pod: str) -> bytes:
        if not self.readable:
            raise Gone
        return b"".join(f"{stamp(at)} {text}\n".encode() for at, text in enumerate(self.printed, 1))

    async def follow(
        self, pod: str, since: str, opened: Callable[[], None], feed: Callable[[bytes], Awaitable[None]]
    ) -> None:
        opened()
        await feed(await self.log(pod))


def output(api: Api, bound: int = MB) -> PodOutput:
    return Logs(cast(Streams, api), bound).of("pod", SPEC)


async def collected(found: PodOutput, complete: bool = True) -> Lines:
    lines: asyncio.Future[Lines] = asyncio.get_running_loop().create_future()
    found.collect(MB, complete, lines.set_result)
    return await asyncio.wait_for(lines, 20)


def told(lines: Lines) -> list[str]:
    return [line.split(" ", 1)[1] for line in lines.lines]


ENDS: list[Printed] = [("stdout", TEXT), ("stderr", TEXT)]


async def test_what_comes_both_ways_is_there_once() -> None:
    """It was printed between the attaching and the look at the log."""
    api = Api([("stdout", "listening"), ("stderr", "ready"), *ENDS])
    api.printed = ["listening", "ready"]
    found = output(api)
    await found.open()
    lines = await collected(found)
    assert told(lines) == ["stdout: listening", "stdout: ready"]
    assert not lines.failed
    await found.close()


async def test_the_same_line_that_was_read_before_a_break_counts_again() -> None:
    api = Api([("stdout", "hello"), *ENDS, ("stdout", "<cut>")], [("stdout", "hello"), *ENDS])
    found = output(api)
    await found.open()
    api.printed = ["hello", TEXT, TEXT]
    assert told(await collected(found)) == ["stdout: hello"]
    assert told(await collected(found)) == ["stdout: hello"]
    assert api.attempts == 2
    await found.close()


async def test_what_was_printed_while_it_was_broken_is_looked_up() -> None:
    api = Api([("stdout", "<cut>")], Broken("away"), [])
    found = output(api)
    await found.open()
    api.printed = ["missed", TEXT, TEXT]
    lines = await collected(found)
    assert told(lines) == ["stdout: missed"]
    assert not lines.failed
    await found.close()


async def test_the_last_words_of_a_pod_that_died_meanwhile_are_looked_up() -> None:
    api = Api([("stdout", "first"), ("stdout", "<cut>")], Broken("there is no such container"))
    found = output(api)
    await found.open()
    api.printed = ["first", "last words"]
    found.over()
    assert told(await collected(found, complete=False)) == ["stdout: first", "stdout: last words"]
    await found.close()


async def test_so_they_are_where_it_died_before_anybody_was_attached() -> None:
    api = Api(Broken("there is no such container"))
    api.printed = ["last words"]
    found = output(api)
    opening = asyncio.ensure_future(found.open())
    await asyncio.sleep(0)
    found.over()
    await opening
    assert told(await collected(found, complete=False)) == ["stdout: last words"]
    await found.close()


async def test_what_was_missed_does_not_hide_the_same_line_printed_anew() -> None:
    hello: list[Printed] = [("stdout", "hello"), *ENDS]
    api = Api([*hello, ("stdout", "<cut>")], hello)
    found = output(api)
    await found.open()
    assert told(await collected(found)) == ["stdout: hello"]
    api.printed = ["hello", TEXT, TEXT] * 2
    assert told(await collected(found)) == ["stdout: hello"]
    assert told(await collected(found)) == ["stdout: hello"]
    await found.close()


async def test_a_pod_that_is_gone_is_not_waited_for() -> None:
    api = Api(Gone())
    found = output(api)
    await found.open()
    assert (await collected(found, complete=False)).lines == []
    assert api.attempts == 1
    await found.close()


async def test_where_attaching_is_forbidden_the_log_is_followed(caplog: pytest.LogCaptureFixture) -> None:
    api = Api(Refused("the API answers 403 Forbidden"))
    api.printed = ["out", "err", TEXT, TEXT]
    found = output(api)
    await found.open()
    lines = await collected(found)
    assert told(lines) == ["stdout: out", "stdout: err"]
    assert not lines.failed
    assert "get and create for pods/attach" in caplog.text
    api.printed += ["again", TEXT, TEXT]
    assert told(await collected(found)) == ["stdout: again"]
    await found.close()


async def test_a_container_is_used_though_nobody_gets_to_read_it() -> None:
    api = Api()
    found = output(api)
    await asyncio.wait_for(found.open(), 30)
    assert api.attempts > 1
    await found.close()


async def test_where_no_logs_are_kept_nothing_is_read() -> None:
    api = Api()
    found = output(api, bound=0)
    await found.open()
    assert (await collected(found)).lines == []
    assert api.attempts == 0
    await found.close()
