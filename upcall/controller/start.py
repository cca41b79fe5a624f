"""Activations that the platform starts itself for somebody: what rules call when a trigger fires. No HTTP is involved,
and all that holds for a caller's own request holds: throttles, rights, sizes (spec: triggers-rules.md §3)."""

import logging
import time
from collections.abc import Callable, Collection, Coroutine

from msgspec import Raw

from upcall.controller.admission import Admission
from upcall.controller.invoke import FULL_RETRY, Invocations
from upcall.controller.plan import Plan
from upcall.controller.records import Ended, Sent, keep
from upcall.controller.resolve import Resolver
from upcall.core.limits import payload_limit
from upcall.core.params import merge
from upcall.errors import BadRequest, TooLarge, Unavailable
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.entities import Identity
from upcall.model.sizes import SystemLimits
from upcall.ports import Store

log = logging.getLogger(__name__)

Arguments = tuple[Raw, dict[str, str]]


class Starter:
    """Of one controller. `clock` is in epoch seconds."""

    def __init__(
        self,
        invocations: Invocations,
        resolver: Resolver,
        admission: Admission,
        store: Store,
        limits: SystemLimits,
        *,
        deprecated: Collection[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._invocations = invocations
        self._resolver = resolver
        self._admission = admission
        self._store = store
        self._limits = limits
        self._deprecated = frozenset(deprecated)
        self._clock = clock

    def admit_fire(self, identity: Identity) -> None:
        """Raises Throttled; Unavailable where records cannot be kept."""
        self._admission.fire(identity, self._clock())
        refusal = self._store.refusal()
        if refusal is not None:
            raise Unavailable(texts.store_refuses(refusal), FULL_RETRY)

    async def admit(self, identity: Identity) -> None:
        """May somebody invoke now? Raises Throttled."""
        await self._admission.enter(identity, self._clock())

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run what answers for its own errors, as long as the controller runs."""
        self._invocations.spawn(work)

    async def start(self, identity: Identity, path: str, name: str, payload: bytes, tid: str) -> str:
        """Have an action run, and wait for nothing but that the bus has it; the activation's id. Raises what a call of
        it would be answered with."""
        await self.admit(identity)
        plan = await self._resolver.plan(identity, path, name)
        limit = payload_limit(self._limits, identity.limits)
        if len(payload) > limit:
            raise TooLarge(texts.request_too_large(len(payload), limit))
        self._check_kind(plan)
        start, sent = int(self._clock() * 1000), Sent()
        self._invocations.publish(sent, plan, identity, merge(plan.defaults, payload), [tid, start], start, None)
        return await sent.id

    async def call(  # noqa: PLR0917 - what an activation is made of
        self, identity: Identity, plan: Plan, arguments: Arguments, tid: str, wait: float, extra: bool = False
    ) -> tuple[str, Activation | None]:
        """Have an action run and wait up to `wait` seconds for its record; its id, and None where the wait is over.
        `arguments` are what `core.params.merge` gives. The throttles are the caller's business. Raises Unavailable,
        BadRequest for a deprecated kind."""
        self._check_kind(plan)
        start, ended = int(self._clock() * 1000), Ended()
        transid = [tid, start, True] if extra else [tid, start]
        self._invocations.publish(ended, plan, identity, arguments, transid, start, wait)
        return await ended.outcome

    async def keep(self, identity: Identity, activation: Activation) -> None:
        """Store a record that the controller made."""
        await keep(self._store, identity, activation)

    def _check_kind(self, plan: Plan) -> None:
        if plan.kind in self._deprecated:
            raise BadRequest(texts.runtime_deprecated(plan.kind))
