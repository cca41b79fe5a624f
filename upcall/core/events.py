"""What goes into the container pool and what comes out of it: events (past tense) and commands (imperative).

The pool knows jobs by what placement needs; `Job.task` is the shell's own and never looked at. A slot is a container,
by the number that the pool gave it with `Create`.
"""

from typing import Literal

import msgspec

SlotId = int

ActionKey = str
"""Equal for two action documents that differ in nothing but `_rev` (architecture.md §4), invoking namespace included:
`namespace` + blank + digest of the document."""

Reason = Literal["init", "create", "drain", "too-big"]


class Job(msgspec.Struct, eq=False):
    """One activation on its way to a container. `arrived` is set by the pool, in seconds of its clock."""

    id: str
    action: ActionKey
    kind: str
    memory: int
    """MB"""
    concurrency: int
    task: object = None
    arrived: float = 0.0


# --- events


class JobArrived(msgspec.Struct, frozen=True):
    job: Job


class Created(msgspec.Struct, frozen=True):
    slot: SlotId


class CreateFailed(msgspec.Struct, frozen=True):
    """`cause` is the shell's own (the error), handed back in `Abort`."""

    slot: SlotId
    cause: object = None


class Inited(msgspec.Struct, frozen=True):
    """/init answered 200; the job that brought it goes on to /run in the shell."""

    slot: SlotId


class JobDone(msgspec.Struct, frozen=True):
    """The job has its outcome, logs included. Not `reusable`: status 2 or 3, or log collection failed."""

    slot: SlotId
    job: Job
    reusable: bool
    cause: object = None
    """The response, where /init failed: jobs that wait for this slot end with the same one."""


class JobReturned(msgspec.Struct, frozen=True):
    """The container refused the job without running it (connection refused, 503): it goes back to the queue's head and
    the slot goes away (spec: container.md §7.4)."""

    slot: SlotId
    job: Job


class Paused(msgspec.Struct, frozen=True):
    slot: SlotId


class Resumed(msgspec.Struct, frozen=True):
    slot: SlotId


class Broken(msgspec.Struct, frozen=True):
    """The container died, or pausing or resuming it failed."""

    slot: SlotId


class Removed(msgspec.Struct, frozen=True):
    slot: SlotId


class Tick(msgspec.Struct, frozen=True):
    """Time has passed: see `deadline(pool)`."""


class Drained(msgspec.Struct, frozen=True):
    """Shutdown: what waits is aborted with reason `drain`, idle slots are removed, nothing new is placed."""


Event = (
    JobArrived
    | Created
    | CreateFailed
    | Inited
    | JobDone
    | JobReturned
    | Paused
    | Resumed
    | Broken
    | Removed
    | Tick
    | Drained
)

# --- commands

Start = Literal["cold", "prewarmed", "warmed", "warming", "warmingCold", "recreated", "recreatedPrewarm"]
"""How a job got its container; upstream's metric label `containerState` (spec: container.md §6.2)."""


class Create(msgspec.Struct, frozen=True):
    """Start a container. `job` is the one that it is for, None for a stem cell. Answer: Created or CreateFailed."""

    slot: SlotId
    kind: str
    memory: int
    job: Job | None


class Run(msgspec.Struct, frozen=True):
    """Run the job there, /init first if `init`. Answer: Inited (after a good /init), then JobDone or JobReturned.
    `fresh` asks to treat a refused connection as the container's fault: first run after it was idle."""

    slot: SlotId
    job: Job
    init: bool
    fresh: bool
    start: Start


class Pause(msgspec.Struct, frozen=True):
    """Answer: Paused or Broken."""

    slot: SlotId


class Resume(msgspec.Struct, frozen=True):
    """Answer: Resumed or Broken."""

    slot: SlotId


class Remove(msgspec.Struct, frozen=True):
    """Answer: Removed."""

    slot: SlotId


class Abort(msgspec.Struct, frozen=True):
    """The job ends without having run; the shell answers for it."""

    job: Job
    reason: Reason
    cause: object = None


class Pull(msgspec.Struct, frozen=True):
    """Give the feed `count` units back."""

    count: int


Command = Create | Run | Pause | Resume | Remove | Abort | Pull
