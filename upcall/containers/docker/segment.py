"""The engine's network that containers are in, as it is seen from here: which bridge of this host carries it, and by
which addresses the host stands at it.

The engine tells name and subnets. What address the host has there is the bridge's own word: a fresh engine does not
know its default network's gateway. Where no bridge by that name has an address of the network, engine and platform are
not in one network namespace: the engine is on another machine, or the platform is in a container.
"""

import asyncio
import contextlib
import fcntl
import ipaddress
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from upcall.containers.docker.engine import Engine, EngineError
from upcall.errors import Misconfigured
from upcall.runtimes.python.rtnetlink import Netlink

_NAME = re.compile("[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_GET_MAC = 0x8927
_IPV6 = Path("/proc/thread-self/net/if_inet6")


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One network."""

    name: str
    bridge: str = ""
    """The link that carries it on the engine's host; empty where that is no bridge."""
    subnets: tuple[str, ...] = ()
    usual: bool = False
    """Whether it is the engine's default network, where containers are that nobody has put anywhere."""
    index: int = 0
    """Of the link here; another one by the same name has another."""
    mac: str = ""
    """The link's own."""
    addresses: tuple[str, ...] = ()
    """The host's at the bridge, IPv4 first; none where it is not here."""

    @property
    def here(self) -> bool:
        return bool(self.addresses)


async def find(engine: Engine, name: str) -> Segment:
    """Ask the engine, and look. Raises Misconfigured, EngineAway, EngineError, OSError."""
    return await asyncio.to_thread(see, await _told(engine, name))


async def _told(engine: Engine, name: str) -> Segment:
    if not _NAME.fullmatch(name):
        raise Misconfigured(f"{name!r} is no name of a Docker network.")
    if name in ("none", "host"):
        raise Misconfigured(_UNUSABLE[name])
    try:
        async with engine.asked(engine.timeouts.inspect, "inspect") as docker:
            return read(name, await (await docker.networks.get(name)).show())
    except EngineError as error:
        if error.reply != 404:
            raise
        raise Misconfigured(
            f"The Docker engine has no network {name!r}: make it (docker network create {name}), or name another with"
            " --docker-network."
        ) from error


_UNUSABLE = {
    "none": "In Docker's network none a container has no address, by which it is reached: name a bridge network with"
    " --docker-network. What keeps actions from the world is --action-network none.",
    "host": "In Docker's network host each container would listen on port 8080 of this host: name a bridge network with"
    " --docker-network.",
}


def read(name: str, told: dict[str, Any]) -> Segment:
    """What the engine tells of a network."""
    options = told.get("Options") or {}
    configured = (told.get("IPAM") or {}).get("Config") or ()
    link = options.get("com.docker.network.bridge.name") or f"br-{told['Id'][:12]}"
    return Segment(
        name=name,
        bridge=link if told.get("Driver") == "bridge" else "",
        subnets=tuple(each["Subnet"] for each in configured if each.get("Subnet")),
        usual=options.get("com.docker.network.bridge.default_bridge") == "true",
    )


def see(segment: Segment) -> Segment:
    """The same with what of it is here now; blocks for a millisecond. Raises OSError."""
    index = _index(segment.bridge)
    found = _addresses(segment, index) if index else ()
    mac = _mac(segment.bridge) if found else ""
    if not mac:
        return msgspec.structs.replace(segment, index=0, mac="", addresses=())
    return msgspec.structs.replace(segment, index=index, mac=mac, addresses=found)


def _addresses(segment: Segment, index: int) -> tuple[str, ...]:
    networks = [ipaddress.ip_network(each, strict=False) for each in segment.subnets]
    with Netlink() as netlink:
        own = [address for owner, address, _ in netlink.addresses() if owner == index]
    own += _ipv6(segment.bridge)
    return tuple(each for each in own if any(ipaddress.ip_address(each) in network for network in networks))


def _index(link: str) -> int:
    """0 where there is none."""
    with contextlib.suppress(OSError):
        return socket.if_nametoindex(link)
    return 0


def _ipv6(link: str) -> Iterator[str]:
    """None where the kernel has no IPv6."""
    with contextlib.suppress(FileNotFoundError):
        for line in _IPV6.read_text().splitlines():
            packed, *_, name = line.split()
            if name == link:
                yield str(ipaddress.IPv6Address(bytes.fromhex(packed)))


def _mac(link: str) -> str:
    """Empty where it has just gone."""
    request = struct.pack("16s24x", link.encode())
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        return fcntl.ioctl(asking, _GET_MAC, request)[18:24].hex(":")
    return ""
