"""`upcall controller`: the API as a process of its own (spec: rest-api.md §14)."""

from tests.system.operating import upcall
from tests.system.test_invoker_process import ECHO, World, put, text, world

pytest_plugins = ["tests.system.kafka"]

__all__ = ["world"]
OPERATOR = "controller.user:controller.pass"


def test_ready_shows_the_invokers_and_status_what_it_is(world: World) -> None:
    controller, _ = world.pair()
    assert f"controller0 is ready at http://127.0.0.1:{controller.port}" in text(controller)
    assert controller.request("GET", "/ready").body == {"ready": True, "healthy": 1, "invokers": 1}
    status = controller.request("GET", "/status", OPERATOR).body
    assert (status["role"], status["id"], status["state"]) == ("controller", "0", "ready")
    where = ["--apihost", f"http://127.0.0.1:{controller.port}", "--auth", OPERATOR]
    shown = upcall("status", *where)
    assert (shown.code, "1 of 1 are healthy" in shown.out) == (0, True)
    top = upcall("top", "--once", *where)
    assert (top.code, "is a controller, which runs no actions: ask an Invoker" in top.err) == (1, True)
    assert controller.terminate(20) == ""


def test_disabled_it_hears_no_acks_any_more(world: World) -> None:
    controller, _ = world.pair()
    put(controller, "echo", ECHO)
    wrong = controller.request("POST", "/disable", "controller.user:wrong")
    assert (wrong.status, wrong.body["error"]) == (401, "username or password are wrong.")
    assert controller.request("POST", "/disable").status == 401
    assert controller.request("GET", "/ready").status == 200
    for _ in range(2):
        assert controller.request("POST", "/disable", OPERATOR).body == "controller is disabled"
    refused = controller.request("GET", "/ready")
    assert (refused.status, refused.body["reason"]) == (503, "it is disabled")
    late = controller.call("POST", "actions/echo?blocking=true&timeout=1000", {})
    assert late.status == 202, "its ack is not heard"
    assert controller.terminate(60) == ""
