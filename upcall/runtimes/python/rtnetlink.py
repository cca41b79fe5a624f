"""The few words of rtnetlink that networks here are made with: links, IPv4 addresses, IPv4 routes.

The zygote speaks them inside of the namespaces, where it has the capabilities, and root's platform on the host; nobody
starts `ip`. A `Netlink` belongs to the namespace that its maker was in. Standard library only, because this file runs
in the sandbox.

A message is a header, a fixed body and attributes, each padded to 4 bytes, in the host's byte order (rtnetlink(7));
the kernel answers a request by a code of error (0: done), and a dump by one message per object and then DONE.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _GETADDR = 20, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_NEWNEIGH, _DELNEIGH, _GETNEIGH = 28, 29, 30
_REQUEST, _ACK, _REPLACE, _EXCLUSIVE, _CREATE, _DUMP = 0x1, 0x4, 0x100, 0x200, 0x400, 0x300
_ERROR, _DONE = 2, 3

_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 3, 18, 26, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER, _INET6_ADDR_GEN_MODE = 1, 2, 1, 8
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_NDA_DST, _NDA_LLADDR, _REACHABLE = 1, 2, 2
_MAIN, _BOOT, _UNIVERSE, _ON_LINK = 254, 3, 0, 253
_UNICAST, _PROHIBIT = 1, 8
_UP, _GENERATE_NONE, _INET_CONF = 1, 1, 1
_FORWARDING, _PROXY_ARP = 1, 3
_HEADER, _LINK, _ADDRESS, _ROUTE = (struct.Struct(text) for text in ("=IHHII", "=BxHiII", "=BBBBi", "=BBBBBBBBI"))
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_ATTRIBUTE = struct.Struct("=HH")
_LARGEST = 1 << 16


class Route(NamedTuple):
    """One route of any table: where to, by which interface (0: none, as one that rejects)."""

    to: str
    prefix: int
    link: int
    kind: int


class Netlink:
    """A socket of rtnetlink, of the calling thread's network namespace; blocks, for less than a millisecond mostly.

    Every method raises OSError with what was to be done."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._sequence = 0

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def add_veth(self, name: str, inside: str, fd: int) -> int:
        """Make a pair of interfaces: `name` here, `inside` in the namespace behind `fd`; gives the index of ours."""
        peer = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, inside) + _number(_IFLA_NET_NS_FD, fd)
        info = _text(_INFO_KIND, "veth") + _attribute(_INFO_DATA, _attribute(_VETH_PEER, peer))
        body = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name) + _attribute(_IFLA_LINKINFO, info)
        self._change(_NEWLINK, _CREATE | _EXCLUSIVE, body, f"make the interface {name}")
        return socket.if_nametoindex(name)

    def delete_link(self, index: int) -> None:
        """Takes as long as packets may be under way in it: some milliseconds to tens of them."""
        self._change(_DELLINK, 0, _LINK.pack(0, 0, index, 0, 0), f"remove interface {index}")

    def set_up(self, index: int) -> None:
        """Set a link up, without IPv6."""
        mode = _attribute(_INET6_ADDR_GEN_MODE, bytes([_GENERATE_NONE]))
        body = _LINK.pack(0, 0, index, 0, 0) + _attribute(_IFLA_AF_SPEC, _attribute(socket.AF_INET6, mode))
        with contextlib.suppress(OSError):  # a kernel without IPv6
            self._change(_NEWLINK, 0, body, f"keep IPv6 from interface {index}")
        self._change(_NEWLINK, 0, _LINK.pack(0, 0, index, _UP, _UP), f"set interface {index} up")

    def forward(self, index: int, *, answer: bool = False, on: bool = True) -> None:
        """Let packets that come in by this link go on by others, or no more; `answer` for whom they reach (proxy
        ARP)."""
        values = _number(_FORWARDING, int(on)) + (_number(_PROXY_ARP, 1) if answer else b"")
        form = _attribute(_IFLA_AF_SPEC, _attribute(socket.AF_INET, _attribute(_INET_CONF, values)))
        self._change(_NEWLINK, 0, _LINK.pack(0, 0, index, 0, 0) + form, f"forward by interface {index}")

    def add_address(self, index: int, address: str, prefix: int) -> None:
        packed = socket.inet_aton(address)
        body = _ADDRESS.pack(socket.AF_INET, prefix, 0, _UNIVERSE, index)
        body += _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
        self._change(_NEWADDR, _CREATE | _EXCLUSIVE, body, f"add the address {address}")

    def add_route(self, to: str, prefix: int, index: int = 0, gateway: str = "") -> None:
        """By a gateway, or directly; without an interface one that refuses, with an answer that all programs heed."""
        kind = _UNICAST if index else _PROHIBIT
        scope = _ON_LINK if index and not gateway else _UNIVERSE
        body = _ROUTE.pack(socket.AF_INET, prefix, 0, 0, _MAIN, _BOOT, scope, kind, 0)
        if prefix:
            body += _attribute(_RTA_DST, socket.inet_aton(to))
        if index:
            body += _number(_RTA_OIF, index)
        if gateway:
            body += _attribute(_RTA_GATEWAY, socket.inet_aton(gateway))
        self._change(_NEWROUTE, _CREATE | _EXCLUSIVE, body, f"add a route to {to}/{prefix}")

    def delete_route(self, to: str, prefix: int) -> None:
        """One that refuses."""
        body = _ROUTE.pack(socket.AF_INET, prefix, 0, 0, _MAIN, 0, _UNIVERSE, _PROHIBIT, 0)
        body += _attribute(_RTA_DST, socket.inet_aton(to))
        self._change(_DELROUTE, 0, body, f"remove the route to {to}/{prefix}")

    def set_neighbour(self, index: int, address: str, mac: str) -> None:
        """Whose an address is by now, of IPv4 or IPv6; whoever had it before is forgotten."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        body = _NEIGHBOUR.pack(family, index, _REACHABLE, 0, 0)
        body += _attribute(_NDA_DST, socket.inet_pton(family, address))
        body += _attribute(_NDA_LLADDR, bytes.fromhex(mac.replace(":", "")))
        self._change(_NEWNEIGH, _CREATE | _REPLACE, body, f"say whose {address} is")

    def delete_neighbour(self, index: int, address: str) -> None:
        """Forget whose an address was."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        body = _NEIGHBOUR.pack(family, index, 0, 0, 0) + _attribute(_NDA_DST, socket.inet_pton(family, address))
        self._change(_DELNEIGH, 0, body, f"forget whose {address} was")

    def neighbours(self) -> Iterator[tuple[int, str, str]]:
        """Index of the link, address and MAC address of all that are known, of IPv4 and IPv6."""
        for body in self._dump(_GETNEIGH, _NEIGHBOUR.pack(0, 0, 0, 0, 0)):
            family, index, *_ = _NEIGHBOUR.unpack_from(body)
            found = _attributes(body[_NEIGHBOUR.size :])
            if family in (socket.AF_INET, socket.AF_INET6) and _NDA_LLADDR in found:
                yield index, socket.inet_ntop(family, found[_NDA_DST]), found[_NDA_LLADDR].hex(":")

    def links(self) -> Iterator[tuple[int, str, str]]:
        """Index, name and kind of every link; a real device's kind is empty."""
        for body in self._dump(_GETLINK, _LINK.pack(0, 0, 0, 0, 0)):
            found = _attributes(body[_LINK.size :])
            info = _attributes(found.get(_IFLA_LINKINFO, b""))
            yield _LINK.unpack_from(body)[2], _read(found[_IFLA_IFNAME]), _read(info.get(_INFO_KIND, b""))

    def addresses(self) -> Iterator[tuple[int, str, int]]:
        """Index of the link, IPv4 address and prefix's length of every address here."""
        for body in self._dump(_GETADDR, _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0)):
            _, prefix, _, _, index = _ADDRESS.unpack_from(body)
            found = _attributes(body[_ADDRESS.size :])
            yield index, socket.inet_ntoa(found.get(_IFA_LOCAL) or found[_IFA_ADDRESS]), prefix

    def routes(self) -> Iterator[Route]:
        """Every IPv4 route of every table; one with several ways at once counts as without an interface."""
        for body in self._dump(_GETROUTE, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
            _, prefix, _, _, _, _, _, kind, _ = _ROUTE.unpack_from(body)
            found = _attributes(body[_ROUTE.size :])
            link = struct.unpack("=I", found.get(_RTA_OIF, bytes(4)))[0]
            yield Route(socket.inet_ntoa(found.get(_RTA_DST, bytes(4))), prefix, link, kind)

    def _change(self, kind: int, flags: int, body: bytes, what: str) -> None:
        self._send(kind, _REQUEST | _ACK | flags, body)
        for answer, payload in self._receive():
            if answer == _ERROR:
                number = -struct.unpack_from("=i", payload)[0]
                if number:
                    raise OSError(number, f"cannot {what}: {os.strerror(number)}")
                return

    def _dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        self._send(kind, _REQUEST | _DUMP, body)
        for answer, payload in self._receive():
            if answer == _DONE:
                return
            if answer == _ERROR:
                number = -struct.unpack_from("=i", payload)[0]
                raise OSError(number, f"cannot read the host's network: {os.strerror(number)}")
            yield payload

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)

    def _receive(self) -> Iterator[tuple[int, bytes]]:
        """Kind and payload of the messages that answer the last request, without end."""
        while True:
            packet = memoryview(self._socket.recv(_LARGEST))
            while packet:
                length, kind, _, sequence, _ = _HEADER.unpack_from(packet)
                if sequence == self._sequence:
                    yield kind, bytes(packet[_HEADER.size : length])
                packet = packet[_padded(length) :]


def _padded(length: int) -> int:
    return (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    packed = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
    return packed.ljust(_padded(len(packed)), b"\0")


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _attributes(body: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(body) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(body)
        if length < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = body[_ATTRIBUTE.size : length]  # without the bits for nesting and byte order
        body = body[_padded(length) :]
    return found


def _read(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")
