"""Which container an activation gets (spec: container.md §6), told by the containers themselves.

Checks that fill the pool use actions of a quarter of its memory, so that what other checks have left in it goes first.
"""

from collections.abc import Callable
from typing import Any

from upcall.testing.conformance.activation import Activation, annotations
from upcall.testing.conformance.check import NotInReach, check, equal, true
from upcall.testing.conformance.code import MARKED, SHARED
from upcall.testing.conformance.http import starts
from upcall.testing.conformance.world import Action, World


def me(world: World, action: Action, content: Any = None, **members: Any) -> str:
    """Which container an activation of `MARKED` or `SHARED` ran in."""
    found: str = world.result(action, content or {}, **members)["me"]
    return found


def part(world: World, parts: int) -> int:
    """That part of the pool's memory, in MB. Raises NotInReach where no action may have it."""
    memory = world.memory // parts
    if not 128 <= memory <= world.target.memory_max:
        raise NotInReach(f"no action may have a 1/{parts} of its pool, {memory} MB, or more than one fits beside")
    if world.target.stem:
        raise NotInReach("its stem cells take a part of the pool")
    return memory


def quarters(world: World, count: int) -> list[Action]:
    memory = part(world, 4)
    return [world.action(MARKED, limits={"memory": memory}) for _ in range(count)]


def warm(world: World, action: Action, **members: Any) -> bool:
    return "initTime" not in annotations(world.run(action, {}, **members))


def container(activation: Activation) -> str:
    found: str = activation.told()["response"]["result"]["me"]
    return found


@check("pool.reuse", "container.md §6.2", "a warm container of this action and namespace is used again")
def reuse(world: World) -> None:
    action = world.action(MARKED)
    first = me(world, action)
    equal("container", me(world, action), first)
    true("the second was no warm start", warm(world, action))


@check("pool.reuse-revision", "container.md §6.2", "a revision that changes nothing else keeps the container")
def reuse_revision(world: World) -> None:
    action = world.action(MARKED)
    first = me(world, action)
    again = Action(action.document, world.documents.put(action.document, action.revision))
    true("the revision is the same", again.revision != action.revision)
    equal("container", me(world, again), first)


def other_check(name: str, what: str, other: Callable[[World, Action], Action]) -> None:
    @check(f"pool.other-{name}", "container.md §6.2", f"another {what} gets a container of its own")
    def looked(world: World) -> None:
        action = world.action(MARKED)
        first = me(world, action)
        true("the container is the same", me(world, other(world, action)) != first)


def replaced(world: World, action: Action, **changes: Any) -> Action:
    document = {**action.document, **changes}
    return Action(document, world.documents.put(document, action.revision))


other_check("name", "action with the same code", lambda world, action: world.action(MARKED))
other_check("version", "version", lambda world, action: replaced(world, action, version="0.0.2"))
other_check(
    "parameters",
    "set of default parameters",
    lambda world, action: replaced(world, action, parameters=[{"key": "a", "value": 1}]),
)


@check("pool.other-namespace", "container.md §6.2", "another invoking namespace gets a container of its own")
def other_namespace(world: World) -> None:
    action = world.action(MARKED)
    first = me(world, action)
    true("the container is the same", me(world, action, namespace=f"{world.namespace}-2") != first)
    equal("container of the first", me(world, action), first)


@check("pool.parallel", "container.md §6.2", "two at a time, one per container: two containers")
def parallel(world: World) -> None:
    action = world.action(MARKED)
    first, second = (world.begin(action, {"sleep": 1}) for _ in range(2))
    true("they share a container", container(first) != container(second))


@check("pool.shared", "container.md §7.3", "with concurrency 2 two share a container, a third gets another")
def shared(world: World) -> None:
    action = shareable(world)
    me(world, action)
    sent = [world.begin(action, {"sleep": 1000}) for _ in range(3)]
    found = [each.told()["response"]["result"] for each in sent]
    equal("containers", len({each["me"] for each in found}), 2)
    equal("most at a time", max(each["most"] for each in found), 2)


@check("pool.shared-namespace", "container.md §6.2", "namespaces never share a container, whatever the concurrency")
def shared_namespace(world: World) -> None:
    action = shareable(world)
    first = world.begin(action, {"sleep": 500})
    second = world.begin(action, {"sleep": 500}, namespace=f"{world.namespace}-2")
    true("they share a container", container(first) != container(second))


@check(
    "pool.shared-failure", "container.md §7.1", "a failure beside others: those end well, and the container goes then"
)
def shared_failure(world: World) -> None:
    action = shareable(world)
    first = me(world, action)
    other = world.begin(action, {"sleep": 1000})
    failed = world.run(action, {"fail": True})
    equal("status of the failure", failed["response"]["statusCode"], 2)
    equal("container of the other", container(other), first)
    true("the container is used again", me(world, action) != first)


@check("pool.error-keeps", "container.md §3", "an application error keeps the container, a developer error ends it")
def error_keeps(world: World) -> None:
    code = f"{MARKED}\nplain = main\ndef main(args):\n    if 'throw' in args: raise ValueError()\n"
    action = world.action(f"{code}    return {{'error': ME}} if 'error' in args else plain(args)")
    first = me(world, action)
    equal("application error", world.run(action, {"error": 1})["response"]["result"], {"error": first})
    equal("container after it", me(world, action), first)
    equal("status", world.run(action, {"throw": 1})["response"]["statusCode"], 2)
    true("the container after a developer error is the same", me(world, action) != first)


@check("pool.keep", "container.md §6.2", "no container goes while there is space")
def keep(world: World) -> None:
    actions = quarters(world, 4)
    first = [me(world, action) for action in actions]
    equal("containers", [me(world, action) for action in actions], first)


