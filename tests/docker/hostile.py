"""A container whose code tries what it should not, by hand, and what is around it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from tests.docker.contained import READY, Contained, contained
from tests.system.engine import Engine
from upcall.containers.docker.bridge import Bridge
from upcall.containers.docker.engine import Engine as Client
from upcall.containers.docker.options import DockerOptions
from upcall.containers.sandbox.ways import Reach
from upcall.runtimes.python.rtnetlink import Netlink

CODE = """
import errno, os, select, socket, urllib.request

def asked(client):
    for _ in range(8):  # the kernel may send one refusal a second
        client.send(b"?")
        try:
            return client.recv(1024).decode()
        except TimeoutError:
            continue
    return "time-out"

def called(address, port, kind):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as client:
        client.settimeout(0.5 if kind == "udp" else 2)
        try:
            client.connect((address, port))
            if kind == "udp":
                return asked(client)
            return client.recv(1024).decode() if kind == "tcp" else "open"
        except TimeoutError:
            return "time-out"
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))

def held(address, port):
    try:
        return socket.create_connection((address, port), 2)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))

servers = []

def heard():
    seen = []
    while select.select(servers, [], [], 0)[0]:
        seen.append(servers[0].recv(1024).decode())
    return seen

def shout(text, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for everybody in ("224.0.0.1", "255.255.255.255", "172.17.255.255"):
            client.sendto(text.encode(), (everybody, port))

def main(args):
    if "hear" in args:
        servers.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        servers[0].bind(("", args["hear"]))
        return {"seen": []}
    if "heard" in args:
        return {"seen": heard()}
    if "shout" in args:
        return {"seen": shout(*args["shout"])}
    if "listen" in args:
        servers.append(socket.create_server(("::", args["listen"]), family=socket.AF_INET6))
        return {"seen": "listening"}
    if "hold" in args:
        seen = [held(*args["hold"]) for _ in range(args["count"])]
        servers.extend(seen)
        return {"seen": [each if isinstance(each, str) else "open" for each in seen]}
    if "get" in args:
        with urllib.request.urlopen(os.environ["__OW_API_HOST"] + args["get"], timeout=5) as answer:
            return {"seen": answer.read().decode()}
    return {"seen": [called(*each) for each in args["calls"]]}
"""
REFUSED = "ECONNREFUSED"


class Hostile:
    """Of one container."""

    def __init__(self, container: Contained) -> None:
        self._container = container
        self.address = container.address
        self.address6 = str(container.network["GlobalIPv6Address"])

    async def seen(self, *calls: tuple[str, int, str]) -> list[str]:
        """What becomes of calls, each of address, port and `tcp`, `udp` or `open` (whose server says nothing)."""
        return list((await self._run({"calls": list(calls)}))["seen"])

    async def listen(self, port: int) -> None:
        """At its own addresses, IPv6 too."""
        await self._run({"listen": port})

    async def hold(self, address: str, port: int, count: int) -> list[str]:
        """What becomes of so many connections at a time; those that are had stay for its life."""
        return list((await self._run({"hold": [address, port], "count": count}))["seen"])

    async def hear(self, port: int) -> None:
        """Datagrams to it, from now on."""
        await self._run({"hear": port})

    async def heard(self) -> list[str]:
        """Those since the last call."""
        return list((await self._run({"heard": True}))["seen"])

    async def shout(self, text: str, port: int) -> None:
        """To everybody on the default network."""
        await self._run({"shout": [text, port]})

    async def get(self, path: str) -> str:
        return str((await self._run({"get": path}))["seen"])

    async def _run(self, value: dict[str, Any]) -> dict[str, Any]:
        status, answer = await asyncio.to_thread(self._container.run, value)
        assert status == 200, answer
        return dict(answer)


@contextlib.contextmanager
def hostile(
    engine: Engine, network: str = "bridge", api_host: str = "", bridge: Bridge | None = None, **host: Any
) -> Iterator[Hostile]:
    """As the driver makes containers, as far as their network goes; without a bridge somebody else's."""
    image = next(name for name in engine.images() if name.startswith("upcall/python:"))
    mac = bridge.take_mac() if bridge else ""
    url = bridge.api_host if bridge else api_host
    config: dict[str, Any] = {"Env": [f"__OW_API_HOST={url}"]} | ({"MacAddress": mac} if mac else {})
    limits = {"NetworkMode": network, "CapDrop": ["NET_RAW", "NET_ADMIN"], **host}
    with contained(engine, image, host=limits, **config) as container:
        if bridge:
            bridge.meet(container.address, mac)
        assert container.init(CODE) == READY
        yield Hostile(container)
    if bridge:
        bridge.give_back(mac)


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\napi"


def serve_api(listener: socket.socket) -> Callable[[], None]:
    """Answers everybody."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
        except asyncio.IncompleteReadError:
            pass  # it came only to see whether it may
        finally:
            writer.close()

    listener.setblocking(False)
    task = asyncio.get_running_loop().create_task(asyncio.start_server(answer, sock=listener))

    def close() -> None:
        if task.done():
            task.result().close()
        else:
            task.cancel()
            listener.close()

    return close


@contextlib.asynccontextmanager
async def bridging(
    engine: Engine, reach: Reach | None = "private", owner: str = "tests", **options: Any
) -> AsyncIterator[Bridge]:
    """What a platform makes of the engine's network."""
    made = DockerOptions(host=engine.url, **options)
    client = Client(made)
    await client.start()
    bridge = Bridge(client, made, owner=owner, reach=reach, serve_api=serve_api)
    try:
        await bridge.start()
        yield bridge
    finally:
        await bridge.close()
        await client.close()


def of(bridge: Bridge, engine: Engine, network: str = "bridge") -> contextlib.AbstractContextManager[Hostile]:
    """A container of a platform."""
    return hostile(engine, network, bridge=bridge)


@contextlib.contextmanager
def network(engine: Engine, name: str, **settings: Any) -> Iterator[None]:
    """One of the operator's own."""
    engine.call("POST", "/networks/create", {"Name": name, **settings})
    yield
    engine.call("DELETE", f"/networks/{name}")


def own_addresses() -> Sequence[str]:
    """Of the host, but for the loopback's."""
    with Netlink() as netlink:
        return [address for _, address, _ in netlink.addresses() if not address.startswith("127.")]
