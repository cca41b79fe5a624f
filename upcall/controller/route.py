"""The invoke route without its HTTP: who, what, may they, with which arguments; then the answer (spec: rest-api.md §4,
§6.5).

The order of checks is upstream's: credentials, names, throttles (before rights, and for actions that do not exist too),
rights, query, body, size, and the action itself at last. All of it is plain calls where identity and action are cached.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

import msgspec

from upcall.controller.auth import Authenticator
from upcall.controller.events import Events
from upcall.controller.figures import Figures
from upcall.controller.invoke import Invocation, Invocations, Plan
from upcall.controller.target import Target
from upcall.controller.views import activation_bytes, result_bytes
from upcall.core.limits import payload_limit
from upcall.core.params import check_object, merge
from upcall.core.rights import check_right
from upcall.core.throttle import Held, Throttles
from upcall.errors import BadRequest, Internal, Malformed, Throttled, TooLarge, Unauthorized, UpcallError
from upcall.http.envelope import COMPLETED, Headers, failure
from upcall.http.media import check_json
from upcall.model import texts
from upcall.model.activation import DEVELOPER_ERROR, SUCCESS, Activation
from upcall.model.entities import Identity, UserLimits
from upcall.model.sizes import SystemLimits

log = logging.getLogger(__name__)


class Respond(Protocol):
    """Takes the answer, once, with the activation's id where there is one. The caller adds its header, and those of the
    transaction's id and the length."""

    def __call__(self, status: int, headers: Headers, body: bytes, activation: bytes = b"") -> None: ...


class Request(msgspec.Struct):
    """One POST of an action. `body` may be left out where `size` is above the payload limit."""

    target: Target
    authorization: bytes | None
    content_type: bytes
    body: bytes
    size: int
    tid: str
    extra_logging: bool
    respond: Respond


class InvokeRoute:
    """Answers requests, each exactly once. `agree` asks other controllers whether an attempt may pass; `events` are
    told what the throttles do."""

    def __init__(
        self,
        invocations: Invocations,
        auth: Authenticator,
        limits: SystemLimits,
        *,
        throttles: Throttles,
        agree: Callable[[Held], Awaitable[None]] | None = None,
        events: Events | None = None,
        deprecated: Collection[str] = (),
        figures: Figures | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._invocations = invocations
        self._auth = auth
        self._limits = limits
        self._payload = payload_limit(limits, UserLimits())
        self.payload_limit = limits.payload
        """Bytes of a body that is worth keeping."""
        self._deprecated = frozenset(deprecated)
        self.clock = clock
        self.figures = figures or Figures()
        self.waits = self.figures.waits
        self._throttles = throttles
        self._agree = agree
        self._events = events

    def handle(self, request: Request) -> None:
        """Answer now, or later where something has to be awaited."""
        try:
            header = request.authorization
            if header is None:
                raise Unauthorized(texts.NO_CREDENTIALS)
            identity = self._auth.cached(header)
            if identity is None:
                self._invocations.spawn(self._authenticate(request, header))
            else:
                self._enter(request, identity)
        except Exception as error:  # noqa: BLE001 - the boundary of one request
            _refuse(request, error)

    async def _authenticate(self, request: Request, header: bytes) -> None:
        try:
            self._enter(request, await self._auth.authenticate(header))
        except Exception as error:  # noqa: BLE001 - the boundary of one request
            _refuse(request, error)

    def _enter(self, request: Request, identity: Identity) -> None:
        target = request.target
        if target.name_problem:
            raise Malformed(target.name_problem)
        now = self.clock()
        try:
            held = self._throttles.admit(identity, now)
        except Throttled as refusal:
            self._tell(identity, refusal)
            raise
        if held is None:
            self._pass(request, identity, now)
        else:
            self._invocations.spawn(self._hold(request, identity, held, now))

    async def _hold(self, request: Request, identity: Identity, held: Held, now: float) -> None:
        assert self._agree is not None
        try:
            await self._agree(held)
            self._pass(request, identity, now)
        except Exception as error:  # noqa: BLE001 - the boundary of one request
            if isinstance(error, Throttled):
                self._tell(identity, error)
            _refuse(request, error)

    def _tell(self, identity: Identity, refusal: Throttled) -> None:
        if self._events is not None:
            self._events.refused(identity, refusal)

    def _pass(self, request: Request, identity: Identity, now: float) -> None:
        """The throttles have nothing against it."""
        target, space = request.target, identity.namespace
        if self._events is not None:
            self._events.passed(identity, self._throttles.in_flight(space.uuid) + 1)
        owner = space.name if target.namespace == "_" else target.namespace
        check_right(identity, "ACTIVATE", f"{owner}/{target.package}" if target.package else owner, target.name)
        if target.query_problem:
            raise Malformed(target.query_problem)
        self._check_body(request, identity)
        id_ = f"{owner}/{target.resource}"
        plan = self._invocations.plan(id_)
        if plan is None:
            check_object(request.body)  # a bad body is told before a missing action
            self._invocations.spawn(self._fetch(request, identity, id_, now))
        else:
            self._publish(request, identity, plan, now)

    def _check_body(self, request: Request, identity: Identity) -> None:
        if request.size and request.content_type != b"application/json":
            check_json(request.content_type.decode("latin-1"))
        own = identity.limits.max_payload_size
        limit = payload_limit(self._limits, identity.limits) if isinstance(own, str) else self._payload
        if request.size > limit:
            raise TooLarge(texts.request_too_large(request.size, limit))

    async def _fetch(self, request: Request, identity: Identity, id_: str, now: float) -> None:
        try:
            self._publish(request, identity, await self._invocations.fetch_plan(id_), now)
        except Exception as error:  # noqa: BLE001 - the boundary of one request
            _refuse(request, error)

    def _publish(self, request: Request, identity: Identity, plan: Plan, now: float) -> None:
        if plan.kind in self._deprecated:
            raise BadRequest(texts.runtime_deprecated(plan.kind))
        target = request.target
        start = int(now * 1000)
        transid = [request.tid, start, True] if request.extra_logging else [request.tid, start]
        wait = min(target.timeout / 1000, self._limits.blocking_wait) if target.blocking else None
        answer = _Answer(request, self, now)
        call = Invocation(plan, identity, merge(plan.defaults, request.body), transid, wait)
        self._invocations.publish(call, answer.done, answer.failed)


class _Answer:
    """What becomes of an activation that was published."""

    __slots__ = ("began", "request", "route")

    def __init__(self, request: Request, route: InvokeRoute, began: float) -> None:
        self.request = request
        self.route = route
        self.began = began

    def done(self, id_: str, activation: Activation | None) -> None:
        if activation is None:
            id = id_.encode()
            self.request.respond(202, COMPLETED, b'{"activationId":"%b"}' % id, id)
            return
        self.route.waits.observe(self.route.clock() - self.began)
        status = activation.response.status_code
        result = result_bytes(activation.response)
        bare = self.request.target.result or result.lstrip()[:1] == b"["
        body = result if bare else activation_bytes(activation, logs=False)
        code = 200 if status == SUCCESS else 502 if status <= DEVELOPER_ERROR else 500
        self.request.respond(code, COMPLETED, body, id_.encode())

    def failed(self, id_: str, error: UpcallError) -> None:
        """Without the id: who is told one may ask for its record (docs/DESIGN.md D7), and there will be none."""
        self.request.respond(*failure(error, self.request.tid))


def _refuse(request: Request, error: Exception) -> None:
    if not isinstance(error, UpcallError):
        log.error("an invoke failed", exc_info=error, extra={"tid": request.tid})
        error = Internal()
    request.respond(*failure(error, request.tid))
