"""Activation records: members, annotations, times, and which are stored (spec: store.md §5, §6)."""

from upcall.testing.conformance import shapes
from upcall.testing.conformance.activation import annotations
from upcall.testing.conformance.check import NotInReach, check, equal, faultless, true
from upcall.testing.conformance.world import World

LIMITS = {"timeout": 20_000, "memory": 128, "logs": 1, "concurrency": 1}


@check("records.members", "store.md §6", "a record has all members, in the ack as in the store, of the same content")
def members(world: World) -> None:
    activation = world.begin(world.action(), {"a": 1})
    told, kept = activation.told(), activation.kept()
    faultless("record of the ack", shapes.record_faults(told))
    faultless("record of the store", shapes.record_faults(kept))
    for name in (set(told) | set(kept)) - {"logs"}:
        equal(name, told.get(name), kept.get(name))


@check("records.whose", "store.md §6", "namespace and subject are the caller's, name and version the action's")
def whose(world: World) -> None:
    action = world.action(path=f"{world.namespace}-owner/pack", version="1.2.3")
    message = world.message(action)
    message["user"]["subject"] = "somebody"
    record = world.send(message).told()
    found = [record[name] for name in ("namespace", "subject", "name", "version", "activationId")]
    equal("them", found, [world.namespace, "somebody", action.document["name"], "1.2.3", message["activationId"]])


@check("records.annotations", "store.md §6.1", "annotations of a cold start, and of a warm one")
def of_runs(world: World) -> None:
    action = world.action()
    cold, warm = annotations(world.run(action)), annotations(world.run(action))
    path = f"{world.namespace}/{action.document['name']}"
    for found in (cold, warm):
        equal("path", found["path"], path)
        equal("kind", found["kind"], world.target.python)
        equal("limits", found["limits"], LIMITS)
        equal("timeout", found["timeout"], False)
        true(f"waitTime is {found['waitTime']!r}", shapes.whole(found["waitTime"]))
    true("initTime is missing", shapes.whole(cold.get("initTime")))
    true("a warm start has an initTime", "initTime" not in warm)


@check("records.cause", "store.md §6.1", "a step of a sequence tells its cause")
def cause(world: World) -> None:
    record = world.run(world.action(), cause="c" * 32)
    equal("cause", record.get("cause"), "c" * 32)
    equal("causedBy", annotations(record).get("causedBy"), "sequence")


@check("records.times", "store.md §6", "start lies after what the controller sent, and the duration holds both calls")
def times(world: World) -> None:
    code = "import time\ntime.sleep(0.3)\ndef main(args):\n    time.sleep(0.2)\n    return {}"
    message = world.message(world.action(code))
    record = world.send(message).told()
    found = annotations(record)
    true(f"initTime is {found['initTime']}", found["initTime"] >= 300)
    true(f"duration is {record['duration']}", record["duration"] >= found["initTime"] + 200)
    true(f"waitTime is {found['waitTime']}", 0 <= found["waitTime"] <= record["end"] - message["transid"][1])


@check("records.wait", "store.md §6.1", "waitTime begins with the transaction's start, whichever clock that is of")
def wait(world: World) -> None:
    message = world.message(world.action())
    message["transid"][1] -= 100_000
    found = annotations(world.send(message).told())["waitTime"]
    true(f"waitTime is {found}", 100_000 <= found < 200_000)


@check("records.size", "store.md §6", "the size is that of the response in UTF-16 units, not in bytes")
def size(world: World) -> None:
    record = world.run(world.action("def main(args):\n    return {'t': 'ä💡'}"))
    true(f"size is {record['response']['size']}", record["response"]["size"] in range(len('{"t":"ä12"}'), 28))
    bare = len('{"t":"') + 1 + 2 + len('"}')
    escaped = len(r'{"t":"\u00e4\ud83d\udca1"}')
    true(f"size is {record['response']['size']}", record["response"]["size"] in (bare, bare + 1, escaped, escaped + 1))


@check("records.fallback", "store.md §5", "the record of what never ran: kind unknown, path, cause; no times")
def fallback(world: World) -> None:
    action = world.action(version="2.0.1")
    world.documents.remove(f"{world.namespace}/{action.document['name']}", action.revision)
    activation = world.begin(action, cause="c" * 32)
    record = activation.told()
    faultless("record", shapes.record_faults(record))
    path = f"{world.namespace}/{action.document['name']}"
    equal("annotations", annotations(record), {"path": path, "kind": "unknown", "causedBy": "sequence"})
    equal("version", record["version"], "2.0.1")
    equal("duration", record["duration"], 0)
    equal("start", record["start"], record["end"])
    equal("logs", record["logs"], [])
    equal("outcome in the store", activation.kept()["response"], record["response"])


@check("records.no-version", "store.md §6", "a name without a version: the fallback record has 0.0.1")
def no_version(world: World) -> None:
    action = world.action()
    world.documents.remove(f"{world.namespace}/{action.document['name']}", action.revision)
    message = world.message(action)
    del message["action"]["version"]
    equal("version", world.send(message).told()["version"], "0.0.1")


@check(
    "records.no-container", "store.md §6.1", "what got no container has the annotations of what tried, and no duration"
)
def no_container(world: World) -> None:
    record = world.run(world.action(exec={"kind": "blackbox", "image": "nowhere.invalid/x/y:1", "binary": False}))
    found = annotations(record)
    equal("kind", found.get("kind"), "blackbox")
    equal("timeout", found.get("timeout"), False)
    true("there is no waitTime", "waitTime" in found)
    true("there is an initTime", "initTime" not in found)
    equal("duration", record["duration"], 0)


@check("records.unstored", "store.md §6.2", "storeActivations false: acks as always, no record")
def unstored(world: World) -> None:
    action = world.action()
    message = world.message(action, {"a": 1})
    message["user"]["limits"] = {"storeActivations": False}
    activation = world.send(message).ended()
    equal("status", activation.told()["response"]["statusCode"], 0)
    world.begin(action).kept()
    true("there is a record", not activation.recorded)


@check(
    "records.levels",
    "store.md §6.2",
    "STORE_FAILURES: a success has no record, a failure has; extra logging forces one",
)
def levels(world: World) -> None:
    if not world.target.failures_only:
        raise NotInReach("its store level is not STORE_FAILURES: --failures-only")
    action = world.action("def main(args):\n    return args")
    success = world.begin(action, blocking=False).ended()
    failure = world.begin(action, {"error": "x"}, blocking=False).ended()
    logged = world.begin(action, blocking=False, transid=["e" * 32, 1_764_000_000_000, True]).ended()
    equal("status of the failure", failure.kept()["response"]["statusCode"], 1)
    equal("status of what is logged", logged.kept()["response"]["statusCode"], 0)
    true("the success has a record", not success.recorded)
