"""Root's rules about actions' packets: what they refuse, whom they leave alone, and that they go (D6)."""

import asyncio
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.system.networks import HOST, PORT, WORLD, World, host_and_world, inside, namespace, output
from tests.system.ordinary.user import as_root
from tests.system.test_outbound import LISTEN, REACH, REFUSED, reach
from tests.unit.containers.calls import result, spec
from upcall.containers.process import ProcessContainers
from upcall.containers.sandbox import nft
from upcall.containers.sandbox.veth import Veth
from upcall.errors import Misconfigured
from upcall.runtimes.python.rtnetlink import Netlink

pytestmark = as_root
FORWARDING = Path("/proc/sys/net/ipv4/conf/up0/forwarding")


@pytest.fixture
def world() -> Iterator[World]:
    with host_and_world() as made:
        yield made


@pytest.fixture
async def driver(world: World, folder: Path) -> AsyncIterator[ProcessContainers]:
    made = ProcessContainers(folder, pids=64, network="private")
    await made.start()
    yield made
    await made.close()


def links() -> list[str]:
    return [name for _, name in socket.if_nameindex() if name.startswith("uc")]


def left() -> tuple[list[str], str, str]:
    """Links, our tables, routes that refuse, and the switch of the way to the world."""
    tables = [line for line in output("nft", "list", "tables").splitlines() if "upcall" in line]
    return links(), "".join(tables) + output("ip", "route", "show", "type", "prohibit"), FORWARDING.read_text().strip()


NOTHING: tuple[list[str], str, str] = ([], "", "0")


def called(address: str, port: int) -> str:
    """What becomes of a connection within a second."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        client.settimeout(1)
        try:
            client.connect((address, port))
        except TimeoutError:
            return "time-out"
        return "connected"


def datagram(source: str, to: str) -> bytes:
    """An IPv4 packet with a UDP datagram, and a source address of one's choice."""
    body = struct.pack(">HHHH", 1234, PORT, 12, 0) + b"fake"
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0)
    return head + socket.inet_aton(source) + socket.inet_aton(to) + body


def send_raw(fd: int, packets: list[bytes]) -> None:
    """As root in a tenant's network, which user code never is."""
    with inside(fd), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for packet in packets:
            raw.sendto(packet, (WORLD, 0))


def fd_of(driver: ProcessContainers, tenant: str) -> int:
    return driver._networks._held[tenant].fd


async def test_a_source_address_that_is_not_its_own_does_not_get_out(driver: ProcessContainers, world: World) -> None:
    container = await driver.create(spec())
    fd = fd_of(driver, "guest")
    with inside(fd), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((WORLD, 1))
        own = probe.getsockname()[0]
    world.sources.clear()
    send_raw(fd, [datagram(source, WORLD) for source in ("10.9.9.9", HOST, "100.96.200.1", "8.8.8.8")])
    world.settle()
    assert world.sources == {HOST}  # the mark's
    send_raw(fd, [datagram(own, WORLD)])
    assert (await result(container, REACH, {"calls": [(WORLD, PORT)]}))["seen"] == [HOST]
    world.settle()
    assert world.sources == {HOST}


async def test_ipv6_is_neither_had_nor_let_through(driver: ProcessContainers, world: World) -> None:
    code = """
import socket
def main(args):
    with open("/proc/net/if_inet6") as file:
        return {"addresses": [line.split()[-1] for line in file]}
"""
    container = await driver.create(spec())
    assert await result(container, code) == {"addresses": ["lo"]}
    assert "uc" not in Path("/proc/net/if_inet6").read_text()
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    add_ipv6("up0", "fd00:77::1")
    with inside(world.fd):
        add_ipv6("w0", "fd00:77::2")
        output("ip", "route", "add", "default", "via", "fd00:77::1")
        server = socket.create_server(("fd00:77::2", 80), family=socket.AF_INET6)
    with server:
        assert called("fd00:77::2", 80) == "connected"
        outer = route_to(fd_of(driver, "guest"))
        add_ipv6(outer, "fd00:78::1")
        there = hardware(outer)
        with inside(fd_of(driver, "guest")):  # as nobody in there could
            add_ipv6("eth0", "fd00:78::2")
            here = hardware("eth0")
            output("ip", "route", "add", "default", "via", "fd00:78::1")
            output("ip", "neigh", "add", "fd00:78::1", "lladdr", there, "dev", "eth0")
        output("ip", "neigh", "add", "fd00:78::2", "lladdr", here, "dev", outer)
        with inside(fd_of(driver, "guest")):
            assert called("fd00:77::2", 80) == "time-out"


