"""Activation messages in every form that a controller of some version sends (spec: bus.md §5, §6, §11)."""

import time
from typing import Any

from upcall.testing.conformance.activation import annotations
from upcall.testing.conformance.check import check, equal, true
from upcall.testing.conformance.world import ABSENT, World

NOW = 1_764_000_000_123
PARENT = ["p" * 32, NOW]
TRANSIDS: dict[str, list[Any]] = {
    "plain": ["a" * 32, NOW],
    "logging": ["b" * 32, NOW, True],
    "parent": ["c" * 32, NOW, PARENT],
    "both": ["d" * 32, NOW, True, [*PARENT, ["q" * 32, NOW, True]]],
    "system": ["sid_invokerWarmup", NOW],
}


def transid_check(name: str, transid: list[Any]) -> None:
    @check(f"messages.transid-{name}", "bus.md §6.1", f"a transaction id of the form “{name}” comes back as it was")
    def body(world: World) -> None:
        activation = world.begin(world.action(), {"a": 1}, transid=transid).ended()
        for ack in activation.acks:
            equal(f"transid of the {ack.shape}", ack.body["transid"], transid)


for _name, _transid in TRANSIDS.items():
    transid_check(_name, _transid)


@check("messages.transid-unreadable", "bus.md §6.1", "a transaction id that cannot be read is no error")
def transid_unreadable(world: World) -> None:
    values: tuple[Any, ...] = ("text", 5, {"id": "x"}, [])
    for transid in values:
        equal(f"status with {transid!r}", status(world, transid=transid), 0)


@check("messages.content", "bus.md §5", "content may be an object, an array, null, or left out")
def content(world: World) -> None:
    action = world.action("def main(args):\n    return {'got': args}")
    for given, got in (({"a": [1, None]}, {"a": [1, None]}), ([1, "b"], [1, "b"]), (None, {}), (ABSENT, {})):
        equal(f"arguments of {given!r}", world.result(action, given), {"got": got})


@check("messages.unknown", "bus.md §1", "members that it does not know are ignored, at every level")
def unknown(world: World) -> None:
    message = world.message(world.action(), {"a": 1}, deadline=5, extra={"b": [None]})
    message["user"] |= {"more": 1, "limits": {"invocationsPerMinute": 5, "someday": {"x": 1}}}
    message["action"] |= {"kind": "x"}
    message["rootControllerIndex"] |= {"host": "h"}
    equal("status", world.send(message).told()["response"]["statusCode"], 0)


@check("messages.missing", "bus.md §11", "lists and maps that a message lacks count as empty")
def missing(world: World) -> None:
    message = world.message(world.action(), {"a": 1}, initArgs=ABSENT, lockedArgs=ABSENT)
    del message["user"]["rights"], message["user"]["limits"]
    equal("result", world.send(message).told()["response"]["result"], {"a": 1})


@check("messages.null", "bus.md §1", "null in an optional member counts as left out")
def null(world: World) -> None:
    message = world.message(world.action(), {"a": 1}, cause=None, traceContext=None)
    message["action"]["binding"] = None
    message["user"]["limits"] = {"storeActivations": None, "maxActionMemory": None}
    record = world.send(message).told()
    equal("result", record["response"]["result"], {"a": 1})
    true("the record has a cause", "cause" not in record)
    true("there are annotations of a cause or a binding", not {"causedBy", "binding"} & set(annotations(record)))


@check("messages.name-text", "bus.md §6.2", "the action may be named by a bare text")
def name_text(world: World) -> None:
    action = world.action()
    message = world.message(action, {"a": 1})
    message["action"] = f"{action.document['namespace']}/{action.document['name']}"
    equal("result", world.send(message).told()["response"]["result"], {"a": 1})


@check("messages.id-number", "bus.md §5", "an activation id that is a number is tolerated")
def id_number(world: World) -> None:
    number = 10**31 + time.time_ns()
    activation = world.begin(world.action(), activationId=number).ended()
    equal("activation id", activation.told()["activationId"], str(number))


