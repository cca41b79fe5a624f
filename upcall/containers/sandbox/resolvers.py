"""Which DNS resolvers are asked on behalf of actions: those of the settings, else the host's own.

The host's are asked from the host's network, so that one at 127.0.0.53 (systemd-resolved) serves, too. Its file is read
again when it changes. At most three are used, as by the C library.
"""

import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

_MOST = 3
_PORT = 53


class Resolver(NamedTuple):
    """An address in the form of the socket calls."""

    family: int
    address: Any


def parse_resolver(text: str) -> Resolver:
    """`1.2.3.4`, `1.2.3.4:5353`, `::1`, `[::1]:5353`, `fe80::1%eth0`. Raises ValueError."""
    host, port = text, str(_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        ipaddress.ip_address(host)
        number = int(port)
        family, _, _, _, address = socket.getaddrinfo(
            host, number, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        )[0]
    except (ValueError, OSError, OverflowError) as error:
        raise ValueError(f"'{text}' is no address of a resolver, such as 192.168.1.1 or 192.168.1.1:5353") from error
    return Resolver(family, address)


class Resolvers:
    """Called, it gives the resolvers to ask now, the first first."""

    def __init__(self, given: Sequence[str] = (), file: Path = Path("/etc/resolv.conf")) -> None:
        self._given = [parse_resolver(text) for text in given][:_MOST]
        self._file = file
        self._seen: tuple[int, int, int] | None = None
        self._found: list[Resolver] = []

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
        return self._found or [parse_resolver("127.0.0.1")]


def _read(file: Path) -> list[Resolver]:
    found: list[Resolver] = []
    for line in file.read_text("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            with contextlib.suppress(ValueError):  # as the C library passes over what it cannot read
                found.append(parse_resolver(words[1]))
    return found[:_MOST]
