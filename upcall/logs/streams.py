"""The two streams of a container, and how a line of one of them looks in a log (spec: logs.md §3)."""

import time
from typing import Literal

Stream = Literal["stdout", "stderr"]
STREAMS: tuple[Stream, Stream] = ("stdout", "stderr")
STAMPED = 31
"""Characters of an entry before the name of its stream."""


def stamp(ns: int) -> str:
    """Docker's form of a time: UTC with nine digits."""
    seconds, rest = divmod(ns, 1_000_000_000)
    if seconds != _Second.number:
        _Second.number = seconds
        _Second.text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{_Second.text}.{rest:09d}Z"


def entry(ns: int, stream: Stream, text: str) -> str:
    """One line of an activation's log: the time padded to 30 characters."""
    return f"{stamp(ns):<30} {stream}: {text}"


def of(line: str, stream: Stream) -> bool:
    """Whether the entry is of that stream."""
    return line.startswith(stream, STAMPED)


class _Second:
    """The last second that was formatted: lines come in bursts."""

    number = -1
    text = ""