@check(
    "pool.evict", "container.md §6.2", "where space is wanted the container that was idle longest goes, and no other"
)
def evict(world: World) -> None:
    actions = quarters(world, 5)
    first = [me(world, action) for action in actions]
    equal("warm after it", [warm(world, action) for action in (*actions[1:], actions[0])], [True] * 4 + [False])
    true("two containers are one", len(set(first)) == 5)


@check("pool.evict-namespace", "container.md §6.2", "another namespace's idle container goes where space is wanted")
def evict_namespace(world: World) -> None:
    actions = quarters(world, 4)
    for action in actions:
        me(world, action)
    me(world, actions[0], namespace=f"{world.namespace}-2")
    equal("warm", [warm(world, action) for action in (*actions[1:], actions[0])], [True] * 3 + [False])


@check("pool.evict-several", "container.md §6.2", "for a large action as many go as it takes, and no more")
def evict_several(world: World) -> None:
    actions = quarters(world, 4)
    for action in actions:
        me(world, action)
    me(world, world.action(MARKED, limits={"memory": part(world, 2)}))
    equal("warm", [warm(world, action) for action in (*actions[2:], actions[0])], [True, True, False])


@check("pool.bound", "container.md §6.1", "there are never more containers than the memory is for; the rest waits")
def bound(world: World) -> None:
    action = quarters(world, 1)[0]
    sent = [world.begin(action, {"sleep": 0.3}) for _ in range(10)]
    records = [each.told() for each in sent]
    edges = sorted(edge for each in records for edge in ((each["start"], 1), (each["end"], -1)))
    running = [sum(step for _, step in edges[: number + 1]) for number in range(len(edges))]
    true(f"{max(running)} run at a time", max(running) <= 4)
    true("nothing runs beside another", max(running) > 1)
    true("there are more containers than places", len({each["response"]["result"]["me"] for each in records}) <= 4)


@check(
    "pool.queue-order", "container.md §6.2", "what waits runs in the order of its arrival, once its document is there"
)
def queue_order(world: World) -> None:
    memory = part(world, 1)
    *actions, last = [world.action(MARKED, limits={"memory": memory}) for _ in range(5)]
    for action in (*actions, last):  # now their documents are at hand, and none of the four has a container
        me(world, action)
    sent = [world.begin(action, {"sleep": 0.1}) for action in actions]
    starts_at = [each.told()["start"] for each in sent]
    equal("starts", starts_at, sorted(starts_at))


@check("pool.queue-removal", "container.md §6.3", "a container that goes makes place for what waits")
def queue_removal(world: World) -> None:
    memory = part(world, 1)
    dying = world.action(
        "import os, time\ndef main(args):\n    time.sleep(0.5)\n    os._exit(1)", limits={"memory": memory}
    )
    first = world.begin(dying)
    second = world.begin(world.action(MARKED, limits={"memory": memory}), {})
    equal("statuses", [each.told()["response"]["statusCode"] for each in (first, second)], [2, 0])


@check(
    "pool.overtake",
    "container.md §6.2",
    "a warm container's work overtakes what waits for memory; upstream lets it wait",
)
def overtake(world: World) -> None:
    quick, *slow = quarters(world, 4)
    large = world.action(MARKED, limits={"memory": part(world, 2)})
    for action in (*slow, quick):
        me(world, action)
    running = [world.begin(action, {"sleep": 2}) for action in slow]
    waiting = world.begin(large, {})
    true("it was no warm start", warm(world, quick))
    equal("acks of what waits", waiting.shapes, [])
    for each in (*running, waiting):
        each.ended()


@check("pool.labels", "container.md §6.2", "the metric tells how an activation got its container: cold, warmed")
def labels(world: World) -> None:
    action = world.action(MARKED)
    me(world, action)
    found = starts(world, action.document["name"])
    true(f"the first was {found}", len(found) == 1 and next(iter(found)) in ("cold", "recreated", "prewarmed"))
    me(world, action)
    equal("the second", starts(world, action.document["name"]).get("warmed"), 1)


@check("pool.stem", "container.md §6.4", "a stem cell of this kind and memory is taken, and replaced")
def stem(world: World) -> None:
    memory = stem_memory(world)

    def taken() -> bool:
        world.sleep(0.5)  # each try takes a place of the pool
        action = world.action(MARKED, limits={"memory": memory})
        me(world, action)
        return starts(world, action.document["name"]) == {"prewarmed": 1}

    world.wait("a new action in a stem cell", taken)
    world.wait("another one in the cell that replaces it", taken)


@check("pool.stem-memory", "container.md §6.2", "a stem cell of another memory is left alone")
def stem_memory_other(world: World) -> None:
    action = world.action(MARKED, limits={"memory": stem_memory(world) + 16})
    me(world, action)
    made(world, action)


@check("pool.stem-kind", "container.md §6.2", "a stem cell of another kind is left alone")
def stem_kind(world: World) -> None:
    action = world.node(SHARED, limits={"memory": stem_memory(world)})
    me(world, action)
    made(world, action)


def made(world: World, action: Action) -> None:
    """Its one container is a new one, for which another may have gone."""
    found = starts(world, action.document["name"])
    true(f"the start was {found}", found in ({"cold": 1}, {"recreated": 1}))


def stem_memory(world: World) -> int:
    if not world.target.stem:
        raise NotInReach("it keeps no stem cell: --stem MB")
    return int(world.target.stem)


def shareable(world: World) -> Action:
    if world.target.concurrency < 2:
        raise NotInReach("its concurrency limit is 1: --concurrency N")
    return world.node(SHARED, limits={"concurrency": 2})
