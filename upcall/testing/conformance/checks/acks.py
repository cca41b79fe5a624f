"""Which acknowledgement comes when, in what shape and order (spec: bus.md §7).

A blocking activation may be answered in two acks, the result and then the free slot, or in one that has both: upstream
does the first while logs are pending, and controllers take either. Ours does the same, unless results are to wait for
their records (`--durability full`): then it sends one.
"""

import re
from collections.abc import Callable

from upcall.testing.conformance import shapes
from upcall.testing.conformance.activation import Activation, Json, refusal
from upcall.testing.conformance.check import NotInReach, check, equal, faultless, true
from upcall.testing.conformance.code import ECHO, answering, http
from upcall.testing.conformance.world import Action, World

FAILING = "def main(args):\n    return {'error': 'mine'}"
BROKEN = "raise ValueError('no')"
DYING = "import os\ndef main(args):\n    os._exit(1)"
BOTH = (["result", "completion"], ["combined"])
MISSING = refusal(1, "Action could not be found or may have been deleted.")


def one_of(what: str, found: list[str], allowed: tuple[list[str], ...]) -> None:
    true(f"{what}: {found} where one of {allowed} is expected", found in allowed)


Make = Callable[[World, int], Action]
"""An action with that log limit (MB)."""

RAN: dict[str, Make] = {
    "success": lambda world, logs: world.action(ECHO, limits={"logs": logs}),
    "error": lambda world, logs: world.action(FAILING, limits={"logs": logs}),
    "init-error": lambda world, logs: world.action(BROKEN, limits={"logs": logs}),
    "death": lambda world, logs: world.action(DYING, limits={"logs": logs}),
}


def ran_checks(name: str, make: Make) -> None:
    @check(
        f"acks.{name}-blocking-logs", "bus.md §7.1", f"{name}, blocking, logs: result before the slot, or both at once"
    )
    def blocking_logs(world: World) -> None:
        activation = world.begin(make(world, 1)).ended()
        one_of("acks", activation.shapes, BOTH)

    @check(f"acks.{name}-blocking", "bus.md §7.1", f"{name}, blocking, no logs: one ack with the whole record")
    def blocking(world: World) -> None:
        equal("acks", world.begin(make(world, 0)).ended().shapes, ["combined"])

    @check(f"acks.{name}-logs", "bus.md §7.1", f"{name}, not blocking, logs: the slot alone")
    def logs(world: World) -> None:
        equal("acks", world.begin(make(world, 1), blocking=False).ended().shapes, ["completion"])

    @check(f"acks.{name}", "bus.md §7.1", f"{name}, not blocking, no logs: the slot alone")
    def neither(world: World) -> None:
        equal("acks", world.begin(make(world, 0), blocking=False).ended().shapes, ["completion"])


for _name, _make in RAN.items():
    ran_checks(_name, _make)


def refused(world: World, action: Action, expected: tuple[int, Json], **members: Json) -> Activation:
    """Both callers of something that never runs."""
    activation = world.begin(action, **members).ended()
    equal("acks of a blocking one", activation.shapes, ["combined"])
    response = activation.told()["response"]
    equal("outcome", (response["statusCode"], response.get("result")), expected)
    equal("isSystemError", activation.acks[0].body["isSystemError"], expected[0] == 3)
    other = world.begin(action, blocking=False, **members).ended()
    equal("acks of one that is not", other.shapes, ["combined-id"])
    equal("isSystemError beside the id", other.acks[0].body["isSystemError"], expected[0] == 3)
    return activation


@check("acks.missing", "store.md §5", "an action that is not there: status 1, whole record or id")
def missing(world: World) -> None:
    action = world.action()
    world.documents.remove(f"{world.namespace}/{action.document['name']}", action.revision)
    refused(world, action, MISSING)


@check("acks.unreadable", "store.md §5", "a kind that nobody knows: status 3, a system error")
def unreadable(world: World) -> None:
    expected = refusal(3, "Action version is not compatible and cannot be invoked.")
    refused(world, world.action(kind="cobol:60"), expected)


@check("acks.sequence", "store.md §5", "a sequence is nothing to run: status 3")
def sequence(world: World) -> None:
    action = world.action(exec={"kind": "sequence", "components": ["/_/a"]})
    refused(world, action, refusal(3, "Action could not be fetched."))


@check(
    "acks.too-big",
    "invoker.md §12",
    "an action larger than the pool is answered, with status 3; upstream leaves it waiting",
)
def too_big(world: World) -> None:
    memory = world.memory + 128
    if memory > world.target.memory_max:
        raise NotInReach("no action may be larger than its pool: its whisk.memory.max is smaller")
    activation = world.begin(world.action(limits={"memory": memory})).ended()
    equal("acks", activation.shapes, ["combined"])
    equal("status", activation.told()["response"]["statusCode"], 3)
    equal(
        "acks of one that nobody waits for",
        world.begin(world.action(limits={"memory": memory}), blocking=False).ended().shapes,
        ["combined-id"],
    )


