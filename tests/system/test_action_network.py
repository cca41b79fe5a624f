"""What actions find in their network: the API, DNS, and nobody else's ports (docs/DESIGN.md D15).

Run by root, and by `ordinary` again as an ordinary user.
"""

import asyncio
import http.client
import json
import os
import signal
import socket
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.api.platform import Platform as Edge
from tests.system.networks import own_network
from tests.system.serving import Platform, running
from tests.system.test_sandbox_life import child_of
from tests.unit.containers.calls import result, spec
from tests.unit.containers.resolver import Resolver, ask_for, resolving
from upcall.containers.process import ProcessContainers
from upcall.containers.sandbox.question import REFUSED, SERVER_FAILURE, reply
from upcall.controller.doors import CONNECTIONS
from upcall.controller.subjects import ensure_subject
from upcall.store.sqlite import SqliteStore

ANY_NETWORK = {"UPCALL_ACTION_NETWORK": ""}
WITH_KEY = [{"key": "provide-api-key", "value": True}]
CALL = """
import base64, json, os, urllib.error, urllib.request
def call(path, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(os.environ["__OW_API_HOST"] + path, data, method=method)
    if "__OW_API_KEY" in os.environ:
        key = base64.b64encode(os.environ["__OW_API_KEY"].encode()).decode()
        request.add_header("Authorization", "Basic " + key)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request) as response:
            return [response.status, response.read().decode()]
    except urllib.error.HTTPError as error:
        with error:
            return [error.code, error.read().decode()]
def main(args):
    return {"host": os.environ["__OW_API_HOST"], "seen": [call(*each) for each in args["calls"]]}
"""
NESTED = ["/api/v1/namespaces/_/actions/double?blocking=true&result=true", {"n": 21}]
DOUBLE = "def main(args): return {'n': args['n'] * 2}"


@pytest.fixture(scope="module")
def resolver() -> Iterator[Resolver]:
    with resolving() as made:
        yield made


