"""Networks that tests make for themselves, so that a platform of root may set rules without changing this machine's.

    actions' networks ── "host": where the test and its platform are ── up0 · w0 ── "world": servers that say who called

Only the calling thread (and threads and processes that it starts) moves; an ordinary user stays where it is.
"""

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

from upcall.runtimes.python import linux
from upcall.runtimes.python.rtnetlink import Netlink

HOST, WORLD, METADATA, _MARK = "10.77.0.1", "10.77.0.2", "169.254.169.254", "10.77.0.3"
PORT = 8000
_IP = 0x800


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
        self.sources: set[str] = set()
        self.destinations: set[str] = set()
        """Of every IPv4 packet that came in."""
        with inside(fd):
            self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_IP))
            self._wire.bind(("w0", _IP))
            self._tcp = socket.create_server(("0.0.0.0", PORT), backlog=64)
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.bind(("0.0.0.0", PORT))
        self._threads = [threading.Thread(target=each) for each in (self._answer_tcp, self._answer_udp, self._watch)]
        for thread in self._threads:
            thread.start()

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
                self._udp.sendto(sender[0].encode(), sender)

    def _watch(self) -> None:
        """Until the link is gone."""
        with contextlib.suppress(OSError):
            while True:
                packet, (_, _, kind, *_) = self._wire.recvfrom(128)
                if kind != socket.PACKET_OUTGOING:
                    self.sources.add(socket.inet_ntoa(packet[12:16]))
                    self.destinations.add(socket.inet_ntoa(packet[16:20]))

    def settle(self) -> None:
        """From the host: wait until all that was sent before has been noted."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as marking:
            self.destinations.discard(_MARK)
            marking.sendto(b"mark", (_MARK, PORT))
        deadline = time.monotonic() + 30
        while _MARK not in self.destinations:
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def close(self) -> None:
        with inside(self.fd), Netlink() as netlink:
            netlink.delete_link(socket.if_nametoindex("w0"))
        for each in (self._tcp, self._udp):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread
        for thread in self._threads:
            thread.join(10)
        for each in (self._tcp, self._udp, self._wire):
            each.close()


@contextlib.contextmanager
def host_and_world() -> Iterator[World]:
    """Be on the "host", whose default route leads to the world."""
    host = namespace()
    try:
        with inside(host), a_world() as world:
            yield world
    finally:
        os.close(host)


@contextlib.contextmanager
def a_world() -> Iterator[World]:
    """Where the caller is becomes the "host", for a while."""
    with contextlib.ExitStack() as stack:
        there = namespace()
        stack.callback(os.close, there)
        with Netlink() as netlink:
            index = netlink.add_veth("up0", "w0", there)
            netlink.add_address(index, HOST, 24)
            netlink.set_up(index)
        with inside(there), Netlink() as netlink:
            index = socket.if_nametoindex("w0")
            netlink.add_address(index, WORLD, 24)
            netlink.add_address(index, _MARK, 32)
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

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        server.close()


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