def add_ipv6(link: str, address: str) -> None:
    output("ip", "addr", "add", f"{address}/64", "dev", link, "nodad")


def hardware(link: str) -> str:
    return output("ip", "link", "show", "dev", link).split("link/ether ")[1].split()[0]


def route_to(fd: int) -> str:
    """The host's end of a tenant's link."""
    with inside(fd), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((WORLD, 1))
        own = probe.getsockname()[0]
    return output("ip", "route", "get", own).split("dev ")[1].split()[0]


async def test_the_outside_does_not_reach_actions(driver: ProcessContainers, world: World) -> None:
    address = (await result(await driver.create(spec()), LISTEN, {"world": WORLD}))["address"]
    with inside(world.fd):
        with Netlink() as netlink:
            netlink.add_route(address, 32, socket.if_nametoindex("w0"), HOST)
        assert called(address, 9000) == "time-out"
    assert called(address, 9000) == "time-out"  # nor does another program of the host


async def test_the_host_does_not_become_a_router(driver: ProcessContainers, world: World) -> None:
    """Forwarding is on where it was off: from the world to a third network of the host nothing goes."""
    third = namespace()
    try:
        with Netlink() as netlink:
            index = netlink.add_veth("third", "t0", third)
            netlink.add_address(index, "10.78.0.1", 24)
            netlink.set_up(index)
        Path("/proc/sys/net/ipv4/conf/third/forwarding").write_text("1")
        with inside(third), Netlink() as netlink:
            index = socket.if_nametoindex("t0")
            netlink.add_address(index, "10.78.0.2", 24)
            netlink.set_up(index)
            netlink.add_route("0.0.0.0", 0, index, "10.78.0.1")
            server = socket.create_server(("10.78.0.2", 80))
        with server, inside(world.fd):
            with Netlink() as netlink:
                netlink.add_route("10.78.0.0", 24, socket.if_nametoindex("w0"), HOST)
            assert called("10.78.0.2", 80) == "time-out"
    finally:
        os.close(third)
    assert FORWARDING.read_text() == "1\n"


async def test_networks_that_the_host_keeps_for_containers_are_refused(driver: ProcessContainers) -> None:
    """Also by a port of the host that is passed on to one, as Docker publishes them."""
    box = namespace()
    try:
        output("ip", "link", "add", "docker0", "type", "bridge")
        output("ip", "addr", "add", "172.17.0.1/16", "dev", "docker0")
        output("ip", "link", "set", "docker0", "up")
        with Netlink() as netlink:
            index = netlink.add_veth("box", "b0", box)
            netlink.set_up(index)
        output("ip", "link", "set", "box", "master", "docker0")
        with inside(box), Netlink() as netlink:
            index = socket.if_nametoindex("b0")
            netlink.add_address(index, "172.17.0.2", 16)
            netlink.set_up(index)
            netlink.add_route("0.0.0.0", 0, index, "172.17.0.1")
            server = socket.create_server(("172.17.0.2", 80))
        Path("/proc/sys/net/ipv4/conf/docker0/forwarding").write_text("1")
        output("nft", "add table ip passing; add chain ip passing in { type nat hook prerouting priority dstnat; }")
        output("nft", f"add rule ip passing in ip daddr {HOST} tcp dport 8080 dnat to 172.17.0.2:80")
        output("nft", f"add rule ip passing in ip daddr {HOST} tcp dport 8081 dnat to {WORLD}:{PORT}")
        with server:
            seen = await reach(driver, ("172.17.0.2", 80), (HOST, 8080), ("172.17.0.1", 80), (HOST, 8081))
    finally:
        os.close(box)
    assert seen == ["ECONNREFUSED"] * 4


async def test_dockers_policy_is_not_in_the_way_and_its_chain_is_left_as_it_was(world: World, folder: Path) -> None:
    for command in ("-P FORWARD DROP", "-N DOCKER-USER", "-A DOCKER-USER -j RETURN", "-I FORWARD -j DOCKER-USER"):
        output("iptables", *command.split())
    before = output("iptables", "-S")
    driver = ProcessContainers(folder, network="private")
    await driver.start()
    try:
        assert await reach(driver, (WORLD, PORT), (WORLD, PORT, "udp")) == [HOST] * 2
        server = await driver.create(spec("a"))
        address = (await result(server, LISTEN, {"world": WORLD}))["address"]
        assert (await reach(driver, (address, 9000), tenant="b"))[0] in REFUSED
    finally:
        await driver.close()
    assert output("iptables", "-S") == before


