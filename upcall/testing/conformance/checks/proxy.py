"""What goes into a container: the bodies of /init and /run as the action's code sees them (spec: container.md §2)."""

import time

from upcall.testing.conformance.activation import Json
from upcall.testing.conformance.check import check, equal, true
from upcall.testing.conformance.code import SEEN
from upcall.testing.conformance.world import Action, World

HANDED = """
const http = require('net').Socket.prototype.emit;
const bodies = [];
require('net').Socket.prototype.emit = function (event, chunk, ...rest) {
  if (event === 'data') bodies.push(chunk.toString());
  return http.call(this, event, chunk, ...rest);
};
function main() {
  const text = bodies.splice(0).join('');
  return { body: JSON.parse(text.slice(text.indexOf('{'))) };
}
"""
"""Shows the body of its /run as it came over the socket. Node.js."""


def own(environment: dict[str, str]) -> dict[str, str]:
    """What the platform has put into the environment."""
    return {name[5:]: value for name, value in environment.items() if name.startswith("__OW_")}


def seen(world: World, **members: Json) -> tuple[Action, dict[str, Json], dict[str, Json]]:
    """An action of a package, the message to it and what it saw."""
    action = world.action(SEEN, path=f"{world.namespace}/pack", annotations=members.pop("annotations", None))
    message = world.message(action, {"a": 1}, **members)
    return action, message, world.send(message).told()["response"]["result"]


@check("proxy.context", "container.md §2.3", "an action learns who calls it, as what, until when")
def context(world: World) -> None:
    action, message, found = seen(world)
    expected = {
        "NAMESPACE": world.namespace,
        "ACTION_NAME": f"/{world.namespace}/pack/{action.document['name']}",
        "ACTION_VERSION": "0.0.1",
        "ACTIVATION_ID": message["activationId"],
        "TRANSACTION_ID": message["transid"][0],
    }
    for moment in ("first", "now"):
        got = own(found[moment])
        for name, value in expected.items():
            equal(f"__OW_{name} ({moment})", got.get(name), value)


@check("proxy.deadline", "container.md §2.3", "the deadline is that of the run, in epoch ms")
def deadline(world: World) -> None:
    _, _, found = seen(world)
    left = int(own(found["now"])["DEADLINE"]) - time.time() * 1000
    true(f"the deadline is {left:g} ms from now, the limit 20 s", 0 < left <= 20_000)


@check(
    "proxy.run-body",
    "container.md §2.2",
    "every member of /run's body besides `value` is text, and there is no api_host",
)
def run_body(world: World) -> None:
    action = world.node(HANDED, limits={"logs": 0}, annotations={"provide-api-key": True})
    world.result(action, {"first": 1})
    message = world.message(action, {"a": [1]})
    body = world.send(message).told()["response"]["result"]["body"]
    equal("value", body.pop("value"), {"a": [1]})
    true(f"the deadline is {body.get('deadline')!r}", str(body.pop("deadline", "")).isdecimal())
    expected = {
        "namespace": world.namespace,
        "action_name": f"/{world.namespace}/{action.document['name']}",
        "action_version": "0.0.1",
        "activation_id": message["activationId"],
        "transaction_id": message["transid"][0],
        "api_key": message["user"]["authkey"]["api_key"],
    }
    equal("body", body, expected)


@check("proxy.array", "container.md §2.2", "an array of arguments is passed whole, whatever initArgs says")
def array(world: World) -> None:
    action = world.action("def main(args):\n    return {'got': args}")
    equal("arguments", world.result(action, ["a", 2], initArgs=["a"]), {"got": ["a", 2]})


