"""What the kernel knows of a TCP connection: how much the peer's host has got. And what it can be told about ours.

A transport that has been closed meanwhile has no answers, and is no error.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios


def hurry(transport: asyncio.Transport) -> None:
    """Acknowledge now what has come, and do not wait for something to send with it."""
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def missing(transport: asyncio.Transport) -> int:
    """Bytes that were sent and that the peer's host has not acknowledged. When it has closed, these are what nobody
    there will read: its end acknowledges all that had come before."""
    with contextlib.suppress(OSError):
        descriptor = transport.get_extra_info("socket").fileno()
        return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))[0])
    return 0