async def test_an_orderly_end_leaves_nothing(world: World, folder: Path) -> None:
    assert left() == NOTHING
    driver = ProcessContainers(folder, network="private")
    await driver.start()
    await driver.create(spec())
    assert len(links()) >= 1
    assert left()[1:] != NOTHING[1:]
    await driver.close()
    assert left() == NOTHING
    assert [path.name for path in folder.iterdir()] == ["lock"]


KILLED = """
import asyncio, os, sys
from pathlib import Path
from tests.unit.containers.calls import spec
from upcall.containers.process import ProcessContainers
async def main():
    driver = ProcessContainers(Path(sys.argv[1]), network="private")
    await driver.start()
    await driver.create(spec())
    print("up", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.parametrize("network", ["private", "none", "host"])
async def test_a_killed_platforms_leavings_go_with_the_next_start(world: World, folder: Path, network: str) -> None:
    output("iptables", "-N", "DOCKER-USER")
    killed = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE)
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"up\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert left()[1:] != NOTHING[1:]
    with Netlink() as netlink:  # one whose namespace is still held by somebody
        held = namespace()
        name = Veth(None, folder, None, None)._prefix + "7ffe"  # type: ignore[arg-type]
        netlink.add_veth(name, "eth0", held)
    driver = ProcessContainers(folder, network=network)  # type: ignore[arg-type]
    await driver.start()
    assert name not in links()
    await driver.close()
    os.close(held)
    assert left() == NOTHING
    assert output("iptables", "-S", "DOCKER-USER") == "-N DOCKER-USER\n"


async def test_two_platforms_are_in_nobodys_way(driver: ProcessContainers, tmp_path: Path) -> None:
    other = ProcessContainers(tmp_path / "up", network="private")
    await other.start()
    server = await other.create(spec())
    address = (await result(server, LISTEN, {"world": WORLD}))["address"]
    assert await reach(driver, (address, 9000)) == ["time-out"]
    await other.close()
    assert await reach(driver, (WORLD, PORT)) == [HOST]


async def test_platforms_that_start_at_a_time_have_ranges_of_their_own(world: World, tmp_path: Path) -> None:
    drivers = [ProcessContainers(tmp_path / f"up{n}", network="private") for n in range(4)]
    await asyncio.gather(*(driver.start() for driver in drivers))
    assert len({driver._outbound._network for driver in drivers}) == 4  # type: ignore[attr-defined]
    assert [await reach(driver, (WORLD, PORT)) for driver in drivers] == [[HOST]] * 4
    for driver in drivers:
        await driver.close()
    assert left() == NOTHING


async def test_what_was_switched_on_by_others_stays_on(world: World, folder: Path) -> None:
    FORWARDING.write_text("1")
    driver = ProcessContainers(folder, network="private")
    await driver.start()
    assert await reach(driver, (WORLD, PORT)) == [HOST]
    await driver.close()
    assert left() == ([], "", "1")


async def test_a_host_without_nftables_is_told_so(
    world: World, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bwrap").symlink_to("/usr/bin/bwrap")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(nft, "SYSTEM", "")
    with pytest.raises(Misconfigured) as raised:
        await ProcessContainers(folder, network="private").start()
    assert str(raised.value) == (
        "--action-network private cannot be had: nft is missing, which makes the rules for actions' links: "
        "apt-get install nftables."
    )
    driver = ProcessContainers(folder, network=None)
    with caplog.at_level(logging.WARNING):
        await driver.start()
    assert "actions reach the API and DNS alone, and no other network: nft is missing" in caplog.text
    assert await reach(driver, (WORLD, PORT)) == ["ENETUNREACH"]
    await driver.close()
    monkeypatch.undo()
    assert left() == NOTHING


async def test_a_range_that_the_host_has_a_route_to_is_not_used(world: World, folder: Path) -> None:
    with Netlink() as netlink:
        netlink.add_route("100.96.0.0", 12, socket.if_nametoindex("up0"), WORLD)
    driver = ProcessContainers(folder, network=None)
    await driver.start()
    address = (await result(await driver.create(spec()), LISTEN, {"world": WORLD}))["address"]
    await driver.close()
    assert address.startswith("198.18.")
