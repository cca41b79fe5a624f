"""The invoke route without its HTTP: who, what, may they, with which arguments; then the answer (spec: rest-api.md §4,
§6.5).

The order of checks is upstream's: credentials, names, throttles (before rights, and for actions that do not exist too),
rights, query, body, size, and the action itself at last. All of it is plain calls where identity and action are cached.
"""

import logging
import time
from collections.abc import Callable, Collection
from time import monotonic

import msgspec
from msgspec import UNSET, Raw

from upcall.controller.admission import Admission
from upcall.controller.auth import Authenticator
from upcall.controller.cache import Lease
from upcall.controller.figures import Figures
from upcall.controller.invoke import Invocations
from upcall.controller.plan import Plan
from upcall.controller.resolve import Resolver
from upcall.controller.target import Target
from upcall.controller.views import activation_bytes
from upcall.core.limits import payload_limit
from upcall.core.params import check_object, merge
from upcall.core.throttle import Held
from upcall.errors import BadRequest, Internal, Malformed, TooLarge, Unauthorized, UpcallError
from upcall.http.envelope import COMPLETED, Headers, failure
from upcall.http.media import check_json
from upcall.model import texts
from upcall.model.activation import DEVELOPER_ERROR, SUCCESS, Activation
from upcall.model.entities import Identity, UserLimits
from upcall.model.sizes import SystemLimits

log = logging.getLogger(__name__)

JSON = b"application/json"


class Way(msgspec.Struct, frozen=True, eq=False):
    """What was found for a head: who asks, having the right to, and how to run the action. It is good until one of them
    changes, and saves all that follows from them alone."""

    identity: Identity
    changes: int
    """Of subjects and limits, when it was found."""
    until: float
    payload: int
    """Bytes of a body that may be."""
    wait: float | None
    """Seconds for the result."""
    lease: Lease


class Head(msgspec.Struct, eq=False):
    """What the head of a request says that has to do with an invoke."""

    target: Target
    authorization: bytes | None = None
    content_type: bytes = b""
    tid: bytes | None = None
    extra_logging: bool = False
    expects: bool = False
    """The client waits for leave to send the body."""
    length: int = 0
    """Bytes of the body that it announces."""
    raw: bytes = b""
    """As it came, where it is kept."""
    way: "Way | None" = None
    """Where it led the last time."""


class Request(msgspec.Struct, eq=False):
    """One POST of an action, until it is answered. Whoever makes it says how (`respond`)."""

    head: Head
    route: "InvokeRoute"
    body: bytes
    """May be left out where `size` is above the payload limit."""
    size: int
    tid: str
    began: float
    """When it had arrived, on the monotonic clock."""

    def respond(
        self, status: int, headers: Headers, body: bytes | Raw, activation: str = "", seconds: float | None = None
    ) -> None:
        """Give the answer, once, with the activation's id where there is one; its header, and those of the
        transaction's id and the length, are added. `seconds` is how long it took, where that is known."""
        raise NotImplementedError

    def done(self, id: str, activation: Activation | None) -> None:
        if activation is None:
            self.respond(202, COMPLETED, b'{"activationId":"%b"}' % id.encode(), id)
            return
        seconds = monotonic() - self.began
        self.route.waits.observe(seconds)
        response = activation.response
        status = response.status_code
        body: bytes | Raw = b"{}" if response.result is UNSET else response.result
        if not self.head.target.result and not bytes(body).lstrip().startswith(b"["):
            body = activation_bytes(activation, logs=False)
        code = 200 if status == SUCCESS else 502 if status <= DEVELOPER_ERROR else 500
        self.respond(code, COMPLETED, body, id, seconds)

    def failed(self, id: str, error: UpcallError) -> None:
        """Without the id: who is told one may ask for its record (docs/DESIGN.md D7), and there will be none."""
        self.respond(*failure(error, self.tid))


