"""What goes into the container pool and what comes out of it: events (past tense) and commands (imperative).

The pool knows jobs by what placement needs; `Job.task` is the shell's own and never looked at. A slot is a container,
by the number that the pool gave it with `Create`.

The shell answers each command with exactly one event, as the commands' docstrings say; `Abort` and `Pull` have no
answer. Only `Broken` may also come unasked, where something watches the containers.
"""

from typing import Literal

import msgspec

SlotId = int

ActionKey = str
"""Equal for two action documents that differ in nothing but `_rev` (docs/DESIGN.md), invoking namespace included:
`namespace` + blank + digest of the document."""

Reason = Literal["init", "create", "drain", "too-big", "returned"]
"""Why a job ends without having run: /init failed under the job that it waited for, the container did not come up,
shutdown, more memory than the whole pool has, containers refused it too often (docs/DESIGN.md D14)."""


class Job(msgspec.Struct, eq=False):
    """One activation on its way to a container; it is itself and equal to no other. `arrived` (in seconds of the pool's
    clock) and `returns` (how often a container refused it) are the pool's."""

    id: str
    action: ActionKey
    kind: str
    memory: int
    """MB"""
    concurrency: int
    task: object = None
    probe: bool = False
    """A controller asks whether this Invoker works: before everybody else, and in the reserve where memory is full."""
    arrived: float = 0.0
    returns: int = 0


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
    """The job has its outcome, logs included. Not `reusable`: status 2 or 3."""

    slot: SlotId
    job: Job
    reusable: bool
    cause: object = None
    """The response, where /init failed: jobs that wait for this slot end with the same one."""


class JobReturned(msgspec.Struct, frozen=True):
    """The container refused the job without running it (connection refused, 503): it goes back to the queue's head and
    the slot goes away (spec: container.md §7.4). `cause` comes back in `Abort` when it was once too often."""

    slot: SlotId
    job: Job
    cause: object = None


class Paused(msgspec.Struct, frozen=True):
    slot: SlotId


class Resumed(msgspec.Struct, frozen=True):
    slot: SlotId


class Broken(msgspec.Struct, frozen=True):
    """The container died, or pausing or resuming it failed. Of what runs there each job still reports its own end."""

    slot: SlotId


class Removed(msgspec.Struct, frozen=True):
    slot: SlotId


class Tick(msgspec.Struct, frozen=True):
    """Time has passed: see `deadline(pool)`."""


class Drained(msgspec.Struct, frozen=True):
    """Shutdown: what waits is aborted with reason `drain`, idle slots are removed, nothing new is placed. What runs
    ends first; the pool is empty when `pool.slots` is."""


class Strained(msgspec.Struct, frozen=True):
    """No container can be made, perhaps for want of what those at rest hold: the half of these that has rested longest
    is removed."""


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
    | Strained
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
    """Run the job there, /init first if `init`. Answer: Inited (only after a good /init), then JobDone or JobReturned.
    `fresh` asks to treat a refused connection as the container's fault: first run after it was idle or paused."""

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
    """Give the feed `count` units back: so many jobs have left the pool.

    The flow control is one sentence: the feed may have as many jobs in the pool as it has units, a job takes one when
    it arrives and gives it back when it ends, whatever the end. So the units in use are the jobs that wait and run
    (`upcall.core.pool.load`): they can be counted from the pool, and no signal can leak them (upstream's do, and an
    Invoker then looks healthy and does nothing). A job that goes back to the queue keeps its unit."""

    count: int


Command = Create | Run | Pause | Resume | Remove | Abort | Pull
