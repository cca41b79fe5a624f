"""The API's listener at the host's address on the containers' network (D15).

Port 80 where it is free and may be used, else any. The socket is bound to the bridge: what comes in by another link is
none of ours, though it be sent to this address.
"""

import contextlib
import errno
import logging
import socket

from upcall.containers.docker.segment import Segment
from upcall.containers.sandbox.interior import Close, Serve

log = logging.getLogger(__name__)

_PORT = 80
_BACKLOG = 128
_NOT_HAD = (errno.EADDRINUSE, errno.EACCES, errno.EPERM)


class Listener:
    """At one place at a time."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._close: Close | None = None
        self._place: tuple[str, int] = ("", 0)
        self.address = ""
        self.port = 0

    @property
    def url(self) -> str:
        """Empty where it listens nowhere; the scheme's own port is left out (spec: container.md §4.1)."""
        if not self.address:
            return ""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}" if self.port == _PORT else f"http://{host}:{self.port}"

    def move(self, segment: Segment) -> None:
        """Listen there, and no longer where it was; on the same port, if that is free there. Raises OSError."""
        place = (segment.addresses[0], segment.index) if segment.here else ("", 0)
        if place == self._place:
            return
        wanted = self.port or _PORT
        self.close()
        if segment.here:
            listener = _listen(segment, wanted)
            self._place = place
            self.address, self.port = listener.getsockname()[:2]
            self._close = self._serve(listener)
            log.info("actions in containers reach the API at %s", self.url)

    def close(self) -> None:
        if self._close is not None:
            self._close()
        self._close, self._place, self.address = None, ("", 0), ""


def _listen(segment: Segment, wanted: int) -> socket.socket:
    for port in dict.fromkeys((wanted, _PORT)):
        try:
            return _bound(segment, port)
        except OSError as error:
            if error.errno not in _NOT_HAD:
                raise
    return _bound(segment, 0)


def _bound(segment: Segment, port: int) -> socket.socket:
    address = segment.addresses[0]
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(PermissionError):  # an ordinary user before Linux 5.7
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, segment.bridge.encode() + b"\0")
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
