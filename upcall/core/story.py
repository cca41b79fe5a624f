"""What happened lately in a pool, for the text of an InvalidTransition.

An entry is a time, what came in or went out, and the numbers of slot and job; never the event itself, which would keep
an activation's payload alive for as long as it is remembered. The warm path writes one entry for an event and its
command together, of values that it has at hand.
"""

from collections import deque
from collections.abc import Iterable

from upcall.core.events import Command, Event, SlotId

Entry = tuple[float, str, SlotId | None, str | None]

LENGTH = 256
"""Entries that are remembered; some hundred bytes each."""


def tell(story: deque[Entry], now: float, event: Event, commands: Iterable[Command]) -> None:
    story.append(_entry(now, event, ""))
    story.extend(_entry(now, command, "→ ") for command in commands)


def told(story: Iterable[Entry], slot: SlotId, job: str | None) -> str:
    """What concerns a slot or a job, oldest first."""
    mine = [entry for entry in story if entry[2] == slot or (job is not None and entry[3] == job)]
    return "\n".join(f"{now:.3f} {what} slot={number} job={name}" for now, what, number, name in mine)


def _entry(now: float, what: Event | Command, mark: str) -> Entry:
    job = getattr(what, "job", None)
    return now, mark + type(what).__name__, getattr(what, "slot", None), job.id if job else None
