"""Which DNS resolvers are asked on behalf of actions: those of the settings, else the host's own.

The host's are asked from the host's network, so that one at 127.0.0.53 (systemd-resolved) serves, too. Its file is read
again when it changes. At most three are used, as by the C library.
"""

import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from upcall.errors import Misconfigured
from upcall.model.resolvers import Address, parse_resolver

_MOST = 3
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Resolver(NamedTuple):
    """An address in the form of the socket calls."""

    family: int
    address: Any


class Resolvers:
    """Called, it gives the resolvers to ask now, the first first."""

    def __init__(self, given: Sequence[Address] = (), file: Path = Path("/etc/resolv.conf")) -> None:
        """Raises Misconfigured where an address names a network interface that is not there."""
        self._file = file
        self._seen: tuple[int, int, int] | None = None
        self._found: list[Resolver] = []
        self._given = [_given(address) for address in given][:_MOST]

    def __call__(self) -> list[Resolver]:
        if self._given:
            return self._given
        try:
            status = self._file.stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen != self._seen:
                self._found = _read(self._file)
                self._seen = seen
        except OSError:
            self._found, self._seen = [], None
        return self._found or [_resolver(Address("127.0.0.1", 53))]


def _read(file: Path) -> list[Resolver]:
    found: list[Resolver] = []
    for line in file.read_text("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            with contextlib.suppress(ValueError, OSError):  # as the C library passes over what it cannot use
                found.append(_resolver(parse_resolver(words[1])))
    return found[:_MOST]


def _given(address: Address) -> Resolver:
    try:
        return _resolver(address)
    except OSError as error:
        raise Misconfigured(f"The DNS resolver {address.host} is out of reach: no such network interface.") from error


def _resolver(address: Address) -> Resolver:
    family, _, _, _, found = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM, flags=_NUMERIC)[0]
    return Resolver(family, found)
