"""Networks that tests make for themselves, so that a platform of root may set rules without changing this machine's.

    actions' networks ── "host": where the test and its platform are ── up0 · w0 ── "world": servers that say who called

Only the calling thread (and threads and processes that it starts) moves; an ordinary user stays where it is.
"""

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator

from upcall.runtimes.python import linux
from upcall.runtimes.python.rtnetlink import Netlink

HOST, WORLD, METADATA = "10.77.0.1", "10.77.0.2", "169.254.169.254"
PORT = 8000


def namespace() -> int:
    """A new one with its loopback up, by descriptor."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.unshare(linux.CLONE_NEWNET)
        linux.loopback_up()
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        linux.setns(home, linux.CLONE_NEWNET)
        os.close(home)


@contextlib.contextmanager
def inside(fd: int) -> Iterator[None]:
    """Be in the namespace behind `fd`."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    linux.setns(fd, linux.CLONE_NEWNET)
    try:
        yield
    finally:
        linux.setns(home, linux.CLONE_NEWNET)
        os.close(home)


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    """Be in a network of one's own that leads nowhere."""
    if os.geteuid() != 0:
        yield
        return
    fd = namespace()
    try:
        with inside(fd):
            yield
    finally:
        os.close(fd)


class World:
    """What is out there: it answers on PORT, by TCP and UDP, with the address that it was called from."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.seen: list[str] = []
        """Who sent packets by UDP."""
        with inside(fd):
            self._tcp = socket.create_server(("0.0.0.0", PORT), backlog=64)
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.bind(("0.0.0.0", PORT))
        for work in (self._answer_tcp, self._answer_udp):
            threading.Thread(target=work, daemon=True).start()

    def _answer_tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, (address, _) = self._tcp.accept()
                with connection:
                    connection.sendall(address.encode())

    def _answer_udp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                _, sender = self._udp.recvfrom(1024)
                if not sender:
                    return  # closed
                self.seen.append(sender[0])
                self._udp.sendto(sender[0].encode(), sender)

    def close(self) -> None:
        for each in (self._tcp, self._udp):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread
            each.close()


@contextlib.contextmanager
def host_and_world() -> Iterator[World]:
    """Be on the "host", whose default route leads to the world."""
    with contextlib.ExitStack() as stack:
        host, there = namespace(), namespace()
        stack.callback(os.close, host)
        stack.callback(os.close, there)
        stack.enter_context(inside(host))
        with Netlink() as netlink:
            index = netlink.add_veth("up0", "w0", there)
            netlink.add_address(index, HOST, 24)
            netlink.set_up(index)
        with inside(there), Netlink() as netlink:
            index = socket.if_nametoindex("w0")
            netlink.add_address(index, WORLD, 24)
            netlink.add_address(index, METADATA, 32)
            netlink.set_up(index)
        with Netlink() as netlink:
            netlink.add_route("0.0.0.0", 0, socket.if_nametoindex("up0"), WORLD)
        world = World(there)
        stack.callback(world.close)
        yield world


@contextlib.contextmanager
def listening(answer: bytes = b"host") -> Iterator[int]:
    """A server at all addresses of where the caller is; gives its port."""
    server = socket.create_server(("0.0.0.0", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
