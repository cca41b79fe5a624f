"""How the Invoker looks to a controller's supervision (spec: bus.md §8, load-balancer.md §4)."""

import contextlib
from collections.abc import Iterator

from upcall.testing.conformance import shapes
from upcall.testing.conformance.check import check, equal, faultless, true
from upcall.testing.conformance.code import MARKED
from upcall.testing.conformance.health import SILENCE
from upcall.testing.conformance.http import operate
from upcall.testing.conformance.target import killed, stopped
from upcall.testing.conformance.world import World


@contextlib.contextmanager
def disabled(world: World) -> Iterator[None]:
    operate(world, "POST", "/disable")
    try:
        yield
    finally:
        operate(world, "POST", "/enable")


@check("supervision.healthy", "load-balancer.md §4", "unhealthy with its first ping, up when a probe has come back")
def healthy(world: World) -> None:
    world.up()
    equal("states", world.health.history[:2], ["unhealthy", "up"])


@check("supervision.probe", "bus.md §8.1", "a probe is answered by one completion with the array that it had")
def probe(world: World) -> None:
    world.up()
    begun = len(world.probe_acks)
    world.probe()
    id = world.probes[-1]
    world.wait("the probe's ack", lambda: any(ack.id == id for ack in world.probe_acks[begun:]))
    ack = next(ack for ack in world.probe_acks[begun:] if ack.id == id)
    equal("shape", ack.shape, "completion")
    equal("transid", ack.body["transid"][0], "sid_invokerHealth")
    equal("isSystemError", ack.body["isSystemError"], False)
    world.sleep(0.2)
    equal("acks of it", sum(each.id == id for each in world.probe_acks), 1)


@check("supervision.probe-record", "bus.md §8.1", "a probe's record is stored under whisk.system, as any other")
def probe_record(world: World) -> None:
    world.probe()
    id = world.probes[-1]
    world.wait("its record", lambda: world.documents.record("whisk.system", id) is not None)
    record = world.documents.record("whisk.system", id)
    faultless("record", shapes.record_faults(record))


@check(
    "supervision.probe-first",
    "invoker.md §12",
    "a probe does not wait behind a full pool and a backlog; upstream's does",
)
def probe_first(world: World) -> None:
    world.up()
    memory = min(world.memory, world.target.memory_max)
    count = 2 * (world.memory // memory) + 3
    action = world.action(MARKED, limits={"memory": memory})
    sent = [world.begin(action, {"sleep": 1}, blocking=False) for _ in range(count)]
    world.sleep(0.3)
    world.probe()
    id = world.probes[-1]
    world.wait("the probe's ack", lambda: any(ack.id == id for ack in world.probe_acks))
    over = sum(each.over for each in sent)
    true(f"{over} of the {count} before it had to end", over < count - 1)
    for each in sent:
        each.ended()


@check(
    "supervision.disabled",
    "bus.md §8",
    "disabled: one ping says so at once, then there are none; the controller has it down",
)
def goes_down(world: World) -> None:
    world.up()
    begun = len(world.pings)
    with disabled(world):
        world.wait("the ping that says so", lambda: world.health.state == "down")
        world.sleep(2.5)
        told = [ping.get("isEnabled", True) for _, ping in world.pings[begun:]]
        equal("pings", told[-1:] + told[:-1].count(False) * [False], [False])
        equal("state", world.health.state, "down")
    world.up()
    equal("states since", world.health.history[-3:], ["down", "unhealthy", "up"])


@check(
    "supervision.silence", "load-balancer.md §4", "killed: down after 10 s without pings; back: unhealthy, probe, up"
)
def silence(world: World) -> None:
    world.up()
    with killed(world.target):
        world.wait("the state down", lambda: world.health.state == "down", SILENCE + 5)
    world.up()
    equal("states", world.health.history[-3:], ["down", "unhealthy", "up"])


@check("supervision.restart", "bus.md §8", "killed and started within 10 s: nobody notices, and work goes on")
def restart(world: World) -> None:
    world.up()
    begun = len(world.health.history)
    with killed(world.target):
        pass
    equal("result", world.result(world.action(), {"a": 1}), {"a": 1})
    equal("states since", world.health.history[begun:], [])


@check("supervision.stop", "invoker.md §9", "stopped in order, it says so: down at once, not after 10 s")
def stop(world: World) -> None:
    world.up()
    with stopped(world.target):
        world.wait("the ping that says so", lambda: world.health.state == "down", 2)
    world.up()


@check("supervision.outcomes", "load-balancer.md §4", "failures that are the user's leave it healthy")
def outcomes(world: World) -> None:
    world.up()
    begun = len(world.health.history)
    failing = world.action("def main(args):\n    raise ValueError()")
    for _ in range(6):
        world.begin(failing, blocking=False).ended()
    equal("states since", world.health.history[begun:], [])
