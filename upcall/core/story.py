"""What happened lately in a pool, for the text of an InvalidTransition and for whoever asks for a container's story.

An entry is a time, what came in or went out, and the numbers of slot and job; never the event itself, which would keep
an activation's payload alive for as long as it is remembered. The warm path writes one entry for an event and its
command together, of values that it has at hand.

There are two: one of everything, which in a busy pool reaches back some milliseconds, and one of the lives of
containers without what they ran.
"""

from collections import deque
from collections.abc import Iterable

from upcall.core.events import (
    Broken,
    Command,
    Create,
    Created,
    CreateFailed,
    Event,
    Inited,
    JobReturned,
    Pause,
    Paused,
    Remove,
    Removed,
    Resume,
    Resumed,
    SlotId,
)

Entry = tuple[float, str, SlotId | None, str | None]

LENGTH, LIVES = 256, 4096
"""Entries that are remembered, of everything and of lives; some hundred bytes each."""
_LIFE = (Create, Created, CreateFailed, Inited, JobReturned, Pause, Paused, Resume, Resumed, Broken, Remove, Removed)


def tell(story: deque[Entry], lives: deque[Entry], now: float, event: Event, commands: Iterable[Command]) -> None:
    for what, mark in ((event, ""), *((command, "→ ") for command in commands)):
        entry = _entry(now, what, mark)
        story.append(entry)
        if isinstance(what, _LIFE):
            lives.append(entry)


def of_slot(story: Iterable[Entry], lives: Iterable[Entry], slot: SlotId) -> list[Entry]:
    """What is remembered of a slot, oldest first."""
    mine = dict.fromkeys(entry for entries in (lives, story) for entry in entries if entry[2] == slot)
    return sorted(mine, key=lambda entry: entry[0])


def told(story: Iterable[Entry], slot: SlotId, job: str | None) -> str:
    """What concerns a slot or a job, oldest first."""
    mine = [entry for entry in story if entry[2] == slot or (job is not None and entry[3] == job)]
    return "\n".join(f"{now:.3f} {what} slot={number} job={name}" for now, what, number, name in mine)


def _entry(now: float, what: Event | Command, mark: str) -> Entry:
    job = getattr(what, "job", None)
    return now, mark + type(what).__name__, getattr(what, "slot", None), job.id if job else None
