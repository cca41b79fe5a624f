"""The Invoker: from its topic to the pool, and what belongs to its life (spec: invoker.md §3, §5, §9).

    feed ─► blocked? ─► action by revision ─► limits ─► JobArrived ─► pool ─► Work (activate.py)
                            │ not cached: a task, which waits for a store that is away
                            └─► refused: fallback record, last ack, unit back to the feed

    started by an earlier life ─► its record, else status 3; only where `idempotent` is true it runs again (D7)

A message whose action is at hand goes the whole way to the container's socket within the bus's call. Whatever ends it
before the pool sees it is answered here; the pool gives the feed's unit back for all others.

Start, in this order: topic; containers (leftovers of an earlier life go before anything runs); feed; pool; pings; and
only when the canary has come back is anything fetched. Stop (D8): a ping that says disabled; nothing more is taken but
what somebody waits for (`hold`), then nothing at all; what has not started is left for the next life, what runs has
`grace` to end and is then answered with status 3; containers go, the feed is closed: what it delivered meanwhile was
dropped and is for the next life, too. A bug in the pool ends the service: leaving `async with` raises.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Self

from upcall.core.events import Drained, Strained
from upcall.core.pool import PoolConfig, load, new_pool
from upcall.core.record import StoreLevels
from upcall.errors import Conflict, Internal, NotFound, Unavailable, Unreadable
from upcall.invoker.aborts import cut_short
from upcall.invoker.acks import Acks
from upcall.invoker.activate import Work
from upcall.invoker.asking import Asking
from upcall.invoker.blacklist import Blacklist
from upcall.invoker.canary import Canary, Proof
from upcall.invoker.counters import Counters
from upcall.invoker.desk import Desk
from upcall.invoker.earlier import Actions, Earlier
from upcall.invoker.events import Events
from upcall.invoker.gate import Gate
from upcall.invoker.inspection import Inspection
from upcall.invoker.known import Knowledge, tell_unfit
from upcall.invoker.marked import MarkedWork, marked
from upcall.invoker.pings import Pings
from upcall.invoker.pool import PoolRunner
from upcall.invoker.records import Records
from upcall.invoker.refusals import Refusals
from upcall.invoker.specs import DEPLOYMENT, Specs, default_units
from upcall.invoker.supply import Supply
from upcall.invoker.told import Said, Told
from upcall.keys import Keys
from upcall.logs.places import Place
from upcall.markers import are_on
from upcall.model import texts
from upcall.model.activation import APPLICATION_ERROR, DEVELOPER_ERROR, WHISK_ERROR, error
from upcall.model.entities import Action
from upcall.model.messages import ActivationMessage, Message, Topic, invoker_topic
from upcall.model.names import InvokerId
from upcall.model.runtimes import Deployment, Manifest
from upcall.model.sizes import SystemLimits
from upcall.ports import Bus, Containers, Store, Stored
from upcall.telemetry import about

log = logging.getLogger(__name__)

DISABLED = "disabled"
"""What keeps the gate shut."""
LAST_WORDS = 5.0
"""seconds for what is left after the grace: logs of what was cut short, removals"""


class Invoker:
    """`async with` starts and stops it. `units` is how many activations it takes from the feed at a time. `canary`
    proves that containers work, as `proof` says; without it they are trusted. `full`: a result waits for its record,
    whatever the bus keeps. `keys` open arguments that come encrypted."""

    def __init__(
        self,
        instance: InvokerId,
        bus: Bus,
        store: Store,
        actions: Actions,
        containers: Containers,
        *,
        pool: PoolConfig,
        manifest: Manifest,
        deployment: Deployment = DEPLOYMENT,
        limits: SystemLimits = SystemLimits(),  # noqa: B008 - frozen
        levels: StoreLevels = StoreLevels(),  # noqa: B008 - frozen
        units: int | None = None,
        prefix: str = "",
        grace: float = 30.0,
        canary: Canary | None = None,
        events: Topic | None = None,
        blacklist_interval: float = 300.0,
        full: bool = False,
        keys: Keys | None = None,
        logs: Place = Place(),  # noqa: B008 - frozen
    ) -> None:
        self._instance, self._bus, self._events, self._levels = instance, bus, events, levels
        self._store, self._actions, self._containers, self._pool_config = store, actions, containers, pool
        self._units = units or default_units(pool, limits)
        self._prefix, self._grace, self._full, self._keys = prefix, grace, full, keys or Keys()
        self._blacklist, self.asking = Blacklist(store, blacklist_interval), Asking(store)
        self._knowledge, self._logs = Knowledge(manifest, limits, collected=logs.collected), logs
        self._specs = Specs(instance, manifest, deployment)
        self._work, self._stack = MarkedWork if are_on() else Work, contextlib.AsyncExitStack()
        self._held = self._parting = self._drained = self._broken = False
        self._unstarted: set[asyncio.Task[None]] = set()
        """What comes before the pool, and waits perhaps for the store."""
        self._gate = gate = Gate(self._deliver, self._pull)
        trial = self._specs.canary(limits.memory.std, containers.kinds)
        self.proof = Proof(canary, containers, trial, gate, lambda: self._runner.feed(Strained()))
        self.supply, self.counters = Supply(containers, gate), Counters()
        self._pings, self.name = Pings(bus, instance, prefix, self._look), str(instance)

    async def __aenter__(self) -> Self:
        async with self._stack as stack:
            topic = invoker_topic(self._instance.instance, self._prefix)
            await self._bus.ensure(topic)
            stack.push_async_callback(self._containers.close)
            await self._containers.start()
            self._tasks = await stack.enter_async_context(asyncio.TaskGroup())
            self._records = Records(self._store, self._tasks, recalled=self._bus.recalls and not self._full)
            self._earlier = self._make_earlier()
            events = Events(self._bus, self._instance, self._events, epoch_ms) if self._events else None
            tell = await events.ready() if events else None
            acks = self._acks = Acks(self._bus, self._instance, self._records.settle, self._prefix, tell)
            await self._blacklist.read()
            stack.callback(self._tasks.create_task(self._blacklist.follow()).cancel)
            self._desk = Desk(acks, self._records, self.counters, self._levels, epoch_ms, apart=self._bus.recalls)
            self._refusals, self._runner = Refusals(self._desk, self._release), self._make_runner()
            self.inside = Inspection(self._runner)
            stack.callback(self._runner.close)
            self._desk.report, self._desk.end = self._runner.feed, self._runner.end
            self._desk.files = self._logs.files
            deliver = marked(self._deliver) if are_on() else self._deliver
            self._feed = self._desk.feed = await self._bus.feed(topic, topic.name, deliver, self._fail)
            stack.push_async_callback(self._feed.close)
            self._runner.start()
            self._pings.start(self._tasks)
            self._pull(self._units)
            self.proof.start(self._tasks)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> bool | None:
        if self._broken:
            return await self._stack.__aexit__(*exception)  # type: ignore[arg-type]
        await self.drain(self._grace if exception[0] is None else 0.0)
        await self._stack.aclose()  # an error of the block is none of the tasks', and comes out as it is
        return None

    def disable(self) -> bool:
        """Fetch no more; what is there is run. False where it is so already."""
        if self.disabled:
            return False
        self._gate.shut(DISABLED)
        self._pings.stop()
        log.warning("%s is disabled: it takes no activations", self._instance)
        return True

    def enable(self) -> bool:
        """Undo it. False where it is so already, and in a shutdown."""
        if not self.disabled or self.stopping:
            return False
        self._pings.start(self._tasks)
        log.info("%s is enabled", self._instance)
        self._gate.open(DISABLED)
        return True

    def hold(self) -> None:
        """Of what comes now take only that for which somebody waits: what runs may have called it, and ends only when
        it has. Everything else is for the next life."""
        self._held = True
        self._pings.stop()
        self.proof.stop()

    def part(self) -> None:
        """Have controllers send no more, and run what they have sent."""
        self._parting = True
        self._pings.stop()
        self._gate.open(DISABLED)

    def give_up(self) -> None:
        """Nobody comes after this one: whatever is there, and all that comes yet, is answered with status 3."""
        self.proof.stop()
        self._desk.last = True
        self._runner.feed(Drained())
        self._gate.lift()
        cut_short(self._runner.works())

    async def idle(self) -> None:
        """Return when nothing waits or runs."""
        await self._runner.idle()

    async def drain(self, grace: float) -> None:
        """Take no more work, and return when nothing is left; `grace` in seconds for what runs. The feed is closed
        when the block is left: until then what ends can still be told to it."""
        if self._drained:
            return
        self._drained = True
        self.hold()
        for task in self._unstarted:
            task.cancel()
        self._runner.feed(Drained())
        if not await self._emptied(grace):
            cut_short(self._runner.works())
            await self._emptied(LAST_WORDS)
        await self._records.close(LAST_WORDS)
        self._runner.close()

    @property
    def enabled(self) -> bool:
        """As it was said last."""
        return self._pings.enabled

    @property
    def held_back(self) -> int:
        """Activations that wait because something is in the way."""
        return len(self._gate) + len(self.asking)

    @property
    def disabled(self) -> bool:
        return DISABLED in self._gate.reasons

    @property
    def stopping(self) -> bool:
        return self._held or self._parting

    @property
    def reading(self) -> int:
        """Activations on their way to the pool."""
        return len(self._unstarted)

    @property
    def load(self) -> int:
        """Activations that wait or run."""
        return load(self._runner.pool)

    # --- from the feed to the pool

    def _deliver(self, offset: int, message: Message, started: bool) -> None:
        if self._drained:
            return  # neither started nor done: it is for the next life
        if self._gate.closed:
            self._gate.keep(offset, message, started)
            return
        if not isinstance(message, ActivationMessage):
            log.error("no activation at offset %d: %s", offset, type(message).__name__)
            self._release(offset)
            return
        if started:
            self._begin(self._settle(offset, message))
            return
        if self._held and not message.blocking:
            self._pull(1)
            return
        if self._desk.last:
            self._refusals.refuse(offset, message, error(WHISK_ERROR, texts.SHUTDOWN))
            return
        self.counters.activations += 1
        if self._blacklist.refuses(message.user.namespace.name):
            self.counters.blocked += 1
            self._refusals.refuse(offset, message, error(APPLICATION_ERROR, texts.NAMESPACE_BLOCKED), record=False)
            return
        stored = self._actions.cached(message.action.id, message.revision)
        if stored is None:
            self.counters.cache_misses += 1
            self._begin(self._fetch(offset, message))
        else:
            self._admit(offset, message, stored)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = self._tasks.create_task(work)
        self._unstarted.add(task)
        task.add_done_callback(self._unstarted.discard)

    async def _settle(self, offset: int, message: ActivationMessage) -> None:
        """End what an earlier life has started."""
        past = await self._earlier.outcome(message)
        if past is None:
            self._deliver(offset, message, False)
        elif not isinstance(past, Said):
            self.counters.activations += 1
            self._refusals.answer(offset, message, past, keep=False)
        elif past.freed:
            self._release(offset)
        else:
            self._acks.freed(message, past.record, lambda: self._release(offset))

    async def _fetch(self, offset: int, message: ActivationMessage) -> None:
        try:
            stored = await self.asking.answer(lambda: self._actions.fetch(message.action.id, message.revision))
        except NotFound:
            response = error(APPLICATION_ERROR, texts.ACTION_REMOVED)
        except (Unreadable, Conflict):
            response = error(WHISK_ERROR, texts.ACTION_MISMATCH)
        except Exception as cause:
            bug = not isinstance(cause, Unavailable | Internal)
            log.error("%s cannot be read: %s", message.action.id, cause, exc_info=bug, extra=about(message))
            response = error(WHISK_ERROR, texts.ACTION_FETCH)
        else:
            self._admit(offset, message, stored)
            return
        self._refusals.refuse(offset, message, response)

    def _admit(self, offset: int, message: ActivationMessage, stored: Stored) -> None:
        action = stored.doc
        assert isinstance(action, Action)
        try:
            known = self._knowledge.of(action, stored.rev, message.user)
            if known is None:
                self._tasks.create_task(self._learn(offset, message, stored))
                return
            refusal = known.refusal
            if message.locked_args and refusal is None:
                message = self._keys.unlock(message)
            work = self._work(self._desk, offset, message, known, action)
        except Unreadable as locked:
            refusal = error(DEVELOPER_ERROR, str(locked))
        except Exception as cause:  # noqa: BLE001 - the boundary of one message: its sender is another process
            tell_unfit(action, message, cause)
            refusal = error(WHISK_ERROR, texts.ACTION_FETCH)
        if refusal is None:
            self._runner.arrive(work)
        else:
            self._refusals.refuse(offset, message, refusal)

    async def _learn(self, offset: int, message: ActivationMessage, stored: Stored) -> None:
        """Off the loop, as its code is large; then admit."""
        action = stored.doc
        assert isinstance(action, Action)
        try:
            await self._knowledge.learn(action, stored.rev, message.user)
        except Exception as cause:  # noqa: BLE001 - the same
            tell_unfit(action, message, cause)
            self._refusals.refuse(offset, message, error(WHISK_ERROR, texts.ACTION_FETCH))
        else:
            self._admit(offset, message, stored)

    def _release(self, offset: int) -> None:
        self._feed.done(offset)
        self._pull(1)

    def _pull(self, count: int) -> None:
        if self._gate.closed:
            self._gate.owe(count)
        elif not self._drained:
            self._feed.pull(count)

    # --- life

    def _make_earlier(self) -> Earlier:
        told = Told(self._bus, self._instance.instance, self._prefix)
        sources = self._store, self._actions, self._knowledge, told, self.asking
        return Earlier(*sources, records=self._records, levels=self._levels, clock=epoch_ms)

    def _make_runner(self) -> PoolRunner:
        return PoolRunner(
            new_pool(self._pool_config, asyncio.get_running_loop().time()),
            self._containers,
            self._tasks,
            specify=self._specs.of,
            pull=self._pull,
            counters=self.counters,
            made=self.proof.made,
            failed=self._fail,
        )

    def _look(self) -> bool:
        """Whether activations may be sent here."""
        return self.supply.look() and not self.proof.relapsed and self.asking.trouble is None

    async def _emptied(self, patience: float) -> bool:
        try:
            async with asyncio.timeout(patience):
                await self._runner.empty()
        except TimeoutError:
            return False
        return True

    def _fail(self, cause: BaseException) -> None:
        """A bug, or the feed is lost: end the service, and with it whoever runs it. What runs is for who comes next."""
        if self._broken:
            return
        self._broken = self._desk.over = self._acks.over = True
        self._runner.close()
        log.critical("the Invoker has failed: %s", cause, exc_info=None if isinstance(cause, Unavailable) else cause)

        async def fall() -> None:
            raise cause

        self._tasks.create_task(fall())


def epoch_ms() -> int:
    return int(time.time() * 1000)
