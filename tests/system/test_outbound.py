"""Actions' way out of their networks, and where it does not lead (docs/adr/0002-sandbox.md, D15).

Root tries everything in networks of the test's own; `ordinary` has this file run again by an ordinary user in one of
them, once by pasta and once by slirp4netns. What only root has is tried in test_outbound_rules.py.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.networks import HOST, METADATA, PORT, WORLD, World, host_and_world, listening
from tests.system.ordinary.user import ROOT
from tests.unit.containers.calls import init, result, run, spec
from upcall.containers.process import ProcessContainers

GIVEN = "UPCALL_TEST_WORLD"
"""Set where the world has been made by whoever started these tests."""
pytestmark = pytest.mark.skipif(not ROOT and GIVEN not in os.environ, reason="only root makes networks for these tests")

REACH = """
import errno, socket
from concurrent.futures import ThreadPoolExecutor
def reach(address, port, kind="tcp", device=""):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(3)
    try:
        if device:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if kind == "broadcast":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.connect((address, port))
        if kind != "tcp":
            s.send(b"x")
        if kind == "broadcast":
            return "sent"
        return s.recv(100).decode()
    except TimeoutError:
        return "time-out"
    except OSError as error:
        return errno.errorcode[error.errno]
    finally:
        s.close()
def main(args):
    with ThreadPoolExecutor(len(args["calls"])) as threads:
        return {"seen": list(threads.map(lambda call: reach(*call), args["calls"]))}
"""
"""All of the calls at once, for some have to wait for their time-out."""
REFUSED = {"ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EACCES"}
LISTEN = """
import socket, threading
def main(args):
    server = socket.create_server(("0.0.0.0", 9000))
    def serve():
        while True:
            connection, _ = server.accept()
            connection.sendall(b"tenant")
            connection.close()
    threading.Thread(target=serve, daemon=True).start()
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect((args["world"], 1))
    return {"address": probe.getsockname()[0]}
"""


@pytest.fixture
def world() -> Iterator[None]:
    """Be on the host; in the end nothing of what may not go out has come to the world."""
    if not ROOT:
        yield
        return
    with host_and_world() as made:
        yield
        checked(made)


def checked(made: World) -> None:
    """Nothing of what may not go out has come there."""
    made.settle()
    assert not [to for to in made.destinations if to.startswith("169.254.") or int(to.split(".")[0]) > 223]


@pytest.fixture
async def driver(world: None, folder: Path) -> AsyncIterator[ProcessContainers]:
    made = ProcessContainers(folder, pids=64, network="private")
    await made.start()
    yield made
    await made.close()


async def reach(driver: ProcessContainers, *calls: tuple[Any, ...], tenant: str = "guest") -> list[str]:
    container = await driver.create(spec(tenant))
    try:
        seen: list[str] = (await result(container, REACH, {"calls": calls}))["seen"]
    finally:
        await container.destroy()
    return seen


async def test_the_world_is_reached_and_sees_the_hosts_address(driver: ProcessContainers) -> None:
    assert await reach(driver, (WORLD, PORT), (WORLD, PORT, "udp"), (WORLD, PORT, "tcp", "eth0")) == [HOST] * 3


async def test_what_nobody_listens_at_is_refused_by_the_world(driver: ProcessContainers) -> None:
    """By a time-out where it is Debian 12's pasta, whose answer the kernel does not take."""
    seen = await reach(driver, (WORLD, PORT + 1))
    assert seen == ["ECONNREFUSED"] or (os.environ.get(GIVEN) == "pasta" and seen == ["time-out"])


async def test_no_address_of_the_host_is_reached(driver: ProcessContainers) -> None:
    with listening() as port:
        assert (await reach(driver, (HOST, port)))[0] in REFUSED
        assert (await reach(driver, ("127.0.0.1", port)))[0] in REFUSED
        assert (await reach(driver, (HOST, port, "udp")))[0] in REFUSED
        listened = await reach(driver, (HOST, port, "tcp", "eth0"), ("127.0.0.1", port, "tcp", "eth0"))
    assert set(listened) <= REFUSED | {"time-out"}


async def test_the_metadata_of_clouds_is_refused_by_rule(driver: ProcessContainers) -> None:
    """The address is the world's here: without a rule it would answer."""
    seen = await reach(driver, (METADATA, PORT), (METADATA, PORT, "udp"))
    assert set(seen) <= REFUSED
    seen = await reach(driver, (METADATA, PORT, "tcp", "eth0"), (METADATA, PORT, "udp", "eth0"))
    assert set(seen) <= REFUSED | {"time-out"}


async def test_nothing_is_sent_to_many_at_once(driver: ProcessContainers) -> None:
    everybody = ("224.0.0.1", "239.255.255.250", "255.255.255.255", "10.77.0.255")
    seen = await reach(driver, *((to, PORT, "broadcast", device) for to in everybody for device in ("", "eth0")))
    assert set(seen) <= REFUSED | {"sent"}
    assert await reach(driver, (WORLD, PORT)) == [HOST]  # what was sent has come by now, if it comes: see `world`


async def test_another_tenant_is_not_reached_nor_its_own_host(driver: ProcessContainers) -> None:
    server = await driver.create(spec("a"))
    address = (await result(server, LISTEN, {"world": WORLD}))["address"]
    assert await reach(driver, (address, 9000), tenant="a") == ["tenant"]
    seen = await reach(driver, (address, 9000), tenant="b")
    assert seen[0] in REFUSED


