"""Limits of the invoking namespace, as the Invoker of 2.0.0 checks them (spec: invoker.md §6)."""

from upcall.testing.conformance.activation import annotations, outcome, refusal
from upcall.testing.conformance.check import check, equal
from upcall.testing.conformance.world import World

TEXTS = {
    "timeout-high": (
        {"timeout": 5000},
        {"maxActionTimeout": 1000},
        "duration 5000{} exceeds allowed threshold of 1000{}",
    ),
    "timeout-low": ({"timeout": 500}, {"minActionTimeout": 1000}, "duration 500{} below allowed threshold of 1000{}"),
    "memory-high": ({"memory": 256}, {"maxActionMemory": 128}, "memory size 256{} exceeds allowed threshold of 128{}"),
    "memory-low": ({"memory": 128}, {"minActionMemory": 256}, "memory size 128{} below allowed threshold of 256{}"),
    "logs-high": ({"logs": 5}, {"maxActionLogs": 2}, "log size 5{} exceeds allowed threshold of 2{}"),
    "logs-low": ({"logs": 1}, {"minActionLogs": 2}, "log size 1{} below allowed threshold of 2{}"),
}


def limit_check(name: str, limits: dict[str, int], user: dict[str, int], text: str) -> None:
    @check(f"limits.{name}", "invoker.md §6", f"status 1: {text.split(' milli', maxsplit=1)[0]}")
    def looked(world: World) -> None:
        message = world.message(world.action(limits=limits))
        message["user"]["limits"] = user
        record = world.send(message).told()
        equal("outcome", outcome(record), refusal(1, text))
        equal("annotation kind", annotations(record)["kind"], "unknown")


for _name, _row in TEXTS.items():
    _limits, _user, _text = _row
    limit_check(_name, _limits, _user, _text.replace("{}", " milliseconds" if "timeout" in _limits else " MB"))


@check("limits.concurrency", "invoker.md §6", "status 1: concurrency above what the system allows")
def concurrency(world: World) -> None:
    most = world.target.concurrency
    record = world.run(world.action(limits={"concurrency": most + 1}))
    text = f"concurrency {most + 1} exceeds allowed threshold of {most}"
    equal("outcome", outcome(record), refusal(1, text))


@check("limits.first", "invoker.md §6", "of several the first counts: time, memory, concurrency, logs")
def first(world: World) -> None:
    message = world.message(world.action(limits={"memory": 256, "logs": 5}))
    message["user"]["limits"] = {"maxActionMemory": 128, "maxActionLogs": 1}
    expected = refusal(1, "memory size 256 MB exceeds allowed threshold of 128 MB")
    equal("outcome", outcome(world.send(message).told()), expected)


@check("limits.capped", "invoker.md §6", "a namespace's limits are capped by the system's")
def capped(world: World) -> None:
    memory = world.target.memory_max + 128
    message = world.message(world.action(limits={"memory": memory}))
    message["user"]["limits"] = {"maxActionMemory": 10 * memory}
    text = f"memory size {memory} MB exceeds allowed threshold of {world.target.memory_max} MB"
    equal("outcome", outcome(world.send(message).told()), refusal(1, text))


@check("limits.equal", "invoker.md §6", "a limit that is met exactly is no violation")
def equals(world: World) -> None:
    message = world.message(world.action())
    message["user"]["limits"] = {"maxActionMemory": 128, "minActionMemory": 128, "maxActionLogs": 1, "minActionLogs": 1}
    equal("status", world.send(message).told()["response"]["statusCode"], 0)
