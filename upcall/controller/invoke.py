"""One activation from the controller's side: message out, result in (spec: load-balancer.md §3, bus.md §5).

This is what every way to start an action shares: the invoke route, and whatever else starts actions. The warm path is
plain calls: no task, no await. Tasks are made for a read of the store alone: an action that is not cached, a result
that came as an id.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial

import msgspec
from msgspec import UNSET, UnsetType

from upcall.controller.acks import Acks, Entry, Then
from upcall.controller.cache import ActionCache
from upcall.controller.cache import Entry as Cached
from upcall.controller.fleet import Fleet
from upcall.core.balance import Job
from upcall.core.params import Arguments, Defaults, defaults_of
from upcall.errors import Internal, NotFound, TooLarge, Unavailable, UpcallError
from upcall.http.ids import ids
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.entities import Action, Exec, Identity
from upcall.model.messages import ActivationMessage, Topic, invoker_topic
from upcall.model.names import ControllerId, FullyQualifiedName, Transid
from upcall.ports import Bus, Store, Stored

log = logging.getLogger(__name__)

Failed = Callable[[str, UpcallError], None]
"""Takes the id of an activation that was not sent, and why."""

FULL_RETRY = 5
"""Seconds after which to ask again, of a store that takes no writes."""

MAX_ARGUMENTS = 256 * 1024 * 1024
"""Bytes of arguments of activations in flight. The one that crosses it is still taken, the next is not."""

POLLS = (1.0, 3.0, 5.0, 7.0)
"""Seconds between looks into the store, once an ack has carried an id alone."""


class Plan(msgspec.Struct, frozen=True):
    """What an invoke needs to know of an action, worked out once per document."""

    name: FullyQualifiedName
    revision: str
    defaults: Defaults
    job: Job
    kind: str
    timeout: float
    """seconds"""


class Invocation(msgspec.Struct, frozen=True):
    """One call. `wait` is how long the caller waits for the result, in seconds; None: it does not."""

    plan: Plan
    user: Identity
    arguments: Arguments
    transid: Transid
    wait: float | None = None
    cause: str | UnsetType = UNSET


class Invocations:
    """`async with` it: leaving stops the reads of the store that are under way. `pulled` says whether an action's image
    has to be fetched first."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        acks: Acks,
        cache: ActionCache,
        *,
        fleet: Fleet,
        pulled: Callable[[Exec], bool] = lambda exec_: False,
        controller: str,
        prefix: str = "",
        polling: bool = True,
    ) -> None:
        self._store = store
        self._bus = bus
        self._acks = acks
        self._cache = cache
        self._fleet = fleet
        self._pulled = pulled
        self._controller = ControllerId(controller)
        self._prefix = prefix
        self._topics: dict[int, Topic] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._polled: set[Entry] = set()
        self._polling = polling
        acks.missing = self._missing

    async def __aenter__(self) -> "Invocations":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run cold work that answers for its own errors."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def in_flight(self, uuid: str) -> int:
        return self._acks.in_flight.get(uuid, 0)

    def plan(self, id: str) -> Plan | None:
        """How to run an action, if it is cached."""
        cached = self._cache.entry(id)
        if cached is None:
            return None
        return cached.plan if isinstance(cached.plan, Plan) else self._plan_of(cached)

    async def fetch_plan(self, id: str) -> Plan:
        """How to run an action. Raises what `Store.get` raises."""
        return self._plan_of(await self._cache.fetch_entry(id))

    def publish(self, call: Invocation, then: Then, failed: Failed) -> str:
        """Send the action on its way and give the activation's id. A waiting caller's `then` gets the record, or None
        when the wait is over; another's gets None once the bus has the message. Where it cannot be sent, `failed` is
        called instead. Either may be called before this returns. Raises Unavailable, also for new work whose records
        the store could not keep."""
        refusal = self._store.refusal()
        if refusal is not None and call.cause is UNSET:
            raise Unavailable(texts.store_refuses(refusal), FULL_RETRY)
        if self._acks.size > MAX_ARGUMENTS and call.cause is UNSET:
            raise Unavailable(texts.arguments_full(self._acks.size))
        plan = call.plan
        invoker = self._fleet.publish(plan.job)
        waiting = call.wait is not None
        message = ActivationMessage(
            call.transid,
            plan.name,
            plan.revision,
            call.user,
            ids.activation(),
            self._controller,
            waiting,
            call.arguments.content,
            call.arguments.init_args,
            call.arguments.locked_args,
            call.cause,
        )
        entry = Entry(message, plan.job, invoker, then if waiting else None)
        self._acks.register(entry, plan.timeout, call.wait or 0.0)
        topic = self._topics.get(invoker)
        if topic is None:
            topic = self._topics[invoker] = invoker_topic(invoker, self._prefix)
        self._bus.send(topic, message, partial(self._sent, entry, None if waiting else then, failed))
        return entry.id

    def _plan_of(self, cached: Cached) -> Plan:
        if not isinstance(cached.plan, Plan):
            cached.plan = _make_plan(cached.stored, self._pulled)
        return cached.plan

    def _sent(self, entry: Entry, then: Then | None, failed: Failed, error: BaseException | None) -> None:
        if error is None:
            if then:
                then(entry.id, None)
            return
        unanswered = then is not None or entry.then is not None
        self._acks.withdraw(entry)
        if isinstance(error, TooLarge):
            log.info("activation %s is not sent: %s", entry.id, error, extra=entry.extra)
            error = TooLarge()  # the caller knows nothing of topics (spec: load-balancer.md §6)
        elif not isinstance(error, UpcallError):
            log.error("activation %s could not be sent", entry.id, exc_info=error, extra=entry.extra)
            error = Internal()
        if unanswered:
            failed(entry.id, error)

    def _missing(self, entry: Entry, acknowledged: bool) -> None:
        if not self._polling:
            if acknowledged:
                self._acks.resolve(entry, None)
        elif entry not in self._polled:
            self._polled.add(entry)
            self.spawn(self._poll(entry, POLLS if acknowledged else ()))

    async def _poll(self, entry: Entry, delays: Sequence[float]) -> None:
        """Look at once, then after each delay, until it is there or nobody waits."""
        try:
            for delay in (*delays, None):
                if entry.then is None:
                    return
                if activation := await self._look(entry):
                    self._acks.resolve(entry, activation)
                    return
                if delay is not None:
                    await asyncio.sleep(delay)
        finally:
            self._polled.discard(entry)

    async def _look(self, entry: Entry) -> Activation | None:
        try:
            found = (await self._store.get(Activation, f"{entry.namespace}/{entry.id}")).doc
        except NotFound:
            return None
        except UpcallError as error:
            log.warning("the record of activation %s cannot be read: %s", entry.id, error, extra=entry.extra)
            return None
        return found if isinstance(found, Activation) else None


def _make_plan(stored: Stored, pulled: Callable[[Exec], bool]) -> Plan:
    action = stored.doc
    assert isinstance(action, Action)
    job = Job(
        action.namespace.partition("/")[0],
        action.id,
        action.limits.memory,
        action.limits.concurrency,
        pulled(action.exec),
        action.version,
    )
    name = FullyQualifiedName(action.namespace, action.name, action.version)
    return Plan(name, stored.rev, defaults_of(action), job, action.exec.kind, action.limits.timeout / 1000)