async def test_user_code_cannot_change_its_network(driver: ProcessContainers) -> None:
    code = """
import errno, socket, struct, subprocess
def raised(what):
    try:
        what()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
def netlink(kind, body):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    s.send(struct.pack("=IHHII", 16 + len(body), kind, 0x405, 1, 0) + body)
    return errno.errorcode[-struct.unpack_from("=i", s.recv(4096), 16)[0]]
def main(args):
    index = socket.if_nametoindex("eth0")
    return {
        "delete route": netlink(25, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0)),
        "add address": netlink(20, struct.pack("=BBBBi", 2, 32, 0, 0, index) + struct.pack("=HH4s", 8, 2, bytes(4))),
        "set down": netlink(16, struct.pack("=BxHiII", 0, 0, index, 0, 1)),
        "delete link": netlink(17, struct.pack("=BxHiII", 0, 0, index, 0, 0)),
        "raw": raised(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 17)),
        "packet": raised(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)),
        "transparent": raised(lambda: socket.socket().setsockopt(socket.IPPROTO_IP, 19, 1)),
        "forward": raised(lambda: open("/proc/sys/net/ipv4/ip_forward", "w")),
    }
"""
    seen = await result(await driver.create(spec()), code)
    assert seen.pop("forward") in ("EACCES", "EROFS", "EPERM")
    assert set(seen.values()) == {"EPERM"}, seen


async def test_a_tenant_that_comes_back_is_led_out_again(driver: ProcessContainers) -> None:
    for _ in range(5):
        assert await reach(driver, (WORLD, PORT)) == [HOST]


async def test_many_tenants_are_led_out_at_a_time(driver: ProcessContainers) -> None:
    containers = [await driver.create(spec(f"t{n}", memory=64)) for n in range(8)]
    for container in containers:
        assert (await init(container, REACH))[0] == 200
    for container in containers:
        assert await run(container, {"calls": [(WORLD, PORT)]}) == (200, {"seen": [HOST]})


async def test_without_a_network_nothing_is_reached(world: None, folder: Path) -> None:
    driver = ProcessContainers(folder, network="none")
    await driver.start()
    try:
        with listening() as port:
            seen = await reach(driver, (WORLD, PORT), (HOST, port), (METADATA, PORT), ("127.0.0.1", port))
    finally:
        await driver.close()
    assert seen == ["ENETUNREACH", "ENETUNREACH", "ENETUNREACH", "ECONNREFUSED"]


async def test_with_the_hosts_network_all_of_it_is_reached(
    world: None, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driver = ProcessContainers(folder, network="host", api_host="http://127.0.0.1:1", serve_api=lambda _: None)  # type: ignore[arg-type, return-value]
    await driver.start()
    code = "import os\ndef main(args): return {'host': os.environ['__OW_API_HOST']}"
    try:
        with listening() as port:
            seen = await reach(driver, (WORLD, PORT), (HOST, port), ("127.0.0.1", port))
        assert await result(await driver.create(spec()), code) == {"host": "http://127.0.0.1:1"}
    finally:
        await driver.close()
    assert seen == [HOST, "host", "host"]
    assert "actions share the network of this host" in caplog.text


of_user = pytest.mark.skipif(ROOT, reason="of the ordinary user")


@of_user
async def test_the_program_ends_with_the_platform_and_with_the_tenant(driver: ProcessContainers) -> None:
    container = await driver.create(spec())
    children = programs()
    assert children
    assert {name.split(".")[0].replace("passt", "pasta") for name in children.values()} == {os.environ[GIVEN]}
    await container.destroy()
    await driver.close()
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


KILLED = """
import asyncio, sys
from pathlib import Path
from tests.system.test_outbound import programs
from tests.unit.containers.calls import spec
from upcall.containers.process import ProcessContainers
async def main():
    driver = ProcessContainers(Path(sys.argv[1]), network="private")
    await driver.start()
    await driver.create(spec())
    print(*programs(), flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@of_user
async def test_the_programs_own_addresses_do_not_stand_for_the_host(driver: ProcessContainers) -> None:
    """Both programs have a way to the host's loopback by their gateway, which is closed."""
    network = driver._outbound._network  # type: ignore[attr-defined]
    with listening() as port:
        seen = await reach(driver, *((str(network[n]), port) for n in (0, 256, 257, 258, 259, 356)))
    assert set(seen) <= REFUSED | {"time-out"}


@of_user
def test_no_program_outlives_a_killed_platform(folder: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE)
    assert killed.stdout is not None
    pids = killed.stdout.readline().split()
    assert pids
    killed.kill()
    killed.communicate()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{int(pid)}").exists() for pid in pids):
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.01)


@of_user
async def test_a_program_that_was_killed_is_started_again(driver: ProcessContainers) -> None:
    container = await driver.create(spec())
    assert (await init(container, REACH))[0] == 200
    before = programs()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while (await run(container, {"calls": [(WORLD, PORT)]}))[1] != {"seen": [HOST]}:
        assert time.monotonic() < deadline
    assert not set(before) & set(programs())


@of_user
async def test_a_program_that_does_not_start_fails_no_activation(
    driver: ProcessContainers, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver._outbound, "_program", "/usr/bin/false")
    for tenant in ("a", "b", "c"):  # the spare one is led out already
        last = await reach(driver, (WORLD, PORT), tenant=tenant)
    assert last[0] in REFUSED | {"time-out"}
    assert caplog.text.count("a tenant's network has no way out: false does not start") == 1


def programs() -> dict[int, str]:
    """Our children that speak for networks, by pid."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        for pid in map(int, (task / "children").read_text().split()):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            if name.startswith(("passt", "pasta", "slirp")):
                found[pid] = name
    return found
