"""Whose an address of the containers' network is, as this host remembers it.

Docker gives each address a MAC address of its own, so a host that remembers who had it before is right. Ours are given
by number (`macs`): a host would go on sending to the last one's for up to a minute, and longer while it is busy. So it
is told when a container of ours has come by an address, and when one has gone: the next may be anybody's.
"""

import contextlib
import logging
import socket

from upcall.runtimes.python.rtnetlink import Netlink

log = logging.getLogger(__name__)


def meet(bridge: str, address: str, mac: str) -> None:
    """It has this address now. Errors are logged: it is found all the same, later."""
    try:
        with Netlink() as netlink:
            netlink.set_neighbour(socket.if_nametoindex(bridge), address, mac)
    except OSError as error:
        log.warning("container at %s: %s", address, error)


def forget(bridge: str, mac: str) -> None:
    """Those with a MAC address that begins so are gone."""
    with contextlib.suppress(OSError), Netlink() as netlink:
        index = socket.if_nametoindex(bridge)
        for link, address, known in list(netlink.neighbours()):
            if link == index and known.startswith(mac):
                with contextlib.suppress(OSError):
                    netlink.delete_neighbour(index, address)
