"""What becomes of accepted activations when the Invoker stops or dies: one outcome and one record each. Upstream loses
them (spec: invoker.md §9, §12); these are checks of what ours does instead (docs/adr/0003-delivery.md)."""

from upcall.testing.conformance.check import check, equal, true
from upcall.testing.conformance.code import MARKED
from upcall.testing.conformance.target import killed, stopped
from upcall.testing.conformance.world import Action, World

WHOLE = "import time\ndef main(args):\n    print('ran')\n    time.sleep(args['sleep'])\n    return {'slept': True}"


def alone(world: World) -> Action:
    """An action beside which no other of its kind fits."""
    return world.action(WHOLE, limits={"memory": min(world.memory, world.target.memory_max)})


def slots(world: World) -> int:
    return world.memory // min(world.memory, world.target.memory_max)


@check("delivery.killed", "invoker.md §12", "killed: what ran ends with status 3, what waited runs in the next life")
def dies(world: World) -> None:
    world.up()
    action = alone(world)
    running = [world.begin(action, {"sleep": 6}, blocking=False) for _ in range(slots(world))]
    waiting = [world.begin(action, {"sleep": 0}, blocking=False) for _ in range(3)]
    world.sleep(1.5)
    with killed(world.target):
        pass
    equal("status of what ran", [each.kept()["response"]["statusCode"] for each in running], [3] * len(running))
    equal("status of what waited", [each.kept()["response"]["statusCode"] for each in waiting], [0] * 3)
    for each in (*running, *waiting):
        each.ended()


@check("delivery.killed-ended", "invoker.md §12", "killed: what had ended is neither run nor recorded a second time")
def ended(world: World) -> None:
    action = world.action(MARKED)
    before = [world.begin(action, {}) for _ in range(5)]
    records = [each.ended().kept() for each in before]
    with killed(world.target):
        pass
    world.result(action)
    equal("records", [each.kept() for each in before], records)
    true(
        "one was acknowledged as a failure",
        all(ack.body.get("isSystemError") is not True for each in before for ack in each.acks),
    )


@check(
    "delivery.stopped",
    "invoker.md §9",
    "stopped in order: what runs ends well and is told, what waits runs in the next life",
)
def stops(world: World) -> None:
    world.up()
    action = alone(world)
    running = [world.begin(action, {"sleep": 2}) for _ in range(slots(world))]
    waiting = world.begin(action, {"sleep": 0}, blocking=False)
    world.sleep(1)
    with stopped(world.target):
        equal("status of what ran", [each.told()["response"]["statusCode"] for each in running], [0] * len(running))
        equal("acks of what waits", waiting.shapes, [])
    equal("status of what waited", waiting.kept()["response"]["statusCode"], 0)
    waiting.ended()
