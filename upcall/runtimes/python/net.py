"""A network namespace with its loopback up, and the sockets in it at which the platform listens.

A socket belongs to the namespace in which it was made, whoever accepts on it: the platform, which gets these by
descriptor, serves the API and DNS inside the namespace without a route to the host. They are bound to the loopback
device, so that nothing which comes in by another link reaches them; user code cannot take their ports, which are
privileged in a fresh namespace. What waits to be read from them is kernel memory, and bounded for that.
"""

import contextlib
import fcntl
import os
import socket
import struct

from . import linux

ADDRESS = "192.0.2.1"
"""Of a range that is used nowhere (RFC 5737)."""
_SOCKETS = ((socket.SOCK_STREAM, 80), (socket.SOCK_DGRAM, 53), (socket.SOCK_STREAM, 53))
_BACKLOG = 128
_RECEIVED = 128 << 10
_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C


def network() -> list[int]:
    """Make one and come back; gives [namespace, API, DNS by UDP, DNS by TCP]."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    made: list[int] = []
    try:
        linux.unshare(linux.CLONE_NEWNET)
        try:
            made.append(os.open("/proc/self/ns/net", os.O_RDONLY))
            linux.loopback_up()
            _add_address()
            for kind, port in _SOCKETS:
                made.append(_listening(kind, port))
        finally:
            linux.setns(home, linux.CLONE_NEWNET)
    except BaseException:
        for fd in made:
            os.close(fd)
        raise
    finally:
        os.close(home)
    return made


def _add_address() -> None:
    """A second address of the loopback; the name with a colon is how this old call spells it."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as control:
        for call, address in ((_SIOCSIFADDR, ADDRESS), (_SIOCSIFNETMASK, "255.255.255.255")):
            given = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(control, call, struct.pack("16s16s8x", b"lo:1", given))


def _listening(kind: socket.SocketKind, port: int) -> int:
    with contextlib.closing(socket.socket(socket.AF_INET, kind)) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)
        made.bind((ADDRESS, port))
        if kind == socket.SOCK_STREAM:
            made.listen(_BACKLOG)
        return made.detach()
