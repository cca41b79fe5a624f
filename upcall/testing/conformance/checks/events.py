"""User events of the Invoker (spec: bus.md §9.1)."""

import json
from typing import Any

from upcall.testing.conformance import shapes
from upcall.testing.conformance.activation import Activation
from upcall.testing.conformance.check import NotInReach, check, equal, faultless, true
from upcall.testing.conformance.world import World


def listen(world: World) -> str:
    """The topic, read from now on."""
    if not world.target.events:
        raise NotInReach("user events are not on: --events")
    topic = f"{world.target.event_prefix}events"
    world.wire.ensure(topic, "events")
    if not world.wire.listens(topic):
        world.wire.listen(topic)
    return topic


def of(world: World, topic: str, activation: Activation) -> list[Any]:
    """Events of an activation."""
    found = [json.loads(heard.value) for heard in world.wire.heard(topic)]
    return [event for event in found if event["body"].get("activationId") == activation.id]


def event(world: World, code: str, content: Any = None, **members: Any) -> tuple[Activation, Any]:
    topic = listen(world)
    activation = world.begin(world.action(code), content or {}, **members).ended()
    world.wait("its event", lambda: bool(of(world, topic, activation)))
    return activation, of(world, topic, activation)[0]


@check("events.members", "bus.md §9.1", "an event has all members, and they are those of the record")
def members(world: World) -> None:
    activation, found = event(world, "def main(args):\n    return {'a': 1}", cause="c" * 32)
    faultless("event", shapes.event_faults(found))
    record, body = activation.told(), found["body"]
    equal("source", found["source"], f"invoker{world.target.invoker}")
    equal("namespace, subject", (found["namespace"], found["subject"]), (record["namespace"], record["subject"]))
    equal("userId", found["userId"], activation.message["user"]["namespace"]["uuid"])
    equal("name", body["name"], f"{world.namespace}/{record['name']}")
    equal("duration, size", (body["duration"], body.get("size")), (record["duration"], record["response"]["size"]))
    equal(
        "memory, kind, causedBy",
        (body["memory"], body["kind"], body.get("causedBy")),
        (128, world.target.python, "sequence"),
    )
    true("initTime of a cold start is 0", body["initTime"] > 0)


@check("events.once", "bus.md §9.1", "one event for each activation, blocking or not, with logs or without")
def once(world: World) -> None:
    topic = listen(world)
    sent = []
    for logs in (0, 1):
        action = world.action(limits={"logs": logs})
        sent += [world.begin(action, blocking=blocking).ended() for blocking in (True, False)]
    world.wait("an event of each", lambda: all(of(world, topic, each) for each in sent))
    world.sleep(0.3)
    equal("events of each", [len(of(world, topic, each)) for each in sent], [1] * 4)


@check(
    "events.status",
    "bus.md §9.1",
    "the user's own status code: of the error, else of the result; text counts if it is a number",
)
def status(world: World) -> None:
    rows: tuple[tuple[Any, Any], ...] = (
        ({"statusCode": 404}, 404),
        ({"error": {"statusCode": "418"}}, 418),
        ({"statusCode": "not a number"}, 400),
        ({"a": 1}, None),
    )
    for content, expected in rows:
        _, found = event(world, "def main(args):\n    return args", content)
        equal(f"userDefinedStatusCode of {content}", found["body"].get("userDefinedStatusCode"), expected)
