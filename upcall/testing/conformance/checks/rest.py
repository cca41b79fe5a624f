"""The Invoker's HTTP (spec: invoker.md §8)."""

import json

from upcall.testing.conformance.check import check, equal, true
from upcall.testing.conformance.http import Answer, ask, operate
from upcall.testing.conformance.world import World

GUARDED = (("POST", "/enable"), ("POST", "/disable"), ("GET", "/isEnabled"))


def name(world: World) -> str:
    """As the texts have it."""
    target = world.target
    return "/".join(part for part in (f"invoker{target.invoker}", target.unique_name, target.displayed_name) if part)


def enabled(world: World) -> Answer:
    """Leave it enabled, whatever is found."""
    return operate(world, "POST", "/enable")


@check("rest.ping", "invoker.md §8", "GET /ping answers pong, to anybody")
def ping(world: World) -> None:
    answer = ask(world, "GET", "/ping")
    equal("answer", (answer.status, answer.text), (200, "pong"))
    true(f"its type is {answer.headers.get('content-type')}", answer.headers["content-type"].startswith("text/plain"))


@check("rest.metrics", "invoker.md §8", "GET /metrics answers in Prometheus' form, to anybody")
def metrics(world: World) -> None:
    answer = ask(world, "GET", "/metrics")
    equal("status", answer.status, 200)
    true("there is no type of a metric", "\n# TYPE " in f"\n{answer.text}")


@check("rest.ready", "invoker.md §12", "GET /ready tells whether it can take work; ours, not upstream's")
def ready(world: World) -> None:
    world.up()
    answer = ask(world, "GET", "/ready")
    equal("status", answer.status, 200)


@check("rest.unauthorized", "invoker.md §8", "wrong, empty or no credentials: 401 with error and the transaction's id")
def unauthorized(world: World) -> None:
    for method, path in GUARDED:
        for credentials in (None, ":", "a:b", f"{world.target.username}:", f":{world.target.password}"):
            answer = ask(world, method, path, credentials)
            equal(f"status of {path} with {credentials}", answer.status, 401)
            body = json.loads(answer.text)
            equal("error", body["error"], "The supplied authentication is invalid.")
            equal("code", body["code"], answer.headers.get("x-request-id"))


@check("rest.unknown", "invoker.md §8", "another path is 404")
def unknown(world: World) -> None:
    equal("status", operate(world, "GET", "/nothing/here").status, 404)


@check("rest.tid", "invoker.md §8", "X-Request-ID is taken over, or made")
def tid(world: World) -> None:
    equal("header", ask(world, "GET", "/ping", **{"X-Request-ID": "abc123"}).headers.get("x-request-id"), "abc123")
    true("there is none", ask(world, "GET", "/ping").headers.get("x-request-id"))


@check("rest.is-enabled", "invoker.md §8", "GET /isEnabled answers JSON, as text")
def is_enabled(world: World) -> None:
    enabled(world)
    answer = operate(world, "GET", "/isEnabled")
    equal("answer", (answer.status, json.loads(answer.text)), (200, {"enabled": True}))
    true(f"its type is {answer.headers.get('content-type')}", answer.headers["content-type"].startswith("text/plain"))


@check("rest.disable", "invoker.md §8", "disable and enable, each twice: upstream's texts")
def disable(world: World) -> None:
    enabled(world)
    try:
        for path, text in (
            ("/disable", f"{name(world)} is now disabled."),
            ("/disable", f"{name(world)} is already disabled."),
            ("/enable", f"{name(world)} is now enabled."),
            ("/enable", f"{name(world)} is already enabled."),
        ):
            answer = operate(world, "POST", path)
            equal(f"POST {path}", (answer.status, answer.text), (200, text))
    finally:
        enabled(world)


@check(
    "rest.disabled",
    "invoker.md §8",
    "disabled, it fetches nothing, and what waits runs when it is enabled; upstream runs it",
)
def disabled(world: World) -> None:
    world.up()
    action = world.action()
    world.result(action)
    operate(world, "POST", "/disable")
    try:
        equal("isEnabled", json.loads(operate(world, "GET", "/isEnabled").text), {"enabled": False})
        activation = world.begin(action, {"a": 1})
        world.sleep(1.5)
        equal("acks while it is disabled", activation.shapes, [])
    finally:
        enabled(world)
    equal("result", activation.told()["response"]["result"], {"a": 1})
