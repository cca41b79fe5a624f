"""What requests and answers take in memory, all connections together (docs/reference/bounds.md).

A connection is bounded by itself: one body, one answer beyond what the kernel has taken. These are the bounds of their
sum, for there may be thousands. Bodies count while they arrive and until they are answered, from `SMALL` bytes on; the
one that does not fit is refused with 503. Connections from inside tenants' networks get half, so that a tenant cannot
keep everybody else from uploading. Answers that their clients do not read count when they are written; when they are
too much, clients are cut that have been behind for longest.
"""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upcall.controller.edge import EdgeProtocol

SMALL = 64 * 1024
BODIES = 128 * 1024 * 1024
"""Bytes of large bodies: two of the largest actions at a time. Decoding takes up to four times as much."""
UNREAD = 256 * 1024 * 1024
"""Bytes of answers that wait for their clients."""

log = logging.getLogger(__name__)


class Holdings:
    """Of one server."""

    def __init__(self, bodies: int = BODIES, unread: int = UNREAD) -> None:
        self._most_bodies = bodies
        self._most_unread = unread
        self.bodies = 0
        self._behind: dict[EdgeProtocol, None] = {}
        """In the order in which they fell behind."""

    def fits(self, connection: "EdgeProtocol", size: int) -> bool:
        """Whether so much more may arrive."""
        return self.bodies + size <= (self._most_bodies if connection.outside else self._most_bodies // 2)

    def hold(self, connection: "EdgeProtocol", size: int) -> bool:
        """Count a piece of a body; False where it does not fit."""
        if not self.fits(connection, size):
            return False
        self.bodies += size
        connection.held += size
        return True

    def release(self, connection: "EdgeProtocol") -> None:
        """What was held for it is answered, or will not be."""
        self.bodies -= connection.held
        connection.held = 0

    def fell_behind(self, connection: "EdgeProtocol") -> None:
        """It has an answer that its client does not read as fast as it was written."""
        behind = self._behind
        behind[connection] = None
        sizes = {each: each.transport.get_write_buffer_size() for each in behind}
        excess = sum(sizes.values()) - self._most_unread
        while excess > 0:
            oldest = next(iter(behind))
            del behind[oldest]
            excess -= sizes[oldest]
            log.warning("a client that does not read %d bytes of its answer is cut: too much waits", sizes[oldest])
            oldest.transport.abort()

    def caught_up(self, connection: "EdgeProtocol") -> None:
        self._behind.pop(connection, None)
