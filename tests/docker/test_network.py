"""What containers reach: the API on the bridge and the world; nothing else of the host, no neighbour (D15)."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.hostile import REFUSED, bridging, hostile, network, of, own_addresses
from tests.system.engine import Engine
from tests.system.networks import HOST, METADATA, PORT, WORLD, World, a_world, listening, output
from upcall.containers.docker.rules import CALLS

SHOWN = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


@pytest.fixture
def around(inside: Engine) -> Iterator[World]:
    with a_world() as made:
        yield made


@pytest.fixture(params=["1", "0"], ids=["with br_netfilter", "without"])
def shown(inside: Engine, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whether the kernel shows packets between neighbours to the rules for routers."""
    before = SHOWN.read_text()
    SHOWN.write_text(request.param)
    yield
    SHOWN.write_text(before)


@contextlib.contextmanager
def redirecting(*match: str) -> Iterator[None]:
    """The host redirects what comes in to the world, as it does published ports."""
    rule = ["PREROUTING", "-t", "nat", *match, "-j", "DNAT", "--to-destination", f"{WORLD}:{PORT}"]
    output("iptables", "-I", *rule)
    try:
        yield
    finally:
        output("iptables", "-D", *rule)


@contextlib.contextmanager
def answering(address: str, port: int) -> Iterator[None]:
    """A server of UDP, as a resolver is one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, port))

        def answer() -> None:
            while (received := server.recvfrom(16))[0]:
                server.sendto(b"resolver", received[1])

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"", (address, port))
            thread.join(10)


async def test_the_api_is_reached_and_no_address_of_the_host_besides(inside: Engine, around: World) -> None:
    with listening() as port:
        async with bridging(inside) as bridge:
            with of(bridge, inside) as container:
                assert await container.get("/api/v1") == "api"
                assert len(own_addresses()) == 2
                calls = [(address, port, kind) for address in own_addresses() for kind in ("tcp", "udp")]
                assert await container.seen(*calls, ("127.0.0.1", port, "tcp")) == [REFUSED] * 5


async def test_the_world_is_reached_and_metadata_are_not(inside: Engine, around: World) -> None:
    async with bridging(inside) as bridge:
        with of(bridge, inside) as container:
            assert await container.seen((WORLD, PORT, "tcp"), (WORLD, PORT, "udp")) == [HOST, HOST]
            assert await container.seen((METADATA, PORT, "tcp"), (METADATA, PORT, "udp")) == [REFUSED, REFUSED]
            around.settle()
            assert METADATA not in around.destinations


async def test_neighbours_are_refused_at_once_whoever_they_are(inside: Engine, shown: None) -> None:
    async with bridging(inside) as bridge:
        with of(bridge, inside) as container, of(bridge, inside) as ours, hostile(inside) as another:
            calls = [(each.address, 8080, "open") for each in (ours, another)]
            assert await container.seen(*calls) == [REFUSED, REFUSED]
            assert await another.seen((ours.address, 8080, "open")) == ["time-out"]


async def test_what_is_said_to_everybody_is_heard_by_no_neighbour(inside: Engine, shown: None) -> None:
    async with bridging(inside) as bridge:
        with of(bridge, inside) as container, of(bridge, inside) as ours, hostile(inside) as another:
            for each in (ours, another):
                await each.hear(9999)
            await container.shout("hostile", 9999)
            with hostile(inside) as stranger:
                await stranger.shout("control", 9999)
            assert set(await another.heard()) == {"control"}
            assert set(await ours.heard()) == {"control"}


async def test_in_a_network_of_the_operator_others_are_there_on_purpose(inside: Engine, shown: None) -> None:
    with network(inside, "made"):
        async with bridging(inside, network="made") as bridge:
            made = (of(bridge, inside, "made"), of(bridge, inside, "made"), hostile(inside, network="made"))
            with made[0] as container, made[1] as ours, made[2] as another:
                assert await container.get("/") == "api"
                assert await container.seen((ours.address, 8080, "open")) == [REFUSED]
                assert await container.seen((another.address, 8080, "open")) == ["open"]


async def test_what_other_containers_publish_at_the_host_is_refused(inside: Engine, around: World) -> None:
    published: dict[str, Any] = {"PortBindings": {"8080/tcp": [{"HostPort": "8123"}]}}
    with hostile(inside, **published), network(inside, "made"):
        with socket.create_connection((HOST, 8123)):
            pass
        for name in ("bridge", "made"):
            async with bridging(inside, network=name) as bridge:
                with of(bridge, inside, name) as container:
                    calls = [(address, 8123, "open") for address in own_addresses()]
                    assert await container.seen(*calls) == [REFUSED] * len(calls)


async def test_resolvers_are_reached_where_they_are_the_hosts_own(inside: Engine, around: World) -> None:
    async with bridging(inside, dns_servers=(HOST, METADATA)) as bridge:
        with of(bridge, inside) as container, answering(HOST, 53), answering(HOST, 54):
            assert await container.seen((HOST, 53, "udp"), (HOST, 54, "udp")) == ["resolver", REFUSED]
            await container.seen((METADATA, 53, "udp"))
            around.settle()
            assert METADATA in around.destinations


async def test_a_resolver_may_be_a_container_that_the_host_redirects_to(inside: Engine, around: World) -> None:
    async with bridging(inside, dns_servers=(HOST,)) as bridge:
        with of(bridge, inside) as container, redirecting("-p", "udp", "-m", "multiport", "--dports", "53,54"):
            assert await container.seen((HOST, 53, "udp"), (HOST, 54, "udp")) == [HOST, REFUSED]


async def test_what_the_host_redirects_for_others_is_the_api_or_refused(inside: Engine, around: World) -> None:
    local = ["-p", "tcp", "-m", "addrtype", "--dst-type", "LOCAL"]
    other = ["-p", "tcp", "-d", "10.96.0.1"]
    with redirecting(*local), redirecting(*other):
        async with bridging(inside) as bridge:
            with of(bridge, inside) as container, hostile(inside) as another:
                assert await container.get("/") == "api"
                gateway = bridge.api_host.removeprefix("http://")
                calls = [(HOST, 80, "tcp"), (gateway, 81, "tcp"), ("10.96.0.1", 443, "tcp")]
                assert await another.seen(*calls) == [HOST] * 3
                assert (await container.seen(*calls))[:2] == [REFUSED] * 2
                assert await container.seen(calls[2]) != [HOST]


async def test_one_container_cannot_hold_all_connections_to_the_api(inside: Engine) -> None:
    async with bridging(inside) as bridge:
        with of(bridge, inside) as container, of(bridge, inside) as ours:
            gateway = bridge.api_host.removeprefix("http://")
            assert await container.hold(gateway, 80, CALLS + 2) == ["open"] * CALLS + [REFUSED] * 2
            assert await ours.get("/") == "api"
            assert [await ours.get("/") for _ in range(CALLS + 2)] == ["api"] * (CALLS + 2)


async def test_an_address_that_another_had_before_is_reached_at_once(inside: Engine) -> None:
    async with bridging(inside) as bridge:
        with of(bridge, inside):
            with of(bridge, inside) as before:
                had = before.address
            with of(bridge, inside) as after:
                assert after.address == had
            with hostile(inside) as anybody:
                assert anybody.address == had
            with of(bridge, inside) as after:
                assert after.address == had


async def test_an_api_with_an_address_of_its_own_is_let_through(inside: Engine, around: World) -> None:
    with listening() as port, listening() as other:
        async with bridging(inside, api_host=f"http://{HOST}:{port}") as bridge:
            assert bridge.api_host == f"http://{HOST}:{port}"
            with of(bridge, inside) as container:
                gateway = own_addresses()[0]
                calls = [(HOST, port, "tcp"), (HOST, other, "tcp"), (gateway, port, "tcp")]
                assert await container.seen(*calls) == ["host", REFUSED, REFUSED]


async def test_without_a_network_there_is_the_api_alone(inside: Engine, around: World) -> None:
    with network(inside, "made"), answering(HOST, 53):
        async with bridging(inside, "none", network="made", dns_servers=(HOST,)) as bridge:
            with of(bridge, inside, "made") as container, hostile(inside, network="made") as another:
                assert await container.get("/") == "api"
                calls = [(WORLD, PORT, "tcp"), (another.address, 8080, "open"), (HOST, 53, "udp")]
                assert await container.seen(*calls) == [REFUSED] * 3


async def test_who_may_not_ask_for_names_does_not_find_an_api_by_its_name(
    inside: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    async with bridging(inside, "none", api_host="http://localhost:3233"):
        assert "--api-host http://localhost:3233: actions without a network cannot ask for names" in caplog.text
        caplog.clear()
    async with bridging(inside, "none", api_host="http://10.0.0.1:3233"):
        assert "names" not in caplog.text


async def test_with_the_hosts_network_nothing_is_refused(
    inside: Engine, around: World, caplog: pytest.LogCaptureFixture
) -> None:
    with listening() as port:
        async with bridging(inside, "host") as bridge:
            with of(bridge, inside) as container, of(bridge, inside) as ours:
                calls = [(HOST, port, "tcp"), (ours.address, 8080, "open"), (WORLD, PORT, "tcp")]
                assert await container.seen(*calls) == ["host", "open", HOST]
                assert await container.get("/") == "api"
    assert "reach what listens on this host, and each other" in caplog.text


async def test_ipv6_of_the_host_and_of_neighbours_is_refused(inside: Engine, around: World) -> None:
    output("ip", "-6", "route", "add", "default", "dev", "up0")
    config = {"Config": [{"Subnet": "172.31.9.0/24"}, {"Subnet": "fd00:9::/64", "Gateway": "fd00:9::1"}]}
    with network(inside, "six", EnableIPv6=True, IPAM=config):
        server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        port = server.getsockname()[1]
        async with bridging(inside, network="six") as bridge:
            with server, of(bridge, inside, "six") as container, of(bridge, inside, "six") as ours:
                await ours.listen(8081)
                calls = [("fd00:9::1", port, "open"), (ours.address6, 8081, "open"), ("fd00:ec2::254", 80, "open")]
                while "time-out" in (seen := await container.seen(*calls)):
                    await asyncio.sleep(0.1)  # nobody hears an address while it is seen to that no other has it
                assert seen == [REFUSED] * 3
                assert await container.get("/") == "api"
                with hostile(inside, network="six") as another:
                    assert await another.seen(*calls[:2]) == ["open", "open"]