@check("proxy.init-args", "container.md §2.1", "initArgs go to /init as environment, as text, and not to /run")
def init_args(world: World) -> None:
    content = {"TEXT": "x y", "NULL": None, "YES": True, "NUMBER": 1.5, "LIST": [1, {"a": 2}], "rest": 1}
    message = world.message(world.action(SEEN), content, initArgs=["TEXT", "NULL", "YES", "NUMBER", "LIST", "MISSING"])
    found = world.send(message).told()["response"]["result"]
    equal("arguments of /run", found["args"], {"rest": 1})
    expected = {"TEXT": "x y", "NULL": "", "YES": "true", "NUMBER": "1.5", "LIST": '[1,{"a":2}]'}
    equal("environment", {name: found["first"].get(name) for name in expected}, expected)
    true("what is not there is in the environment", "MISSING" not in found["first"])


@check(
    "proxy.init-once",
    "container.md §2.3",
    "the environment of /init is the first activation's; /run's is each one's own",
)
def init_once(world: World) -> None:
    action = world.action(SEEN)
    first = world.result(action)
    message = world.message(action)
    second = world.send(message).told()["response"]["result"]
    equal("of /init", own(second["first"])["ACTIVATION_ID"], own(first["first"])["ACTIVATION_ID"])
    equal("of /run", own(second["now"])["ACTIVATION_ID"], message["activationId"])


@check(
    "proxy.api-key",
    "store.md §3",
    "the key is left out where provide-api-key is falsy, and handed over where it is not",
)
def api_key(world: World) -> None:
    falsy: tuple[Json, ...] = (False, 0, "", None)
    for value in falsy:
        _, _, found = seen(world, annotations={"provide-api-key": value})
        true(f"the key is there with {value!r}", not {"API_KEY"} & (set(own(found["now"])) | set(own(found["first"]))))
    _, message, found = seen(world, annotations={"provide-api-key": "yes"})
    for moment in ("first", "now"):
        equal(f"__OW_API_KEY ({moment})", own(found[moment]).get("API_KEY"), message["user"]["authkey"]["api_key"])


@check("proxy.api-key-missing", "store.md §3", "without the annotation the key is handed over")
def api_key_missing(world: World) -> None:
    action = world.action(SEEN)
    document = {**action.document, "annotations": []}
    message = world.message(Action(document, world.documents.put(document, action.revision)))
    found = world.send(message).told()["response"]["result"]
    equal("__OW_API_KEY", own(found["now"]).get("API_KEY"), message["user"]["authkey"]["api_key"])


@check("proxy.authkey", "bus.md §6.3", "every member of authkey is handed to the action")
def authkey(world: World) -> None:
    action = world.action(SEEN, annotations={"provide-api-key": True})
    message = world.message(action)
    message["user"]["authkey"] = {"access_token": "abc", "tenant": "t1"}
    found = own(world.send(message).told()["response"]["result"]["now"])
    equal("them", (found.get("ACCESS_TOKEN"), found.get("TENANT")), ("abc", "t1"))


@check("proxy.locked", "container.md §2.4", "a value locked by no algorithm, or one that is not known, stays as it is")
def locked(world: World) -> None:
    for algorithm in ("noop", "rot13"):
        found = world.result(world.action(), {"a": "secret"}, lockedArgs={"a": algorithm})
        equal(f"locked by {algorithm}", found, {"a": "secret"})


@check("proxy.main", "store.md §3.1", "the function to call is the document's `main`, else main")
def main(world: World) -> None:
    code = "def main(args):\n    return {'n': 1}\ndef other(args):\n    return {'n': 2}"
    kind = world.target.python
    equal("main", world.result(world.action(code)), {"n": 1})
    named = {"kind": kind, "code": code, "binary": False, "main": "other"}
    equal("other", world.result(world.action(exec=named)), {"n": 2})


@check("proxy.binding-namespace", "container.md §2.3", "the namespace is the caller's, the name the action's own")
def binding_namespace(world: World) -> None:
    action = world.action(SEEN, path=f"{world.namespace}-owner/pack")
    found = own(world.result(action)["now"])
    equal("__OW_NAMESPACE", found["NAMESPACE"], world.namespace)
    equal("__OW_ACTION_NAME", found["ACTION_NAME"], f"/{world.namespace}-owner/pack/{action.document['name']}")