@pytest.fixture(scope="module")
def platform(resolver: Resolver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Actions here have no network but their own."""
    with running(tmp_path_factory.mktemp("network") / "data", "--dns", resolver.text) as made:
        made.create("double", DOUBLE)
        made.create("call", CALL, annotations=WITH_KEY)
        yield made


def outside(platform: Platform, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=60)
    key = b64encode(platform.auth.encode()).decode()
    connection.request("GET", path, headers={"Authorization": f"Basic {key}"})
    status = connection.getresponse().status
    connection.close()
    return status


def ended(platform: Platform, activation: str) -> Any:
    """The record, once there is one."""
    deadline = time.monotonic() + 30
    while (answer := platform.call("GET", f"activations/{activation}")).status != 200:
        assert time.monotonic() < deadline, answer.body
        time.sleep(0.05)
    return answer.body


def results(platform: Platform, name: str, arguments: Any = None) -> Any:
    answer = platform.invoke(name, arguments, "blocking=true&result=true")
    assert answer.status == 200, answer.body
    return answer.body


def test_an_action_invokes_another_and_has_its_result(platform: Platform) -> None:
    seen = results(platform, "call", {"calls": [NESTED]})
    assert seen == {"host": "http://192.0.2.1", "seen": [[200, '{"n":42}']]}


def test_many_at_a_time_do(platform: Platform) -> None:
    with ThreadPoolExecutor(10) as pool:
        seen = list(pool.map(lambda _: results(platform, "call", {"calls": [NESTED] * 3}), range(20)))
    assert [each["seen"] for each in seen] == [[[200, '{"n":42}']] * 3] * 20


def test_without_its_key_an_action_is_a_stranger(platform: Platform) -> None:
    platform.create("stranger", CALL)
    ((status, _),) = results(platform, "stranger", {"calls": [NESTED]})["seen"]
    assert status == 401


def test_inside_there_is_what_there_is_outside_but_for_the_operators_routes(platform: Platform) -> None:
    paths = ["/", "/ping", "/api/v1", "/api/v1/namespaces", "/api/v1/nonsense"]
    operators = ["/metrics", "/invokers", "/pool", "/status", "/activation"]
    inside = results(platform, "call", {"calls": [[path] for path in (*paths, *operators)]})["seen"]
    assert [status for status, _ in inside[: len(paths)]] == [outside(platform, path) for path in paths]
    assert inside[3] == [200, '["guest"]']
    assert {status for status, _ in inside[len(paths) :]} == {404}
    assert 404 not in {outside(platform, path) for path in operators}


def test_an_action_that_fills_the_pool_with_its_own_call_ends_and_so_does_what_it_called(tmp_path: Path) -> None:
    """The called one cannot start before the caller ends: the caller gets an activation's id in time."""
    environment = {"UPCALL_LIMITS_BLOCKING_WAIT": "500 ms"}
    with running(tmp_path / "data", "--memory", "256 m", environment=environment) as platform:
        platform.create("double", DOUBLE)
        platform.create("call", CALL, annotations=WITH_KEY)
        record = platform.invoke("call", {"calls": [NESTED]}, "blocking=false").body["activationId"]
        ((status, text),) = ended(platform, record)["response"]["result"]["seen"]
        assert status == 202
        called = ended(platform, json.loads(text)["activationId"])
        assert called["response"]["result"] == {"n": 42}


def test_two_tenants_see_their_own_namespace_each(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)

    async def add_bob() -> str:
        async with SqliteStore(data / "upcall.db") as store:
            return await ensure_subject(store, "bob", None)

    bob = asyncio.run(add_bob())
    with running(data) as platform:
        calls = {"calls": [["/api/v1/namespaces"], ["/api/v1/namespaces/guest/actions"]]}
        for auth in (platform.auth, bob):
            action = {"exec": {"kind": "python:3", "code": CALL}, "annotations": WITH_KEY}
            assert platform.call("PUT", "actions/call", action, auth=auth).status == 200
        path = "actions/call?blocking=true&result=true"
        guests, bobs = [platform.call("POST", path, calls, auth=auth).body["seen"] for auth in (platform.auth, bob)]
    assert guests[0] == [200, '["guest"]']
    assert guests[1][0] == 200
    assert bobs[0] == [200, '["bob"]']
    assert bobs[1][0] == 403


MARK = """
import time
def main(args):
    status, _ = call("/api/v1/namespaces/_/actions/mark?overwrite=true", args["action"], "PUT")
    time.sleep(1)
    return {"status": status}
"""


def test_at_a_stop_a_call_from_inside_that_is_under_way_is_answered(tmp_path: Path) -> None:
    mark = {"exec": {"kind": "python:3", "code": DOUBLE}}
    nested = ["/api/v1/namespaces/_/actions/marking?blocking=true&result=true", {"action": mark}]
    with running(tmp_path / "data") as platform, ThreadPoolExecutor(1) as pool:
        platform.create("marking", CALL.partition("def main")[0] + MARK, annotations=WITH_KEY)
        platform.create("call", CALL, annotations=WITH_KEY)
        seen = pool.submit(results, platform, "call", {"calls": [nested]})
        while platform.call("GET", "actions/mark").status != 200:
            time.sleep(0.01)
        assert platform.stop() == 0
        assert seen.result()["seen"] == [[200, '{"status":200}']]


def test_without_isolation_the_address_is_the_real_one(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--isolation", "none", environment=ANY_NETWORK) as platform:
        platform.create("double", DOUBLE)
        platform.create("call", CALL, annotations=WITH_KEY)
        seen = results(platform, "call", {"calls": [NESTED]})
    assert seen == {"host": platform.url, "seen": [[200, '{"n":42}']]}


# --- names

LOOK_UP = """
import socket
def main(args):
    try:
        found = socket.getaddrinfo(args["name"], 80, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return {"failure": error.errno}
    return {"found": sorted({address for *_, (address, *_) in found})}
"""


ASK = """
import socket
def main(args):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(30)
        asking.sendto(bytes.fromhex(args["query"]), ("192.0.2.1", 53))
        return {"answer": asking.recv(512).hex()}
"""


@pytest.fixture
def named(tmp_path: Path) -> Iterator[tuple[Platform, Resolver]]:
    """A platform whose actions may look names up, in a network where it is alone with its resolver."""
    with own_network(), resolving() as resolver:
        options = ("--dns", resolver.text)
        with running(tmp_path / "named", *options, environment=ANY_NETWORK) as platform:
            platform.create("look", LOOK_UP)
            yield platform, resolver


def test_names_are_looked_up_by_udp_and_long_answers_by_tcp(named: tuple[Platform, Resolver]) -> None:
    platform, resolver = named
    assert results(platform, "look", {"name": "a.test"}) == {"found": ["198.51.100.7"]}
    assert resolver.seen
    assert resolver.seen_by_tcp == []
    assert results(platform, "look", {"name": "long.test"}) == {"found": ["198.51.100.7"]}
    assert resolver.seen_by_tcp


def test_the_name_localhost_is_no_question(named: tuple[Platform, Resolver]) -> None:
    platform, resolver = named
    assert "127.0.0.1" in results(platform, "look", {"name": "localhost"})["found"]
    assert resolver.seen == []


def test_where_nobody_answers_the_look_up_ends(named: tuple[Platform, Resolver]) -> None:
    platform, resolver = named
    platform.create("ask", ASK)
    resolver.close()
    assert results(platform, "look", {"name": "a.test"}) == {"failure": socket.EAI_AGAIN}
    answer = bytes.fromhex(results(platform, "ask", {"query": ask_for("a.test").hex()})["answer"])
    assert answer == reply(ask_for("a.test"), SERVER_FAILURE)


def test_without_network_questions_are_refused_and_go_nowhere(platform: Platform, resolver: Resolver) -> None:
    platform.create("look", LOOK_UP)
    platform.create("ask", ASK)
    answer = bytes.fromhex(results(platform, "ask", {"query": ask_for("a.test").hex()})["answer"])
    assert answer == reply(ask_for("a.test"), REFUSED)
    assert results(platform, "look", {"name": "a.test"}) == {"failure": socket.EAI_AGAIN}
    assert resolver.seen == []


def test_actions_that_share_the_hosts_network_have_the_real_address(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--action-network", "host") as platform:
        platform.create("double", DOUBLE)
        platform.create("call", CALL, annotations=WITH_KEY)
        seen = results(platform, "call", {"calls": [NESTED]})
    assert seen == {"host": platform.url, "seen": [[200, '{"n":42}']]}


# --- ports

TAKE = """
import socket
def attempt(kind, address, option):
    with socket.socket(socket.AF_INET, kind) as taken:
        try:
            if option:
                taken.setsockopt(socket.SOL_SOCKET, option, 1)
            taken.bind(tuple(address))
        except OSError as error:
            return error.errno
    return 0
def main(args):
    options = (0, socket.SO_REUSEADDR, socket.SO_REUSEPORT)
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    return {"seen": [attempt(k, a, o) for a in args["addresses"] for k in kinds for o in options]}
"""


def test_nobody_can_take_the_places_of_the_api_and_of_dns(platform: Platform) -> None:
    platform.create("take", TAKE)
    places = [[host, port] for host in ("192.0.2.1", "0.0.0.0", "127.0.0.1") for port in (53, 80)]
    assert results(platform, "take", {"addresses": places})["seen"] == [13] * 36
    assert results(platform, "take", {"addresses": [["192.0.2.1", 8080]]})["seen"] == [0] * 6


# --- the driver alone


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with Edge().run() as made:
        yield made


@pytest.fixture
async def driver(edge: Edge, folder: Path) -> AsyncIterator[ProcessContainers]:
    made = ProcessContainers(folder, serve_api=edge.doors.open)
    await made.start()
    yield made
    await made.close()


async def test_what_listens_hears_nobody_from_outside_of_the_network(folder: Path) -> None:
    """Also where a link leads to it: another tenant would be as near as the loopback."""
    seen: list[tuple[object, bytes]] = []

    def serve(listener: socket.socket) -> Callable[[], None]:
        device = listener.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
        seen.append((listener.getsockname(), device.rstrip(b"\0")))
        return listener.close

    driver = ProcessContainers(folder, serve_api=serve)
    await driver.start()
    await driver.close()
    assert set(seen) == {(("192.0.2.1", 80), b"lo")}


GET = """
import http.client
def main(args):
    connection = http.client.HTTPConnection("192.0.2.1", timeout=30)
    connection.request("GET", "/other")
    return {"said": connection.getresponse().read().decode()}
"""
SAID = {"said": '["GET","/other",0]'}


async def test_the_api_answers_again_when_the_zygote_was_killed(driver: ProcessContainers) -> None:
    container = await driver.create(spec())
    assert await result(container, GET) == SAID
    lost = asyncio.Event()
    container.lost = lost.set
    os.kill(int(child_of(driver.zygote_pid())), signal.SIGKILL)
    await lost.wait()
    assert await result(await driver.create(spec()), GET) == SAID


async def test_a_tenant_who_left_and_comes_back_is_served(driver: ProcessContainers) -> None:
    for _ in range(3):
        container = await driver.create(spec())
        assert await result(container, GET) == SAID
        await container.destroy()


HOLD = """
import socket
held = []
def main(args):
    held.extend(socket.create_connection(("192.0.2.1", 80), 10) for _ in range(args["count"]))
    return {"held": len(held)}
"""


async def test_a_tenant_with_all_its_connections_open_is_in_nobodys_way(driver: ProcessContainers, edge: Edge) -> None:
    greedy = await driver.create(spec("greedy"))
    assert await result(greedy, HOLD, {"count": CONNECTIONS + 50}) == {"held": CONNECTIONS + 50}
    assert await result(await driver.create(spec("other")), GET) == SAID
    assert len(await edge.connections(CONNECTIONS)) <= CONNECTIONS + 1
    await greedy.destroy()
    assert await result(await driver.create(spec("greedy")), GET) == SAID


async def test_nothing_of_the_api_is_left_of_a_tenant_who_has_gone(driver: ProcessContainers, edge: Edge) -> None:
    container = await driver.create(spec())
    await result(container, HOLD, {"count": 5})
    await edge.connections(5)
    await container.destroy()
    while edge.server._uvicorn.server_state.connections:
        await asyncio.sleep(0)
