"""HTTP/1.1 of the action container protocol over one listening socket (spec: container.md §2, §8).

One thread, blocking, one request at a time: the concurrency of a Python container is 1. Several keep-alive
connections may be open, since the platform opens a new one where it gave up an old one. A request costs one `poll`, one
`recv` and one `send` when it is small. Everything printed is flushed before the answer is sent, so that whoever reads
the answer finds the whole output in the pipes.

The only client is the platform. What it sends is well formed, or the connection is closed.
"""

import contextlib
import fcntl
import json
import os
import select
import socket
import sys
from typing import Any, NoReturn

from .order import OUTPUT
from .protocol import Action, Refused, encode

_REASONS = {200: b"OK", 400: b"Bad Request", 403: b"Forbidden", 404: b"Not Found", 502: b"Bad Gateway"}
_HEAD = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_CHUNK = 65536
_decode = json.JSONDecoder().decode
_BROKEN = (OSError, ValueError, IndexError, OverflowError, MemoryError)
"""What reading something raises that is no request; in a container's network others than the platform may send it."""


class _Process:
    copied = False
    """Whether the user's code has forked it, and came back from there: it must not answer, too."""

    @classmethod
    def copy(cls) -> None:
        cls.copied = True


def serve(listening: socket.socket, action: Action) -> NoReturn:
    """Answer until killed."""
    listening.setblocking(False)  # a client may be gone between poll and accept
    poll = select.poll()
    poll.register(listening, select.POLLIN)
    open_: dict[int, socket.socket] = {}
    os.register_at_fork(after_in_child=_Process.copy)
    while True:
        for fd, _ in poll.poll():
            if fd == listening.fileno():
                with contextlib.suppress(OSError):
                    connection = _accepted(listening)
                    open_[connection.fileno()] = connection
                    poll.register(connection, select.POLLIN)
            elif not _exchange_or_exit(open_[fd], action):
                poll.unregister(fd)
                open_.pop(fd).close()


def _exchange_or_exit(connection: socket.socket, action: Action) -> bool:
    """As `_exchange`; `sys.exit()` of the user's code ends the process at once, whatever threads it has left."""
    try:
        return _exchange(connection, action)
    except SystemExit:
        os._exit(1)


def _accepted(listening: socket.socket) -> socket.socket:
    """A connection that does not take the number of an output which the user's code has closed."""
    connection, _ = listening.accept()
    connection.setblocking(True)
    if connection.fileno() > 2:
        return connection
    with connection:
        return socket.socket(fileno=fcntl.fcntl(connection, fcntl.F_DUPFD_CLOEXEC, 3))


class _Request:
    """One request. The bytes of its body are let go before they are parsed: code may have 50 MB."""

    def __init__(self, path: str, body: bytes | bytearray) -> None:
        self.path = path
        self._body = body

    def take(self) -> dict[str, Any]:
        """The body, which is then gone; raises Refused."""
        try:
            text, self._body = self._body.decode(), b""
            found = _decode(text)
        except (ValueError, RecursionError) as error:
            raise Refused(400, f"The request is not valid JSON: {error}") from error
        if not isinstance(found, dict):
            raise Refused(400, "The request is not a JSON object.")
        return found


def _exchange(connection: socket.socket, action: Action) -> bool:
    """Read one request, answer it; false when the connection is over."""
    try:
        request = _read(connection)
    except _BROKEN:
        return False
    if request is None:
        return False
    try:
        code, answer = _answer(action, request)
        if _Process.copied:
            os._exit(0)
        connection.sendall(_HEAD % (code, _REASONS[code], len(answer)) + answer)
    except OSError:
        return False
    return True


def _read(connection: socket.socket) -> _Request | None:
    data = connection.recv(_CHUNK)
    while (end := data.find(b"\r\n\r\n")) < 0:
        more = connection.recv(_CHUNK)
        if not more or len(data) > _CHUNK:
            return None
        data += more
    head = data[:end].decode("latin-1")
    length = _content_length(head)
    path, body = head.split(" ", 2)[1], data[end + 4 :]
    if len(body) >= length:
        return _Request(path, body)
    whole, have = bytearray(length), len(body)
    whole[:have] = body
    with memoryview(whole) as rest:
        while have < length:
            count = connection.recv_into(rest[have:])
            if not count:
                return None
            have += count
    return _Request(path, whole)


def _content_length(head: str) -> int:
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


def _answer(action: Action, request: _Request) -> tuple[int, bytes]:
    last = True
    try:
        match request.path:
            case "/run":
                return 200, action.run(request.take())
            case "/init":
                action.init(request.take())
                last = False
                return 200, b'{"ok":true}'
        raise Refused(404, "Not found.")
    except Refused as refused:
        return refused.code, encode({"error": str(refused)})
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:  # noqa: SIM105 - half a microsecond less than `suppress`
                stream.flush()
            except Exception:  # noqa: BLE001, S110 - user code may have closed or replaced it
                pass
        OUTPUT.end(last)
