"""The operator's routes (spec: invoker.md §8): who may use them, what they answer, and that actions cannot see them."""

from base64 import b64encode
from typing import Any

import pytest

from tests.api.client import Api, Reply, exchange
from upcall.controller.figures import Figures
from upcall.http.metrics import Metrics
from upcall.http.operator import INSIDE, Operator, machine_routes
from upcall.model.names import Json

KEY = "operator:s3cret:with-colon"
STORY: list[Json] = [{"time": 1, "event": "→ Create", "activation": None}]


class Machine:
    """Says what it is told to."""

    name = "invoker0"

    def __init__(self) -> None:
        self.disabled = False
        self.level = "info"

    def enable(self) -> bool:
        changed, self.disabled = self.disabled, False
        return changed

    def disable(self) -> bool:
        changed, self.disabled = not self.disabled, True
        return changed

    async def status(self) -> Json:
        return {"state": "ready"}

    async def pool(self) -> Json:
        return {"containers": 2}

    async def containers(self) -> list[Json]:
        return [{"number": 1}, {"number": 2}]

    def story(self, container: str) -> list[Json] | None:
        return STORY if container == "1" else None

    def log_level(self) -> str:
        return self.level

    def set_log_level(self, level: str) -> None:
        self.level = level


class Operated(Api):
    """The app with an operator."""

    def __init__(self) -> None:
        self.machine = Machine()
        figures = Figures()
        metrics = Metrics([lambda: figures.metrics(0, [])])
        super().__init__(figures=figures, operator=Operator(KEY, machine_routes(self.machine)), metrics=metrics)

    async def ask(self, method: str, path: str, key: str | None = KEY, **options: Any) -> Reply:
        headers = {"Authorization": basic(key)} if key is not None else {}
        return await self(method, path, user=None, headers=headers, **options)

    async def from_inside(self, method: str, path: str) -> Reply:
        """As an action asks."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self.app({**scope, INSIDE: True}, receive, send)

        return await exchange(app, method, path, [(b"authorization", basic(KEY).encode())], b"")


ROUTES = machine_routes(Machine())


def basic(key: str) -> str:
    return f"Basic {b64encode(key.encode()).decode()}"


@pytest.fixture
async def operated() -> Operated:
    return Operated()


async def test_what_it_shows(operated: Operated) -> None:
    assert (await operated.ask("GET", "/status")).json == {"state": "ready"}
    assert (await operated.ask("GET", "/pool")).json == {"containers": 2}
    count = await operated.ask("GET", "/pool/count")
    assert (count.body, count.headers["content-type"]) == (b"2", "text/plain; charset=UTF-8")
    assert (await operated.ask("GET", "/pool/containers")).json == [{"number": 1}, {"number": 2}]
    assert (await operated.ask("GET", "/pool/containers/1/story")).json == STORY
    missing = await operated.ask("GET", "/pool/containers/7/story")
    assert (missing.status, missing.error) == (404, "The requested resource does not exist.")


async def test_disable_and_enable(operated: Operated) -> None:
    said = []
    for path in ("disable", "disable", "enable", "enable"):
        reply = await operated.ask("POST", f"/{path}")
        enabled = await operated.ask("GET", "/isEnabled")
        assert reply.headers["content-type"] == enabled.headers["content-type"] == "text/plain; charset=UTF-8"
        said.append((reply.body.decode(), enabled.json))
    assert said == [
        ("invoker0 is now disabled.", {"enabled": False}),
        ("invoker0 is already disabled.", {"enabled": False}),
        ("invoker0 is now enabled.", {"enabled": True}),
        ("invoker0 is already enabled.", {"enabled": True}),
    ]


async def test_the_level_of_the_log(operated: Operated) -> None:
    assert (await operated.ask("GET", "/loglevel")).json == {"level": "info"}
    assert (await operated.ask("PUT", "/loglevel", json={"level": "WARN"})).json == {"level": "warning"}
    assert operated.machine.level == "warning"
    for wrong in ({"level": "loud"}, {"level": 3}, {}, ["debug"]):
        reply = await operated.ask("PUT", "/loglevel", json=wrong)
        assert reply.status == 400
        assert "log level" in reply.error
    assert operated.machine.level == "warning"


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("key", [None, "", "operator:", "operator:s3cret", f"{KEY}x", KEY[:-1], f"x{KEY}"])
async def test_nobody_else_may(operated: Operated, path: str, key: str | None) -> None:
    for method in (*ROUTES[path], "DELETE"):
        reply = await operated.ask(method, path.replace("{container}", "1"), key)
        assert (reply.status, reply.error) == (401, "The supplied authentication is invalid.")
        assert reply.headers["www-authenticate"].startswith("Basic ")
    assert not operated.machine.disabled


@pytest.mark.parametrize(
    "header", ["Basic", "Basic %%%", "Bearer abc", basic(KEY).replace("Basic", "Digest"), "Basic é"]
)
async def test_headers_that_are_none(operated: Operated, header: str) -> None:
    reply = await operated("GET", "/pool", user=None, headers={"Authorization": header})
    assert reply.status == 401


async def test_a_tenants_key_is_none(operated: Operated) -> None:
    await operated.add_subjects()
    assert (await operated("GET", "/pool", user="guest")).status == 401
    assert (await operated.ask("GET", "/api/v1/namespaces")).status == 401


@pytest.mark.parametrize("path", [*ROUTES, "/metrics", "/activation", "/activation/count", "/invokers"])
async def test_actions_do_not_even_see_that_it_is_there(operated: Operated, path: str) -> None:
    path = path.replace("{container}", "1")
    for method in ("GET", "POST", "PUT"):
        reply = await operated.from_inside(method, path)
        unknown = await operated.from_inside(method, "/bogus")
        assert (reply.status, reply.error) == (404, "The requested resource could not be found.")
        assert reply.headers.keys() == unknown.headers.keys()
    assert not operated.machine.disabled


async def test_actions_see_what_is_everybodys(operated: Operated) -> None:
    for path in ("/", "/ping", "/api/v1"):
        assert (await operated.from_inside("GET", path)).status == 200


async def test_other_methods_are_not_allowed(operated: Operated) -> None:
    reply = await operated.ask("GET", "/enable")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


async def test_without_an_operator_there_are_no_such_routes(api: Api) -> None:
    for path in ROUTES:
        assert (await api("GET", path, user=None)).status == 404
