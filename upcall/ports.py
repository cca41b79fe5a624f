"""The three ports behind which everything that does I/O stands: Bus, Store, Containers.

An adapter is one technology (`upcall.bus.memory`, `upcall.store.sqlite`, `upcall.containers.process`, …) and passes
the contract suite of its port (`tests/contract`). The hot path of an invoke crosses the Bus four times and the
Containers twice, so whatever lies on it is a plain call with a callback and not a coroutine: no task is made per
activation (docs/adr/0004-ports-by-callback.md). Callbacks are called on the event loop, once, and never raise.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Identity
from upcall.model.messages import Message, Topic

Sent = Callable[[BaseException | None], None]
"""Called with None when the bus has the message for good, else with what went wrong."""

Deliver = Callable[[int, Message, bool], None]
"""Takes one message with its offset, an opaque token for `started` and `done`, and whether an earlier life has told
`started` of it: then its code must not run again (D7). Each call uses up one unit of what was pulled. Where messages
pile up outside the process a controller's probe comes before what waits, and though no unit is left: it uses up the
next one that is pulled (spec: invoker.md §12)."""

Lost = Callable[[BaseException], None]
"""Told that a feed is over, by no will of its consumer: its place in the group was taken, a commit failed for good.
Nothing more is delivered or started; what is under way belongs to another life. The service has to end, loudly."""

D = TypeVar("D", bound=Document)


class Feed(Protocol):
    """One consumer of one topic, in order, with flow control: nothing arrives that was not pulled.

    The base offset that an adapter commits is the lowest one not `done`; `started` tells apart, after a crash, what
    must not run again (D7).
    """

    def pull(self, count: int) -> None:
        """Allow `count` more deliveries."""

    def started(self, offset: int, then: Callable[[], None]) -> None:
        """Make durable that user code is about to run for `offset`, then call `then` (at once where nothing outlives
        the process)."""

    def done(self, offset: int) -> None:
        """The message's outcome is published and its record is with the store; it need not be delivered again. A bus
        that outlives the process commits this only after a `Store.flush` that began later (docs/adr/0003-delivery.md):
        until then the record is not durable."""

    async def close(self) -> None:
        """Stop fetching; what was delivered and is not done stays uncommitted."""


class Following(Protocol):
    """One follower of one topic: it is told of what is sent, and keeps nothing for anybody."""

    @property
    def heard(self) -> float:
        """A moment on the monotonic clock: whatever was sent to the topic before it has been delivered. It moves on
        each half second while the bus answers, also where nothing is sent."""

    async def close(self) -> None:
        """Nothing is delivered any more."""


class Bus(Protocol):
    """Typed topics: structs in, structs out; an adapter that leaves the process encodes at its own edge (D4)."""

    recalls: bool
    """Whether the next life finds by `recall` all that anybody has got."""

    async def ensure(self, topic: Topic) -> None:
        """Create the topic where it is missing; the settings of an existing one stay (spec: bus.md §2.1)."""

    def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
        """Hand over; messages of one sender to one topic keep their order."""

    def keep(self, topic: Topic, message: Message, then: Callable[[], None]) -> None:
        """Call `then` as soon as `message`, which was sent, outlives this process, or has ended (at once where every
        message does). Its sender has its own reasons to let it go otherwise: a caller who waits sees that the
        connection is broken (D7)."""

    async def feed(self, topic: Topic, group: str, deliver: Deliver, lost: Lost) -> Feed:
        """Consume `topic` as member of `group`; nothing is delivered before the first `pull`."""

    async def follow(self, topic: Topic, deliver: Callable[[Message], None], lost: Lost) -> Following:
        """Deliver every message that is sent to `topic` from now on, in order, to each of its followers; nothing is
        acknowledged, nothing of it comes again to a next life. A topic that is deleted and made anew is followed from
        its beginning, and some of it may come twice then."""

    async def recall(self, topic: Topic, since: int, heard: Callable[[Message], None]) -> None:
        """Return when `heard` has been called with all that was sent to `topic` since that moment (epoch ms, by its
        senders' clocks) and is there now; perhaps in another thread. So a next life learns what an earlier one has
        said."""

    async def close(self) -> None:
        """Flush what was sent (bounded in time) and let go."""


class Left(msgspec.Struct, frozen=True):
    """What an earlier life has accepted and not ended."""

    id: str
    topic: str
    message: bytes
    started: bool


class Journal(Protocol):
    """Accepted activations, from their acceptance to their end: what a bus that lives in one process has in place of a
    broker's disk (docs/adr/0011-journal.md). `id` is the one of the activation's record: `namespace/activation id`."""

    def accept(self, id: str, topic: str, message: bytes, then: Sent) -> None:
        """Take a message; `then` gets None when it outlives the process, else why it does not: the journal is full, or
        the disk refuses. Nothing is left of it then."""

    def keep(self, id: str, topic: str, message: bytes, started: bool, then: Callable[[], None]) -> None:
        """The same for a message that is on its way or runs, without a bound: it is there anyway. Where the disk
        refuses, `then` is called as soon as it does no longer."""

    def started(self, id: str, then: Callable[[], None]) -> None:
        """Call `then` when it outlives the process that user code is about to run for `id`."""

    def ended(self, id: str) -> None:
        """The outcome is published, its record with the store: forget it, not before the record is durable."""

    def left(self) -> Sequence[Left]:
        """What earlier lives have left, in the order of acceptance; once. What has a record is not among it."""


class Stored(msgspec.Struct, frozen=True):
    """A document as the store holds it. `rev` changes with each write and is opaque: `N-hex`."""

    doc: Document
    rev: str


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A list of one kind in one namespace, newest first (by `updated`, activations by `start`)."""

    namespace: str
    name: str | None = None
    """Activations only: `action`, or `package/action` with the binding's package for bound ones."""
    package: str | None = None
    """Actions only: those of this package."""
    since: int | None = None
    """Epoch ms, inclusive."""
    upto: int | None = None
    """Epoch ms, inclusive."""
    skip: int = 0
    limit: int = 30
    """0: all."""
    whole: bool = True
    """Else activations come without logs and result, from some stores without subject and size, and actions without
    parameters."""


class Accounts(Protocol):
    """The part of a store that says who is who, and that the operator's commands work with."""

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        """The newest revision, or exactly `rev`. Raises NotFound; Unreadable (not decodable, another `rev` asked
        for than there is); Conflict with text `CONFORMANCE` when the id belongs to a document of another kind."""

    async def put(self, doc: Document, rev: str | None = None) -> str:
        """Create (`rev` None) or replace revision `rev`; gives the new revision. Raises Conflict when the id exists
        or `rev` is stale. `updated`, which lists go by, is the caller's to set."""

    async def delete(self, kind: type[Document], id: str, rev: str) -> None:
        """Raises NotFound; Conflict when `rev` is stale."""

    async def identity(self, uuid: str, key: str) -> Identity | None:
        """Who the credentials stand for, limits joined; None where they belong to nobody or to a blocked subject.
        The key is compared in constant time. Raises Internal where they stand for two namespaces."""

    async def owner(self, namespace: str) -> Identity | None:
        """Whose namespace it is, limits joined; None where nobody has it or its subject is blocked. Web actions run
        as their owner."""

    async def identities(self, namespace: str) -> Sequence[Identity]:
        """All that have the namespace, the first of them its owner; without those of blocked subjects."""

    async def blocked(self) -> frozenset[str]:
        """Namespaces of blocked subjects, and those whose limits allow no invocation (spec: store.md §7); some stores
        tell of a change only when they are asked again."""

    def changes(self) -> int | None:
        """A number that is another one as soon as a subject or a namespace's limits have changed, whoever changed
        them; None while they are being changed. What was read of them is good for as long as the number stays. Asked
        on each request: it takes less than 0.2 us."""


class Store(Accounts, Protocol):
    """Documents with revisions (spec: store.md, entities.md §8). Ids: `upcall.model.entities.doc_id`.

    Whole documents go in and out: where an adapter keeps an action's code as an attachment, that is its own business.
    """

    async def list(self, kind: type[D], query: Query) -> Sequence[D]:
        """Documents without an action's code. Raises ValueError for negative numbers, BadRequest where whole
        activations are more than memory is for."""

    async def count(self, kind: type[Document], query: Query) -> int:
        """All that match less `skip`, at least 0; `limit` is ignored."""

    def record(self, activation: Activation) -> bool:
        """Take an activation record for the next group commit; from now on `get` and `list` show it. The first record
        of an activation stands, a later one is dropped. False when the bounded batch is full: the caller slows its
        intake and tries again (`room` tells when)."""

    def promise(self, activation: Activation) -> bool:
        """Whether the record outlives the process from now on, so that its result may be told before it is recorded.
        `record` has to follow, and may bring the same activation with its logs; where it does not come to that, the
        promised one stands. False: tell the result after a `flush` that follows `record`."""

    async def room(self) -> None:
        """Return when `record` takes records again."""

    def refusal(self) -> str | None:
        """Why new activations should be turned away: their records could not be kept (a full disk), and the store
        does not know for how long. None while all is well, or will be soon. Asked for each activation."""

    async def flush(self) -> None:
        """Return when every record taken so far is durable."""

    async def close(self) -> None:
        """Flush and let go."""


class Address(msgspec.Struct, frozen=True):
    """Where a container's runtime answers HTTP: a unix socket path, or host and port."""

    path: str = ""
    host: str = ""
    port: int = 0


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to start."""

    kind: str
    """`python:3.11`, or `blackbox`."""
    image: str = ""
    memory: int
    """MB; what the pool has promised."""
    name: str
    """`wsk0_7_guest_hello` (spec: container.md §4.5)."""
    tenant: str = ""
    """Invoking namespace; empty for a prewarmed container, which is given its tenant by `Container.claim`."""
    owner: str = ""
    """Namespace of the action, with whose credentials its image is fetched."""
    concurrency: int = 1
    pull: bool = False
    """Whether its image is fetched before each creation (spec: container.md §4.3)."""
    sentinels: bool = True
    """Whether what it prints ends with sentinels, as managed images' does (spec: logs.md §2)."""


class Lines(msgspec.Struct, frozen=True):
    """Collected log lines in upstream's format (spec: logs.md §3); `failed` is a collection error (logs.md §4),
    which is counted and costs nothing else (logs.md §7)."""

    lines: list[str]
    failed: bool = False


class Container(Protocol):
    """One running sandbox. `lost` is set by the shell and called at most once, when the container dies by itself; where
    it has died before it is set, soon after."""

    id: str
    address: Address
    foreign: bool
    """Whether its server is none of ours, and may close a connection that rests (D14)."""
    lost: Callable[[], None] | None

    async def claim(self, tenant: str, concurrency: int = 1) -> None:
        """Bind a prewarmed container to its tenant, before /init, for an action of which so many activations may run
        at a time. Raises StartFailed."""

    async def pause(self) -> None:
        """Stop all its processes without losing their state."""

    async def resume(self) -> None:
        """Undo `pause`."""

    async def destroy(self) -> None:
        """Remove it, paused or not; idempotent, never raises for "already gone"."""

    def collect(self, limit: int, complete: bool, done: Callable[[Lines], None]) -> None:
        """Lines written since the last call, at most `limit` bytes of them. `complete` is false after a developer
        error and after what was cut short: sentinels may be missing then (spec: logs.md §2). May call `done` before
        it returns."""

    def exhausted(self, done: Callable[[bool], None]) -> None:
        """Whether the kernel killed it, or a process in it, for want of memory: asked where a connection was lost.
        May call `done` before it returns, and within some 2 s at the latest."""

    def memory_used(self) -> int | None:
        """Bytes that its processes have now; None where nothing tells. It asks the host: call it in a thread, where
        the container may go meanwhile."""


class Containers(Protocol):
    """One technology of isolation."""

    kinds: Sequence[str]
    """Kinds that run here, the default of a family first."""

    @property
    def trouble(self) -> str | None:
        """Why no container can be made just now, in a sentence; None while all is well. `create` waits for its end.
        Asked each second."""

    async def start(self) -> None:
        """Check the host, remove what an earlier life left, get ready. Raises Misconfigured with cause and fix."""

    async def create(self, spec: ContainerSpec) -> Container:
        """Raises StartFailed."""

    async def close(self) -> None:
        """Remove every container and whatever the driver made on the host."""
