"""Sequences and conductors run: the controller calls their components one after the other, in this process and without
HTTP, and writes their records (spec: sequences-conductors.md).

Who may call a composition is asked of all its components before the first one runs. A component that runs is in flight
like any activation, the composition itself is not: its caller was charged once.

What has been called so far is known here alone: a composition whose controller dies ends with the component it was at.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from upcall.controller.acks import Caller
from upcall.controller.plan import Plan
from upcall.controller.records import Ended, keep
from upcall.controller.resolve import Resolver
from upcall.core.compositions import (
    Arguments,
    Call,
    Run,
    Step,
    boxed,
    composition_record,
    error_body,
    final_result,
    is_error,
    next_arguments,
    read_step,
    with_state,
    without_final,
)
from upcall.core.params import merge
from upcall.core.references import component_name
from upcall.errors import Conflict, Forbidden, Internal, NotFound, UpcallError
from upcall.http.ids import ids
from upcall.model import texts
from upcall.model.activation import (
    APPLICATION_ERROR,
    DEVELOPER_ERROR,
    SUCCESS,
    WHISK_ERROR,
    Activation,
    Response,
    error,
)
from upcall.model.entities import Identity
from upcall.model.names import FullyQualifiedName, Json, Transid
from upcall.ports import Store

if TYPE_CHECKING:
    from upcall.controller.invoke import Invocations

log = logging.getLogger(__name__)

DEEPEST = 100
"""Compositions inside each other."""
MOST = 10_000
"""Activations that one call leads to."""
GRACE = 60.0
"""Seconds beyond its own time limit for which a component is waited for."""


class Tree:
    """All that one call has led to. Sequences and conductors can call each other without an end, as each begins to
    count anew."""

    def __init__(self) -> None:
        self.depth = 0
        """Compositions inside each other, now."""
        self.calls = 0


class Budget:
    """What is left of the limit; nested compositions share it."""

    def __init__(self, limit: int, tree: "Tree") -> None:
        self.limit = limit
        self.tree = tree
        self.components = 0
        self.conductors = 0

    def fresh(self) -> "Budget":
        """Of a composition whose components do not count here."""
        return Budget(self.limit, self.tree)


class _Over(Exception):
    """The composition ends here, with this response."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class Composer:
    """Of one controller; `limit` is how many components there may be."""

    def __init__(
        self,
        invocations: "Invocations",
        resolver: Resolver,
        store: Store,
        limit: int,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._invocations = invocations
        self._resolver = resolver
        self._store = store
        self._limit = limit
        self._clock = clock

    def begin(  # noqa: PLR0917 - as Invocations.publish
        self,
        caller: Caller,
        plan: Plan,
        user: Identity,
        arguments: Arguments,
        transid: Transid,
        wait: float | None,
    ) -> str:
        """Have it run, and give its id. The caller is told as of any activation."""
        now = self._clock()
        id = ids.activation(now)
        self._invocations.spawn(self._run(_Told(caller, id, wait), plan, user, arguments, transid))
        return id

    async def _run(self, told: "_Told", plan: Plan, user: Identity, arguments: Arguments, transid: Transid) -> None:
        try:
            for name in plan.components:
                await self._may_call(user, name)
        except Exception as refusal:  # noqa: BLE001 - the boundary of one call
            told.failed(refusal)
            return
        told.accepted()
        record = None
        try:
            record = await self._compose(plan, user, arguments, transid, told.id, Budget(self._limit, Tree()))
        finally:
            told.done(record)

    async def _may_call(self, user: Identity, name: FullyQualifiedName) -> None:
        """Raises Forbidden. What is missing is told when its turn comes."""
        with contextlib.suppress(NotFound, Conflict):
            await self._resolver.plan(user, name.path, name.name)

    async def _compose(  # noqa: PLR0917
        self,
        plan: Plan,
        user: Identity,
        arguments: Arguments,
        transid: Transid,
        id: str,
        budget: Budget,
        cause: str | UnsetType = UNSET,
    ) -> Activation:
        """Run it to its end; its record, which is stored."""
        start = self._clock()
        arrived = transid[1] if len(transid) > 1 and isinstance(transid[1], int) else start
        call = Call(user, plan.name, id, cause, start, max(0, start - arrived), plan.conductor)
        run = Run(plan.limits)
        work = _Conduct if plan.conductor else _Sequence
        failure = texts.COMPOSITION_FAILED if plan.conductor else texts.SEQUENCE_FAILED
        try:
            response = await work(self, plan, call, run, transid, budget).run(arguments)
        except _Over as over:
            response = over.response
        except Exception as problem:
            known = isinstance(problem, UpcallError)
            log.log(
                logging.WARNING if known else logging.ERROR,
                "composition %s ends: %s",
                id,
                problem or type(problem).__name__,
                exc_info=None if known else problem,
            )
            response = error(WHISK_ERROR, failure)
        record = composition_record(call, run, response, now=self._clock())
        await keep(self._store, user, record)
        return record

    async def call(  # noqa: PLR0917
        self,
        plan: Plan,
        call: Call,
        arguments: Arguments,
        transid: Transid,
        run: Run,
        late: Callable[[str], str],
        tree: Tree,
    ) -> Activation:
        """One ordinary activation. Raises _Over where no record comes in time, or too many came before it."""
        tree.calls += 1
        if tree.calls > MOST:
            text = texts.COMPOSITION_LONG if late is texts.composition_late else texts.SEQUENCE_LONG
            raise _Over(error(APPLICATION_ERROR, text))
        now = self._clock()
        child: Transid = [ids.transaction(), now, True, transid] if transid[2:3] == [True] else [
            ids.transaction(), now, transid,
        ]  # fmt: skip
        ended = Ended()
        self._invocations.publish(ended, plan, call.user, arguments, child, now, plan.timeout + GRACE, cause=call.id)
        id, record = await ended.outcome
        if record is None:
            run.logs.append(id)
            raise _Over(error(WHISK_ERROR, late(id)))
        run.ended(record, plan.job.memory)
        return record

    async def nested(  # noqa: PLR0917
        self, plan: Plan, call: Call, arguments: Arguments, transid: Transid, run: Run, budget: Budget
    ) -> Activation:
        """A composition inside another. Raises _Over where that goes too deep."""
        tree = budget.tree
        if tree.depth >= DEEPEST:
            text = texts.COMPOSITION_LONG if plan.conductor else texts.SEQUENCE_LONG
            raise _Over(error(APPLICATION_ERROR, text))
        id = ids.activation(self._clock())
        tree.depth += 1
        try:
            record = await self._compose(plan, call.user, arguments, transid, id, budget, cause=call.id)
        finally:
            tree.depth -= 1
        run.ended(record, plan.job.memory)
        return record

    async def find(self, user: Identity, name: FullyQualifiedName) -> Plan:
        return await self._resolver.plan(user, name.path, name.name)


class _Work:
    def __init__(  # noqa: PLR0917
        self, composer: Composer, plan: Plan, call: Call, run: Run, transid: Transid, budget: Budget
    ) -> None:
        self.composer = composer
        self.plan = plan
        self.call = call
        self.ran = run
        self.transid = transid
        self.budget = budget

    async def run(self, arguments: Arguments) -> Response:
        raise NotImplementedError


class _Sequence(_Work):
    """One component after the other, until one of them fails."""

    async def run(self, arguments: Arguments) -> Response:
        response = Response(SUCCESS, arguments[0])
        for name in self.plan.components:
            response = (await self._component(name, response)).response
            if is_error(response):
                break
        return response

    async def _component(self, name: FullyQualifiedName, before: Response) -> Activation:
        composer, budget = self.composer, self.budget
        try:
            plan = await composer.find(self.call.user, name)
        except (NotFound, Conflict, Forbidden):
            raise _Over(error(APPLICATION_ERROR, texts.COMPONENT_MISSING)) from None
        arguments = next_arguments(plan.defaults, before.result)
        if plan.composed and not plan.conductor:
            return await composer.nested(plan, self.call, arguments, self.transid, self.ran, budget)
        if budget.components >= budget.limit:
            raise _Over(error(APPLICATION_ERROR, texts.SEQUENCE_LONG))
        budget.components += 1
        if plan.conductor:
            return await composer.nested(plan, self.call, arguments, self.transid, self.ran, budget.fresh())
        return await composer.call(plan, self.call, arguments, self.transid, self.ran, texts.sequence_late, budget.tree)


class _Conduct(_Work):
    """The conductor says which action is next, and is given what came of it."""

    async def run(self, arguments: Arguments) -> Response:
        state: bytes | None = None
        while True:
            response = await self._conductor(arguments)
            if response.status_code in (DEVELOPER_ERROR, WHISK_ERROR):
                return response
            step = read_step(response.result)
            if step is None:
                return Response(response.status_code, final_result(response.result), response.size)
            state = step.state
            given = with_state(await self._next(step), state)
            arguments = merge(without_final(self.plan.defaults), given)

    async def _conductor(self, arguments: Arguments) -> Response:
        budget = self.budget
        if budget.conductors > 2 * budget.limit:
            raise _Over(error(APPLICATION_ERROR, texts.COMPOSITION_LONG))
        budget.conductors += 1
        record = await self.composer.call(
            self.plan, self.call, arguments, self.transid, self.ran, texts.composition_late, budget.tree
        )
        return record.response

    async def _next(self, step: Step) -> bytes:
        """What the conductor is told of the next action: its result, or why there is none."""
        user, budget = self.call.user, self.budget
        name = component_name(step.action, user.namespace.name)
        if name is None:
            return error_body(texts.component_unnamed(step.action))
        try:
            plan = await self.composer.find(user, name)
        except (NotFound, Conflict):
            return error_body(texts.component_unresolved(name.id))
        except Forbidden:
            return error_body(texts.component_refused(name.id))
        arguments = merge(without_final(plan.defaults), step.params or b"")
        if plan.conductor:
            return await self._result(self.composer.nested(plan, self.call, arguments, self.transid, self.ran, budget))
        if budget.components >= budget.limit:
            return error_body(texts.COMPOSITION_LONG)
        budget.components += 1
        if plan.composed:
            fresh = budget.fresh()
            return await self._result(self.composer.nested(plan, self.call, arguments, self.transid, self.ran, fresh))
        late = texts.composition_late
        return await self._result(
            self.composer.call(plan, self.call, arguments, self.transid, self.ran, late, budget.tree)
        )

    async def _result(self, work: Coroutine[Json, Json, Activation]) -> bytes:
        return boxed((await work).response.result)


class _Told:
    """The caller of a composition, told once: with the record, or with the id where the wait is over or there is
    none."""

    def __init__(self, caller: Caller, id: str, wait: float | None) -> None:
        self.id = id
        self._caller: Caller | None = caller
        self._wait = wait
        self._timer: asyncio.TimerHandle | None = None

    def accepted(self) -> None:
        if self._wait is None:
            self._tell(None)
        else:
            self._timer = asyncio.get_running_loop().call_later(self._wait, self._tell, None)

    def done(self, record: Activation | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._tell(record)

    def failed(self, problem: Exception) -> None:
        caller, self._caller = self._caller, None
        if caller is not None:
            caller.failed(self.id, problem if isinstance(problem, UpcallError) else _logged(problem))

    def _tell(self, record: Activation | None) -> None:
        caller, self._caller = self._caller, None
        if caller is not None:
            caller.done(self.id, record)


def _logged(problem: Exception) -> UpcallError:
    log.error("a composition could not begin", exc_info=problem)
    return Internal()