@check("acks.no-container", "bus.md §7.1", "no container comes up: one ack, whole record or id")
def no_container(world: World) -> None:
    action = world.action(exec={"kind": "blackbox", "image": "nowhere.invalid/nobody/nothing:1", "binary": False})
    activation = world.begin(action).ended()
    equal("acks", activation.shapes, ["combined"])
    response = activation.told()["response"]
    equal("status", response["statusCode"], 2)
    text = "Failed to pull container image 'nowhere.invalid/nobody/nothing:1'."
    true(f"text {response['result']}", response["result"]["error"].startswith(text))
    equal("acks of one that nobody waits for", world.begin(action, blocking=False).ended().shapes, ["combined-id"])


@check("acks.blocked", "store.md §7", "a blocked namespace: status 1, no record; whole ack to who waits, else the id")
def blocked(world: World) -> None:
    space = f"blocked-{world.tag}"
    action = world.action()
    world.documents.block(space)
    world.wait("the refusal", lambda: world.run(action, namespace=space)["response"]["statusCode"] == 1)
    expected = refusal(1, "The action was not invoked due to a blacklisted namespace.")
    activation = refused(world, action, expected, namespace=space)
    later = world.begin(world.action()).ended()
    later.kept()
    true("there is a record", not activation.recorded)


@check("acks.order", "bus.md §7.1", "no completion overtakes its result")
def order(world: World) -> None:
    action = world.action()
    sent = [world.begin(action, {"n": number}) for number in range(30)]
    for each in sent:
        one_of("acks", each.ended().shapes, BOTH)
    world.begin(action).ended()  # what comes once more has come by now
    for each in sent:
        equal("acks that come later", [], each.shapes[2:])


@check("acks.too-large", "bus.md §7.1", "a result that the topic does not take is told by id; its record is there")
def too_large(world: World) -> None:
    code = "def main(args):\n    return {'text': chr(34) * 1_100_000}"
    activation = world.begin(world.action(code)).ended()
    one_of("acks", activation.shapes, (["result-id", "completion"], ["combined-id"]))
    error = activation.kept()["response"]["result"]["error"]
    text = r"The action produced a response that exceeded the allowed length: 22\d{5} > 1048576 bytes\. The trunc"
    true(f"its error is {error[:150]!r}", re.match(text, error))


@check("acks.system-error", "bus.md §7", "isSystemError is true for status 3 alone")
def system_error(world: World) -> None:
    for action, expected in (
        (world.action(), False),
        (world.action(FAILING), False),
        (world.action(DYING), False),
        (world.action(kind="cobol:60"), True),
    ):
        for blocking in (True, False):
            last = world.begin(action, blocking=blocking).ended().acks[-1]
            equal(f"isSystemError of {action.document['name']}", last.body["isSystemError"], expected)


@check("acks.members", "bus.md §7", "every ack of this run has all members that upstream's readers demand")
def members(world: World) -> None:
    for make in RAN.values():
        world.begin(make(world, 1)).ended()
        world.begin(make(world, 0)).ended()
    for _, ack in world.acks():
        faultless(f"a {ack.shape}", shapes.ack_faults(ack.body))


@check("acks.instance", "bus.md §6.4", "acks name the same instance as pings do")
def instance(world: World) -> None:
    named = world.ping()["name"]
    last = world.begin(world.action()).ended().acks[-1].body["instance"]
    equal("instance", last, named)


@check(
    "acks.init-busy", "invoker.md §12", "503 on /init is no end: upstream loses such an activation, here it is answered"
)
def init_busy(world: World) -> None:
    raw = http(503, b'{"error":"going away"}')
    activation = world.begin(world.node(answering(raw), limits={"logs": 0})).ended()
    true(f"status {activation.told()['response']}", activation.told()["response"]["statusCode"] in (2, 3))
    equal("result", world.result(world.action(), {"a": 1}), {"a": 1})


@check(
    "acks.queued-init-error",
    "container.md §7.1",
    "what waits for a container whose /init fails ends with the same error",
)
def queued_init_error(world: World) -> None:
    if world.target.concurrency < 2:
        raise NotInReach("its concurrency limit is 1: --concurrency N")
    slow = "const until = Date.now() + 1500; while (Date.now() < until);\nthrow new Error('not today');"
    action = world.node(slow, limits={"concurrency": 2, "memory": min(world.memory, world.target.memory_max)})
    first, second = world.begin(action), world.begin(action)
    found = [each.told()["response"] for each in (first, second)]
    equal("statuses", [each["statusCode"] for each in found], [2, 2])
    for each in (first, second):
        each.ended()