@check("messages.controller-bare", "bus.md §5", "the controller's id may lack its instanceType")
def controller_bare(world: World) -> None:
    equal("status", status(world, rootControllerIndex={"asString": world.target.controller}), 0)


@check("messages.revision-null", "store.md §4", "without a revision the newest document runs, whatever was read before")
def revision_null(world: World) -> None:
    first = world.action(code(1), name="newest")
    equal("result", world.result(first, revision=None), {"n": 1})
    second = world.action(code(2), name="newest", after=first)
    equal("result of the update", world.result(second, revision=None), {"n": 2})


@check("messages.revision-stale", "store.md §4", "a revision that is no more means the newest")
def revision_stale(world: World) -> None:
    first = world.action(code(1), name="stale")
    world.action(code(2), name="stale", after=first, version="0.0.2")
    record = world.run(first)
    equal("result", record["response"].get("result"), {"n": 2})
    equal("version of the record, which is the document's", record["version"], "0.0.2")


@check("messages.package", "bus.md §6.2", "an action of a package, called through a binding, keeps both names")
def package(world: World) -> None:
    path = f"{world.namespace}/utils"
    action = world.action(path=path)
    name = {**action.name, "binding": f"{world.namespace}/mine"}
    message = {**world.message(action), "action": name}
    found = annotations(world.send(message).told())
    equal("annotation path", found["path"], f"{path}/{action.document['name']}")
    equal("annotation binding", found.get("binding"), f"{world.namespace}/mine")


@check("messages.two-controllers", "bus.md §7", "each controller is answered on its own topic")
def two_controllers(world: World) -> None:
    other = f"{world.target.controller}.second_{world.tag}"
    topic = f"{world.target.prefix}completed{other}"
    world.wire.ensure(topic, "completed")
    world.wire.listen(topic)
    message = world.message(world.action(), rootControllerIndex={"asString": other, "instanceType": "controller"})
    activation = world.send(message)
    world.wait(
        "an ack for the other controller", lambda: any(b'"instance"' in ack.value for ack in world.wire.heard(topic))
    )
    equal("acks that came here", activation.shapes, [])


OLD = {"limits": {"invocationsPerMinute": 60, "concurrentInvocations": 30, "firesPerMinute": 60}}
NEW = {
    "minActionMemory": 128, "maxActionMemory": 512, "minActionLogs": 0, "maxActionLogs": 10, "minActionTimeout": 100,
    "maxActionTimeout": 300_000, "minActionConcurrency": 1, "maxActionConcurrency": 500, "maxParameterSize": "1 MB",
    "maxPayloadSize": "1048576 B", "truncationSize": "1 MB", "maxActionInstances": 5, "storeActivations": True,
    "warmedContainerKeepingCount": 1, "warmedContainerKeepingTimeout": "10 minutes", "allowedKinds": ["python:3"],
}  # fmt: skip


@check("versions.1.0.0", "bus.md §11", "a message of controller 1.0.0 runs")
def version_1(world: World) -> None:
    message = world.message(world.action(), {"a": 1}, rootControllerIndex={"asString": world.target.controller})
    message["user"] |= OLD
    equal("result", world.send(message).told()["response"]["result"], {"a": 1})


@check("versions.ef725a6", "bus.md §11", "a message of the Helm chart's controller runs: array content, keeping limits")
def version_chart(world: World) -> None:
    action = world.action("def main(args):\n    return list(args)")
    message = world.message(action, [1, 2], traceContext={"uber-trace-id": "5c:1:0:1"})
    message["user"]["limits"] = {name: NEW[name] for name in NEW if name.startswith("warmed")}
    equal("result", world.send(message).told()["response"]["result"], [1, 2])


@check("versions.2.0.0", "bus.md §11", "a message of controller 2.0.0 runs: all its namespace limits")
def version_2(world: World) -> None:
    message = world.message(world.action(), {"a": 1})
    message["user"]["limits"] = NEW
    equal("result", world.send(message).told()["response"]["result"], {"a": 1})


def status(world: World, **members: Any) -> int:
    found: int = world.begin(world.action(), **members).told()["response"]["statusCode"]
    return found


def code(number: int) -> str:
    return f"def main(args):\n    return {{'n': {number}}}"
