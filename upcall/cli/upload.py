"""A request's body in pieces; of a large one, the progress on a terminal."""

import sys
from collections.abc import Iterable, Iterator

LARGE = 1024 * 1024
"""Bytes from which it takes long enough to be told."""
PIECE = 64 * 1024


def chunks(payload: bytes | None, name: str) -> Iterable[bytes] | None:
    """The body for `http.client`; `name` is what the progress calls it."""
    if payload is None or len(payload) <= LARGE or not sys.stderr.isatty():
        return None if payload is None else (payload,)
    return _told(payload, name)


def _told(payload: bytes, name: str) -> Iterator[bytes]:
    size, percent = len(payload), -1
    for start in range(0, size, PIECE):
        if start * 100 // size > percent:
            percent = start * 100 // size
            sys.stderr.write(f"\rsending {name}: {percent:3} % of {size / LARGE:.1f} MB")
            sys.stderr.flush()
        yield payload[start : start + PIECE]
    sys.stderr.write("\r\033[K")
    sys.stderr.flush()
