"""The inner end of a namespace's way out: address, routes, and up. The outer end is the platform's (`outbound.py`).

Routes that refuse go in first, so that at no time anything can be reached that may not be. User code has no
capability to change any of this.
"""

import os
import socket
from typing import Any

from . import linux
from .rtnetlink import Netlink

NAME = "eth0"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - a destination


def set_up(order: dict[str, Any], net: int) -> None:
    """Set up `eth0` in the namespace behind the descriptor `net`, and come back.

    The order says `address` and `prefix`, `gateway`, and `refused`: networks as [address, length of prefix] that may
    not be reached. Raises OSError."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        linux.setns(net, linux.CLONE_NEWNET)
        index = socket.if_nametoindex(NAME)
        with Netlink() as link:
            for to, prefix in order["refused"]:
                link.add_route(to, prefix)
            link.add_address(index, order["address"], order["prefix"])
            link.set_up(index)
            link.add_route(EVERYWHERE, 0, index, order["gateway"])
    finally:
        linux.setns(home, linux.CLONE_NEWNET)
        os.close(home)
