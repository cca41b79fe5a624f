"""A DNS resolver on the loopback, for tests; and questions for it."""

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator

ADDRESS = bytes([198, 51, 100, 7])
A, AAAA, AXFR = 1, 28, 252
Answer = Callable[[bytes], list[bytes]]
"""From a query to the messages that come back."""


def ask_for(name: str, kind: int = A, number: int = 0x4242, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    return struct.pack("!6H", number, flags, 1, 0, 0, 0) + labels + struct.pack("!2H", kind, 1)


def answered(query: bytes, count: int = 1, *, flags: int = 0x8180) -> bytes:
    """An answer with so many addresses."""
    record = struct.pack("!3HIH", 0xC00C, A, 1, 60, 4) + ADDRESS
    return query[:2] + struct.pack("!5H", flags, 1, count, 0, 0) + query[12:] + record * count


def by_name(query: bytes) -> list[bytes]:
    """An IPv4 address for everything but `silent`; of `long` as many as need TCP."""
    kind, first = query[-3], query[13 : 13 + query[12]]
    if first == b"silent":
        return []
    if first == b"long":
        return [answered(query, 100)]
    return [answered(query, int(kind == A))]


class Resolver:
    """Listens by UDP and TCP at the same port until it is closed; `seen` are the queries by UDP."""

    def __init__(self, answer: Answer = by_name) -> None:
        self.seen: list[bytes] = []
        self.seen_by_tcp: list[bytes] = []
        self._tcp, self._udp = self._listen()
        self._tcp.daemon_threads = True
        self._answer = answer
        self.port = int(self._udp.server_address[1])
        self.text = f"127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in self._servers]
        for thread in self._threads:
            thread.start()

    @property
    def _servers(self) -> tuple[socketserver.BaseServer, ...]:
        return self._udp, self._tcp

    def _listen(self) -> tuple[socketserver.ThreadingTCPServer, socketserver.UDPServer]:
        """Both at one port, which somebody else may have taken for one of them."""
        while True:
            tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._connection)  # type: ignore[arg-type]
            try:
                return tcp, socketserver.UDPServer(tcp.server_address, self._datagram)  # type: ignore[arg-type]
            except OSError:
                tcp.server_close()

    def close(self) -> None:
        """Nobody listens at the port any more; idempotent."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    def _datagram(self, request: tuple[bytes, socket.socket], client: tuple[str, int], _: object) -> None:
        query, udp = request
        self.seen.append(query)
        for message in self._answer(query):
            cut = len(message) > 512
            udp.sendto(answered(query, 0, flags=0x8380) if cut else message, client)

    def _connection(self, connection: socket.socket, _client: object, _: object) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rwb") as file:
            while size := file.read(2):
                query = file.read(int.from_bytes(size))
                self.seen_by_tcp.append(query)
                for message in self._answer(query):
                    file.write(len(message).to_bytes(2) + message)
                    file.flush()


@contextlib.contextmanager
def resolving(answer: Answer = by_name) -> Iterator[Resolver]:
    made = Resolver(answer)
    try:
        yield made
    finally:
        made.close()
