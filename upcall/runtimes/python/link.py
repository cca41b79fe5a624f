"""The inner parts of a namespace's way out: interfaces with address and routes, and the gateway of an ordinary user.

As root the outer end is the platform's, on the host, and so are the rules about who may go where. An ordinary user has
no rules there; routes that refuse do it instead. In the tenant's own namespace they would be a suggestion: a socket
that is bound to an interface (SO_BINDTODEVICE, IP_PKTINFO; no capability needed) has its packets sent to the link
where no route is found. Hence a second namespace between, the gateway, which nobody is in: what is forwarded goes by
routes and nothing else.

    tenant's namespace: eth0 ── in0 :gateway: tap0 ── pasta or slirp4netns ── the host's network

User code has no capability to change any of this.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

from . import linux
from .rtnetlink import Netlink

INNER, OUTER, TAP = "eth0", "in0", "tap0"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - a destination


def set_up(order: dict[str, Any], net: int) -> bool:
    """Set up an interface in the namespace behind the descriptor `net`; false while there is none of this name.

    The order says `name`, `address` and `prefix`, `gateway`, and `forward`: whether others send through it. Raises
    OSError."""
    with _inside(net), Netlink() as netlink:
        if order["name"] not in (name for _, name in socket.if_nameindex()):
            return False
        index = socket.if_nametoindex(order["name"])
        _bring_up(netlink, index, order["address"], order["prefix"])
        if order["forward"]:
            netlink.forward(index, answer=True)
        netlink.add_route(EVERYWHERE, 0, index, order["gateway"])
    return True


def make_gateway(order: dict[str, Any], net: int) -> int:
    """Make a gateway for the namespace behind `net`, with a pair of interfaces between; gives its descriptor.

    The order says `address` and `prefix` of the gateway's end, and `refused`: networks as [address, length of prefix]
    that may not be reached, not even while this is being made. The tenant's end is for `set_up`. Raises OSError."""
    with _inside(None) as made, Netlink() as netlink:
        linux.loopback_up()
        for to, prefix in order["refused"]:
            netlink.add_route(to, prefix)
        index = netlink.add_veth(OUTER, INNER, net)
        _bring_up(netlink, index, order["address"], order["prefix"])
        netlink.forward(index)
        return os.dup(made)


def _bring_up(netlink: Netlink, index: int, address: str, prefix: int) -> None:
    netlink.add_address(index, address, prefix)
    netlink.set_up(index)


@contextlib.contextmanager
def _inside(net: int | None) -> Iterator[int]:
    """Be in the namespace behind `net`, or in a new one, and come back; gives a descriptor of it."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = -1
    try:
        if net is None:
            linux.unshare(linux.CLONE_NEWNET)
        else:
            linux.setns(net, linux.CLONE_NEWNET)
        there = os.open("/proc/self/ns/net", os.O_RDONLY)
        yield there
    finally:
        linux.setns(home, linux.CLONE_NEWNET)
        for fd in (home, there):
            if fd >= 0:
                os.close(fd)
