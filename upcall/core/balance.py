"""Which Invoker gets a job: OpenWhisk's sharding balancer (spec: load-balancer.md §2).

A job of a namespace's action has a home among the Invokers, found by a hash, and steps on from there while it meets
Invokers that are not healthy or have no memory left: so an action finds its warm containers again, and two that share
a home mostly part at the next step. The step is prime to the number of Invokers, so that all are met. (OpenWhisk asks
the first two once more in the end; here nothing can have changed meanwhile.)

Memory of an Invoker is divided among the controllers: each books on its own. What is in flight stays booked when that
share changes, unlike in OpenWhisk, so permits may go below zero; they also do where a job is *forced* on an Invoker,
because all are full. Jobs with a concurrency of c share: one booking of the memory opens c places.

The first Invokers are for managed runtimes, the last for actions whose image has to be pulled; they may overlap. The
list is in the order of ids and never shrinks: who has gone stays in it and is not healthy. Ids that were skipped are in
it too, and count for the hash; a list with many such is not walked, but those that are healthy are taken in the order
in which the walk would have met them.

An action that is larger than all the memory of an Invoker never goes there, unlike in OpenWhisk: it would end as an
error of the system, and whoever makes such an action could take Invokers away from everybody.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

import msgspec

from upcall.errors import Unavailable
from upcall.model import texts

SPARSE = 8
"""A list that is so many times as long as its healthy Invokers are many is not walked."""

Pick = Callable[[int], int]
"""A die: a number from 0 to below its argument."""


class Job(msgspec.Struct, frozen=True):
    """What placement looks at; made once for an action, as its hash takes some microseconds. `namespace` is the
    invoking one, `action` the id without version."""

    namespace: str
    action: str
    memory: int
    """MB"""
    concurrency: int = 1
    blackbox: bool = False
    """Its image has to be pulled."""
    version: str = ""
    hash: int = -1
    """Made by the others; not to be given."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "hash", placement_hash(self.namespace, self.action))


class Share(msgspec.Struct, eq=False):
    """Places for jobs that share their memory, on one Invoker. Those that are free and those in use together are as
    many as the memory's bookings have opened."""

    free: int = 0
    used: int = 0


class Place(msgspec.Struct, eq=False):
    """One Invoker; one that was never heard of has no memory and is not healthy."""

    id: int
    memory: int = 0
    """MB that it has for all controllers."""
    permits: int = 0
    """MB that this controller may still book; below zero where it has booked too much."""
    share: int = 0
    """MB that this controller may book in all."""
    healthy: bool = False
    shared: dict[Job, Share] = {}


class Part(msgspec.Struct, eq=False):
    """The Invokers for one sort of actions."""

    places: list[Place] = []
    steps: Sequence[int] = ()
    healthy: list[Place] = []


class Balancer(msgspec.Struct, eq=False):
    """The state. `managed` and `blackbox` are fractions of the Invokers, `least` is what a controller may book of each
    at least, in MB: the smallest action must find room."""

    managed: float = 0.9
    blackbox: float = 0.1
    least: int = 128
    cluster: int = 1
    places: list[Place] = []
    for_managed: Part = msgspec.field(default_factory=Part)
    for_blackbox: Part = msgspec.field(default_factory=Part)


def publish(state: Balancer, job: Job) -> Place | None:
    """Book the job on the first Invoker on its way that takes it; None where none does: then `force`."""
    part = state.for_blackbox if job.blackbox else state.for_managed
    places = part.places
    size = len(places)
    if not size:
        return None
    hash_, steps = job.hash, part.steps
    index, step = hash_ % size, steps[hash_ % len(steps)]
    if len(part.healthy) * SPARSE < size:
        return _take_met(part, job, index, step)
    memory, alone = job.memory, job.concurrency == 1
    for _ in range(size):
        place = places[index]
        if place.healthy and place.memory >= memory:
            if alone:
                if place.permits >= memory:
                    place.permits -= memory
                    return place
            elif _join(place, job, forced=False):
                return place
        index = (index + step) % size
    return None


def _take_met(part: Part, job: Job, home: int, step: int) -> Place | None:
    """The same, without the walk: it meets a place after as many steps as the step's inverse says."""
    size, first = len(part.places), part.places[0].id
    inverse = pow(step, -1, size)
    for place in sorted(part.healthy, key=lambda place: (place.id - first - home) * inverse % size):
        if place.memory < job.memory:
            continue
        if job.concurrency == 1 and place.permits >= job.memory:
            place.permits -= job.memory
            return place
        if job.concurrency > 1 and _join(place, job, forced=False):
            return place
    return None


