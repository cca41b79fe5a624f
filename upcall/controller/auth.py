"""Basic authentication: credentials → Identity (spec: rest-api.md §1.3).

The hot path looks an identity up by the raw bytes of the header, so a known caller costs one dictionary lookup and a
look at the store's number of changes: when any subject or limit changes, by whichever process, all entries end at once,
and an answer of the store that was on its way at that moment is not kept. Entries live for a limited time all the same.

Only good credentials are cached: what a stranger sends takes no memory. Keys are never logged, nor part of an error.
"""

import base64
import binascii
import re
import time
from collections.abc import Callable

import msgspec

from upcall.errors import Unauthorized
from upcall.model import texts
from upcall.model.entities import Identity
from upcall.ports import Store

KEY_LENGTH = 64
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def credentials(header: bytes) -> tuple[str, str] | None:
    """uuid and key of an `Authorization` header; None where it is malformed in any way."""
    scheme, _, value = header.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        uuid, colon, key = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (uuid, key) if colon and len(key) == KEY_LENGTH and _UUID.fullmatch(uuid) else None


class Known(msgspec.Struct, frozen=True, eq=False):
    """Whom a header stands for, while subjects and limits are what they were: then `changes` is the store's number."""

    identity: Identity
    until: float
    changes: int


class Authenticator:
    """Asks the store and remembers, at most `size` headers for `ttl` seconds each."""

    def __init__(
        self, store: Store, ttl: float = 300.0, size: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._ttl = ttl
        self._size = size
        self._clock = clock
        self._known: dict[bytes, Known] = {}
        self.changes = store.changes
        self._seen: int | None = None
        """The number of changes that all entries belong to; None where there are none."""

    def cached(self, header: bytes) -> Identity | None:
        """The identity, where the header was seen lately."""
        known = self.known(header)
        return known.identity if known else None

    def known(self, header: bytes) -> Known | None:
        """The same, and how long it is good."""
        known = self._known.get(header)
        if known is None:
            return None
        if self.changes() != known.changes:
            self._known.clear()
            return None
        if known.until > self._clock():
            return known
        del self._known[header]
        return None

    async def authenticate(self, header: bytes | None) -> Identity:
        """Raises Unauthorized: nothing supplied, or malformed, unknown, blocked."""
        if header is None:
            raise Unauthorized(texts.NO_CREDENTIALS)
        if identity := self.cached(header):
            return identity
        before = self.changes()
        pair = credentials(header)
        found = await self._store.identity(*pair) if pair else None
        if found is None:
            raise Unauthorized(texts.BAD_CREDENTIALS)
        if before is not None and before == self.changes():
            self._keep(header, found, before)
        return found

    def _keep(self, header: bytes, identity: Identity, changes: int) -> None:
        if changes != self._seen:
            self._known.clear()
            self._seen = changes
        self._known.pop(header, None)
        while len(self._known) >= self._size:
            del self._known[next(iter(self._known))]
        self._known[header] = Known(identity, self._clock() + self._ttl, changes)
