"""A container's life between two activations: pause, removal, death (spec: container.md §7)."""

from typing import Any

from upcall.testing.conformance.activation import annotations
from upcall.testing.conformance.check import check, equal, true
from upcall.testing.conformance.code import BEATING, MARKED
from upcall.testing.conformance.world import Action, World

MARGIN = 0.7
"""Seconds beside a grace."""
TRIES = 3
"""A loaded machine may take longer than a grace between two activations."""

LEAVING = """
const me = require('crypto').randomBytes(8).toString('hex');
function main(args) {
  setTimeout(() => { %s }, 100);
  return { me };
}
"""
DEAF = "for (const handle of process._getActiveHandles()) { if (handle.close) handle.close(); if (handle.destroy) handle.destroy(); } setInterval(() => {}, 1000);"  # noqa: E501

BUSY = """
const me = require('crypto').randomBytes(8).toString('hex');
const write = require('net').Socket.prototype.write;
let runs = 0;
require('net').Socket.prototype.write = function (data, ...rest) {
  const text = typeof data === 'string' ? data : Buffer.from(data).toString('latin1');
  if (runs <= %d || !text.startsWith('HTTP/1.')) return write.call(this, data, ...rest);
  return write.call(this, 'HTTP/1.1 503 Busy\\r\\nContent-Length: 2\\r\\n\\r\\n{}', ...rest);
};
function main() {
  runs += 1;
  return { me };
}
"""
"""Answers 503 after that many runs. Node.js."""


def beaten(world: World, action: Action) -> tuple[str, float]:
    """The container, and the longest gap since its last run."""
    found: dict[str, Any] = world.result(action)
    return found["me"], found["gap"]


@check(
    "life.pause",
    "container.md §7.1",
    "a container that was idle for the grace stands still, and goes on when it is wanted",
)
def pause(world: World) -> None:
    grace = world.target.pause_grace
    action = world.action(BEATING)
    first, _ = beaten(world, action)
    world.sleep(grace + 2 * MARGIN)
    again, gap = beaten(world, action)
    equal("container", again, first)
    true(f"the longest gap is {gap:.2f} s", gap >= MARGIN)


@check("life.grace", "container.md §7.1", "within the grace it goes on running")
def grace(world: World) -> None:
    action = world.action(BEATING)
    beaten(world, action)
    gaps = []
    for _ in range(TRIES):
        world.sleep(world.target.pause_grace / 3)
        gaps.append(beaten(world, action)[1])
    true(f"the longest gaps are {gaps}", min(gaps) < world.target.pause_grace / 4)


@check("life.idle", "container.md §7.1", "a container that was paused for the idle time is removed")
def idle(world: World) -> None:
    action = world.action(MARKED)
    first = world.result(action)["me"]
    world.sleep(world.target.pause_grace + world.target.idle + 2 * MARGIN)
    record = world.run(action)
    true("the container is the same", record["response"]["result"]["me"] != first)
    true("the start was no cold one", "initTime" in annotations(record))


@check("life.died", "container.md §7.4", "an idle container that has died costs no activation")
def died(world: World) -> None:
    again(world, LEAVING % "process.exit(1)")


@check(
    "life.deaf", "container.md §7.4", "an idle container that refuses the connection: the activation runs in another"
)
def deaf(world: World) -> None:
    again(world, LEAVING % DEAF)


@check("life.busy", "container.md §7.4", "503 of a warm container: the activation runs in another")
def busy(world: World) -> None:
    again(world, BUSY % 1)


def again(world: World, code: str) -> None:
    """The second run finds another container, and is a success."""
    action = world.node(code)
    first = world.result(action)["me"]
    world.sleep(0.4)
    activation = world.begin(action)
    result = activation.told()["response"]
    equal("status", result["statusCode"], 0)
    true("the container is the same", result["result"]["me"] != first)
    equal("acks that free the slot", sum("instance" in ack.body for ack in activation.ended().acks), 1)


@check("life.busy-always", "invoker.md §12", "503 each time is an end after some tries; upstream goes on without one")
def busy_always(world: World) -> None:
    response = world.run(world.node(BUSY % 0))["response"]
    true(f"it ended with {response}", response["statusCode"] in (2, 3))


@check("life.prints", "logs.md §2", "what a container prints between two activations costs neither of them")
def prints(world: World) -> None:
    code = "setInterval(() => console.log('x'), 20);\nfunction main() { return { a: 1 }; }"
    action = world.node(code)
    for _ in range(2):
        equal("result", world.result(action), {"a": 1})
        world.sleep(0.2)