def force(state: Balancer, job: Job, pick: Pick) -> Place:
    """Book the job on any healthy Invoker that is large enough, full as it is. Raises Unavailable where there is none,
    with a text where one is healthy."""
    healthy = (state.for_blackbox if job.blackbox else state.for_managed).healthy
    able = [place for place in healthy if place.memory >= job.memory]
    if not able:
        raise Unavailable(texts.no_invoker_holds(job.memory, max(each.memory for each in healthy)) if healthy else "")
    place = able[pick(len(able))]
    if job.concurrency == 1:
        place.permits -= job.memory
    else:
        _join(place, job, forced=True)
    return place


def release(state: Balancer, job: Job, invoker: int) -> None:
    """Give back what the job was booked on."""
    place = state.places[invoker]
    if job.concurrency == 1:
        place.permits += job.memory
        return
    share = place.shared[job]
    share.used -= 1
    share.free += 1
    if share.free == job.concurrency:
        share.free = 0
        place.permits += job.memory
    if not share.used:
        del place.shared[job]


def _join(place: Place, job: Job, forced: bool) -> bool:
    share = place.shared.get(job)
    if share is None or not share.free:
        if place.permits < job.memory and not forced:
            return False
        if share is None:
            share = place.shared[job] = Share()
        place.permits -= job.memory
        share.free = job.concurrency
    share.free -= 1
    share.used += 1
    return True


def set_memory(state: Balancer, invoker: int, memory: int) -> bool:
    """The Invoker has said how many MB it has. False where our share of it is below the least and had to be raised:
    it will get more than it can hold."""
    while len(state.places) <= invoker:
        state.places.append(Place(len(state.places)))
    place = state.places[invoker]
    place.memory = memory
    fits = _divide(state, place)
    _part(state)
    return fits


def set_healthy(state: Balancer, invoker: int, healthy: bool) -> None:
    """Whether the Invoker, whose memory is known, gets work from now on."""
    state.places[invoker].healthy = healthy
    _part(state)


def resize(state: Balancer, cluster: int) -> list[int]:
    """So many controllers share the Invokers from now on; fewer than one count as one. Gives the Invokers of whose
    memory our share had to be raised to the least."""
    state.cluster = max(1, cluster)
    return [place.id for place in state.places if place.memory and not _divide(state, place)]


def _divide(state: Balancer, place: Place) -> bool:
    share = place.memory // state.cluster
    place.permits += max(share, state.least) - place.share
    place.share = max(share, state.least)
    return share >= state.least


def _part(state: Balancer) -> None:
    places, size = state.places, len(state.places)
    managed, blackbox = part_sizes(size, state.managed, state.blackbox)
    for part, own in ((state.for_managed, places[:managed]), (state.for_blackbox, places[size - blackbox :])):
        if len(part.places) != len(own):
            part.steps = step_sizes(len(own))
        part.places = own
        part.healthy = [place for place in own if place.healthy]


def part_sizes(size: int, managed: float, blackbox: float) -> tuple[int, int]:
    """How many of the first Invokers are for managed runtimes and how many of the last for images. A billionth either
    way is the machine's arithmetic (10 * (1 - 0.8) < 2), which must leave no Invoker out."""
    if not size:
        return 0, 0
    managed = max(0.0, min(1.0, managed))
    blackbox = max(1 - managed, min(1.0, blackbox))
    return max(1, math.ceil(size * managed - 1e-9)), max(1, math.floor(size * blackbox + 1e-9))


def step_sizes(size: int) -> list[int]:
    """The numbers up to `size` that are prime to it and to each other, as they come: 1, and primes. A number that is
    not prime has a factor below its root, which was found before."""
    found: list[int] = []
    for number in range(1, size + 1):
        low = found[: bisect_right(found, math.isqrt(number))]
        if math.gcd(number, size) == 1 and all(math.gcd(number, other) == 1 for other in low):
            found.append(number)
    return found


def placement_hash(namespace: str, action: str) -> int:
    """Not negative; both sides of OpenWhisk's put an action in the same place."""
    number = _signed(java_hash(namespace) ^ java_hash(action))
    return 0 if number == -(2**31) else abs(number)


def java_hash(text: str) -> int:
    """`String.hashCode` of Java, over UTF-16 units; 32 bits with a sign."""
    data = text.encode("utf-16-le", "surrogatepass")
    number = 0
    for low, high in zip(data[::2], data[1::2], strict=True):
        number = (31 * number + low + (high << 8)) & 0xFFFFFFFF
    return _signed(number)


def _signed(number: int) -> int:
    number &= 0xFFFFFFFF
    return number - 2**32 if number >= 2**31 else number


def check(state: Balancer) -> None:
    """What is true between any two calls; for tests. Raises AssertionError."""
    for number, place in enumerate(state.places):
        assert place.id == number
        for job, share in place.shared.items():
            assert share.used > 0, f"{place} keeps a share that nobody uses"
            assert 0 <= share.free < job.concurrency, f"{place} books more memory than its jobs need"
        assert place.permits <= place.share, f"{place} has more permits than its share"
    assert len(state.for_managed.places) + len(state.for_blackbox.places) >= len(state.places)
