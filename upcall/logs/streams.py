"""The two streams of a container, and how a line of one of them looks in a log (spec: logs.md §3)."""

import time
from functools import lru_cache
from typing import Literal

Stream = Literal["stdout", "stderr"]
STREAMS: tuple[Stream, Stream] = ("stdout", "stderr")
STAMPED = 31
"""Characters of an entry before the name of its stream."""


def stamp(ns: int) -> str:
    """Docker's form of a time: UTC with nine digits."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest:09d}Z"


def entry(ns: int, stream: Stream, text: str) -> str:
    """One line of an activation's log: the time, whose 30 characters need no padding."""
    return f"{stamp(ns)} {stream}: {text}"


def of(line: str, stream: Stream) -> bool:
    """Whether the entry is of that stream."""
    return line.startswith(stream, STAMPED)


@lru_cache(maxsize=2)
def _second(number: int) -> str:
    """Kept, as lines come in bursts."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(number))
