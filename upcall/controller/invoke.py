"""One activation from the controller's side: message out, result in (spec: load-balancer.md §3, bus.md §5).

This is what every way to start an action shares: the invoke route, and whatever else starts actions. The warm path is
plain calls: no task, no await. Tasks are made for a read of the store alone: of a result that came as an id, or what
whoever calls has to read (`spawn`).
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence

from msgspec import UNSET, Raw, UnsetType

from upcall.controller.acks import Acks, Caller, Entry
from upcall.controller.compose import Composer
from upcall.controller.fleet import Fleet
from upcall.controller.plan import Plan, called_by
from upcall.errors import NotFound, Unavailable, UpcallError
from upcall.http.ids import ids
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.entities import Identity
from upcall.model.messages import ActivationMessage, Topic, invoker_topic
from upcall.model.names import ControllerId, Transid
from upcall.ports import Bus, Store

log = logging.getLogger(__name__)

FULL_RETRY = 5
"""Seconds after which to ask again, of a store that takes no writes."""

MAX_ARGUMENTS = 256 * 1024 * 1024
"""Bytes of arguments of activations in flight. The one that crosses it is still taken, the next is not."""

POLLS = (1.0, 3.0, 5.0, 7.0)
"""Seconds between looks into the store, once an ack has carried an id alone."""


class Invocations:
    """`async with` it: leaving stops the reads of the store that are under way."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        acks: Acks,
        *,
        fleet: Fleet,
        controller: str,
        prefix: str = "",
        polling: bool = True,
    ) -> None:
        self._store = store
        self._bus = bus
        self._acks = acks
        self._fleet = fleet
        self._controller = ControllerId(controller)
        self._prefix = prefix
        self._topics: dict[int, Topic] = {}
        self.composer: Composer | None = None
        """Runs sequences, and what conductors say."""
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

    def publish(  # noqa: PLR0917 - by place, as a call by name takes longer
        self,
        caller: Caller,
        plan: Plan,
        user: Identity,
        arguments: tuple[Raw, dict[str, str]],
        transid: Transid,
        start: int,
        wait: float | None,
        *,
        cause: str | UnsetType = UNSET,
    ) -> str:
        """Send one activation on its way and give its id. The caller waits `wait` seconds for the result, None: not at
        all. It is told of success or failure once, maybe before this returns. `arguments` are what `core.params.merge`
        gives, `start` is the time in epoch ms. Raises Unavailable, also for new work whose records the store could not
        keep. What has a cause is a step of a composition, and is run as it is."""
        if cause is UNSET:
            refusal = self._store.refusal()
            if refusal is not None:
                raise Unavailable(texts.store_refuses(refusal), FULL_RETRY)
            if self._acks.size > MAX_ARGUMENTS:
                raise Unavailable(texts.arguments_full(self._acks.size))
            if plan.composed and self.composer is not None:
                return self.composer.begin(caller, plan, user, arguments, transid, wait)
        if plan.job.namespace != user.namespace.name:
            plan = called_by(plan, user.namespace.name)
        invoker = self._fleet.publish(plan.job)
        content, locked = arguments
        message = ActivationMessage(
            transid,
            plan.name,
            plan.revision,
            user,
            ids.activation(start),
            self._controller,
            wait is not None,
            content,
            plan.defaults.init_args,
            locked,
            cause,
        )
        entry = self._acks.register(message, plan, invoker, wait, caller)
        topic = self._topics.get(invoker)
        if topic is None:
            topic = self._topics[invoker] = invoker_topic(invoker, self._prefix)
        self._bus.send(topic, message, entry.sent)
        return entry.id

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
                if entry.waiting is None:
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
            found = (await self._store.get(Activation, f"{entry.user.namespace.name}/{entry.id}")).doc
        except NotFound:
            return None
        except UpcallError as error:
            log.warning("the record of activation %s cannot be read: %s", entry.id, error, extra=entry.extra)
            return None
        return found if isinstance(found, Activation) else None
