"""How often and how much at once a namespace may invoke (spec: load-balancer.md §7, rest-api.md §13).

The rate counts every attempt in the current minute of the calendar, refused ones included; the minute is fixed, so a
namespace may use up two minutes' worth around its turn. The number in flight is only read here: it belongs to whoever
waits for the acknowledgements. The rate is looked at first. A limit of 0 blocks; limits belong to the namespace's
document, else to the system.
"""

from upcall.errors import Throttled
from upcall.model import texts
from upcall.model.entities import Identity
from upcall.model.sizes import SystemLimits

MINUTE = 60


class Rate:
    """Attempts by namespace uuid in one minute. A new minute starts empty, which bounds it."""

    __slots__ = ("counts", "minute")

    def __init__(self) -> None:
        self.minute = 0
        self.counts: dict[str, int] = {}

    def charge(self, uuid: str, limit: int, now: float) -> None:
        """Count one attempt at `now` (epoch seconds). Raises Throttled from the first one above `limit` on."""
        minute = int(now) // MINUTE
        counts = self.counts
        if minute != self.minute:
            self.minute = minute
            counts.clear()
        count = counts[uuid] = counts.get(uuid, 0) + 1
        if count > limit:
            raise Throttled(texts.too_many_requests(count, limit), MINUTE - int(now) % MINUTE)


def check_concurrent(in_flight: int, limit: int) -> None:
    """Raises Throttled unless there is room for one more."""
    if in_flight >= limit:
        raise Throttled(texts.too_many_concurrent(in_flight, limit))


def admit(rate: Rate, identity: Identity, in_flight: int, system: SystemLimits, now: float) -> None:
    """May this caller invoke now? Charges the rate. Raises Throttled."""
    limits = identity.limits
    own = limits.invocations_per_minute
    rate.charge(identity.namespace.uuid, own if isinstance(own, int) else system.invocations_per_minute, now)
    own = limits.concurrent_invocations
    check_concurrent(in_flight, own if isinstance(own, int) else system.concurrent_invocations)
