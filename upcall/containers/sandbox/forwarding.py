"""The kernel's switch that lets a host forward packets, per link: set where it is off, put back in the end.

Not the one switch for all links: that is how others (Docker, Kubernetes) ask for forwarding, and while they do,
nothing is put back. In a container these files cannot be written; there it is said by rtnetlink.
"""

import contextlib
import errno
import socket
from collections.abc import Iterable
from pathlib import Path

from upcall.runtimes.python.rtnetlink import Netlink

_ALL = Path("/proc/sys/net/ipv4/ip_forward")
_LINKS = Path("/proc/sys/net/ipv4/conf")


def off(links: Iterable[str]) -> list[str]:
    """Those of the links that do not forward."""
    return [name for name in links if _read(_switch(name)) == "0"]


def on_alone(links: Iterable[str]) -> list[str]:
    """Those that forward though the switch of all is off: somebody switched them one by one."""
    return [name for name in links if _read(_ALL) == "0" and _read(_switch(name)) == "1"]


def switch_on(links: Iterable[str]) -> None:
    """Raises OSError where the switches cannot be set."""
    for name in links:
        _set(name, on=True)


def switch_back(links: Iterable[str]) -> None:
    """Off again, unless everything is to forward by now."""
    for name in links if _read(_ALL) == "0" else ():
        with contextlib.suppress(OSError):  # a link that is gone
            _set(name, on=False)


def _set(link: str, *, on: bool) -> None:
    try:
        _switch(link).write_text(str(int(on)))
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        with Netlink() as netlink:
            netlink.forward(socket.if_nametoindex(link), on=on)


def _switch(link: str) -> Path:
    return _LINKS / link / "forwarding"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