class InvokeRoute:
    """Answers requests, each exactly once."""

    def __init__(
        self,
        invocations: Invocations,
        resolver: Resolver,
        auth: Authenticator,
        limits: SystemLimits,
        *,
        admission: Admission,
        deprecated: Collection[str] = (),
        figures: Figures | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._invocations = invocations
        self._resolver = resolver
        self._auth = auth
        self._changes = auth.changes
        self._limits = limits
        self._payload = payload_limit(limits, UserLimits())
        self.payload_limit = limits.payload
        """Bytes of a body that is worth keeping."""
        self._deprecated = frozenset(deprecated)
        self.clock = clock
        self.figures = figures or Figures()
        self.waits = self.figures.waits
        self._admission = admission

    def handle(self, request: Request) -> None:
        """Answer now, or later where something has to be awaited."""
        try:
            way = request.head.way
            if way is None:
                self._search(request)
                return
            lease, began = way.lease, request.began
            plan = lease.plan
            if plan is None or began > lease.until or began > way.until or self._changes() != way.changes:
                self._search(request)
                return
            now, identity = self.clock(), way.identity
            if self._admit(request, identity, now):
                size = request.size
                if size > way.payload or (size and request.head.content_type != JSON):
                    self._check_body(request, way.payload)
                self._publish(request, identity, plan, way.wait, now)
        except Exception as error:  # noqa: BLE001 - the boundary of one request
            _refuse(request, error)

    def _search(self, request: Request) -> None:
        header = request.head.authorization
        if header is None:
            raise Unauthorized(texts.NO_CREDENTIALS)
        identity = self._auth.cached(header)
        if identity is None:
            self._invocations.spawn(self._authenticate(request, header))
        else:
            self._enter(request, identity)

    async def _authenticate(self, request: Request, header: bytes) -> None:
        try:
            self._enter(request, await self._auth.authenticate(header))
        except Exception as error:  # noqa: BLE001 - the boundary of one request
            _refuse(request, error)

    def _enter(self, request: Request, identity: Identity) -> None:
        problem = request.head.target.name_problem
        if problem:
            raise Malformed(problem)
        now = self.clock()
        if self._admit(request, identity, now):
            self._pass(request, identity, now)

    def _admit(self, request: Request, identity: Identity, now: float) -> bool:
        """Whether the throttles let it pass; where others have to be asked it goes on later. Raises Throttled."""
        held = self._admission.admit(identity, now)
        if held is None:
            return True
        self._invocations.spawn(self._hold(request, identity, held, now))
        return False

    async def _hold(self, request: Request, identity: Identity, held: Held, now: float) -> None:
        try:
            await self._admission.settle(identity, held)
            self._pass(request, identity, now)
        except Exception as error:  # noqa: BLE001 - the boundary of one request
            _refuse(request, error)

    def _pass(self, request: Request, identity: Identity, now: float) -> None:
        """The throttles have nothing against it."""
        target = request.head.target
        owner = identity.namespace.name if target.namespace == "_" else target.namespace
        path = f"{owner}/{target.package}" if target.package else owner
        lease = self._resolver.lease(identity, path, target.name)
        if lease is None or lease.plan is None:
            self._invocations.spawn(self._fetch(request, identity, path, now))
            return
        payload, wait, plan = self._check(request, identity), self._wait(target), lease.plan
        self._remember(request.head, identity, lease, payload, wait)
        self._publish(request, identity, plan, wait, now)

    def _check(self, request: Request, identity: Identity) -> int:
        """Query and body; gives how large a body may be."""
        if request.head.target.query_problem:
            raise Malformed(request.head.target.query_problem)
        own = identity.limits.max_payload_size
        payload = payload_limit(self._limits, identity.limits) if isinstance(own, str) else self._payload
        self._check_body(request, payload)
        return payload

    def _wait(self, target: Target) -> float | None:
        return min(target.timeout / 1000, self._limits.blocking_wait) if target.blocking else None

    def _remember(self, head: Head, identity: Identity, lease: Lease, payload: int, wait: float | None) -> None:
        known = self._auth.known(head.authorization or b"")
        if known is not None and known.identity is identity:
            head.way = Way(identity, known.changes, known.until, payload, wait, lease)

    def _check_body(self, request: Request, payload: int) -> None:
        size, content_type = request.size, request.head.content_type
        if size and content_type != JSON:
            check_json(content_type.decode("latin-1"))
        if size > payload:
            raise TooLarge(texts.request_too_large(size, payload))

    async def _fetch(self, request: Request, identity: Identity, path: str, now: float) -> None:
        """Rights, then what is wrong with the request, and only then whether there is such an action."""
        target = request.head.target
        try:
            if target.package:
                await self._resolver.chain(identity, path)
            self._check(request, identity)
            check_object(request.body)
            plan = await self._resolver.plan(identity, path, target.name)
            self._publish(request, identity, plan, self._wait(target), now)
        except Exception as error:  # noqa: BLE001 - the boundary of one request
            _refuse(request, error)

    def _publish(self, request: Request, identity: Identity, plan: Plan, wait: float | None, now: float) -> None:
        if plan.kind in self._deprecated:
            raise BadRequest(texts.runtime_deprecated(plan.kind))
        start = int(now * 1000)
        transid = [request.tid, start, True] if request.head.extra_logging else [request.tid, start]
        arguments = merge(plan.defaults, request.body)
        self._invocations.publish(request, plan, identity, arguments, transid, start, wait)


def _refuse(request: Request, error: Exception) -> None:
    if not isinstance(error, UpcallError):
        log.error("an invoke failed", exc_info=error, extra={"tid": request.tid})
        error = Internal()
    request.respond(*failure(error, request.tid))
