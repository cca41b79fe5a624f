"""The API's listener on the containers' network: where it is, and that it follows the network."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import pytest

from tests.docker.hostile import REFUSED, bridging, hostile, network, of, own_addresses
from tests.system import networks
from tests.system.engine import Engine, engine_of_its_own, required
from tests.system.networks import HOST, a_world, listening, output
from upcall.containers.docker import bridge as bridges


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not what():
            await asyncio.sleep(0.01)


def reached(address: str, port: int = 80) -> bool:
    """From the host itself."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
        return True
    return False


async def test_from_elsewhere_it_is_not_reached(inside: Engine) -> None:
    with a_world() as around, listening() as port:
        async with bridging(inside) as bridge:
            (gateway,) = (each for each in own_addresses() if each != HOST)
            assert bridge.api_host == f"http://{gateway}"
            with networks.inside(around.fd):
                output("ip", "route", "add", gateway, "via", HOST)
                assert reached(gateway, port)
                assert not reached(gateway)


async def test_a_port_that_somebody_has_is_left_to_him(inside: Engine) -> None:
    with socket.create_server(("0.0.0.0", 80)):
        async with bridging(inside) as bridge:
            gateway, _, port = bridge.api_host.removeprefix("http://").partition(":")
            assert int(port) > 1024
            with of(bridge, inside) as container:
                assert await container.get("/") == "api"
                assert await container.seen((gateway, 80, "open")) == [REFUSED]


async def test_it_follows_a_network_that_is_made_anew(
    inside: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bridges, "LOOK", 0.02)
    elsewhere = {"Name": "made", "IPAM": {"Config": [{"Subnet": "10.9.8.0/24"}]}}
    with network(inside, "made"):
        async with bridging(inside, network="made") as bridge:
            with of(bridge, inside, "made") as container:
                assert await container.get("/") == "api"
            inside.call("DELETE", "/networks/made")
            await until(lambda: "no network 'made': make it" in caplog.text)
            inside.call("POST", "/networks/create", elsewhere)
            await until(lambda: bridge.api_host == "http://10.9.8.1")
            assert caplog.text.count("no network 'made'") == 1
            with of(bridge, inside, "made") as container, of(bridge, inside, "made") as ours:
                assert await container.get("/") == "api"
                assert await container.seen((ours.address, 8080, "open"), ("10.9.8.1", 81, "open")) == [REFUSED] * 2


async def test_it_follows_an_engine_that_comes_back_with_other_addresses(request: pytest.FixtureRequest) -> None:
    required(request)
    with engine_of_its_own() as engine, engine.inside():
        async with bridging(engine) as bridge:
            engine.stop()
            engine.start("--bip=10.9.7.1/24")
            await bridge.refresh()
            assert bridge.api_host == "http://10.9.7.1"
            with of(bridge, engine) as container, hostile(engine) as another:
                assert await container.get("/") == "api"
                assert await container.seen((another.address, 8080, "open"), ("10.9.7.1", 81, "open")) == [REFUSED] * 2
