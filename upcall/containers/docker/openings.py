"""What containers may reach though it be the host's, a neighbour's, or link-local as clouds have it: the resolvers that
they ask for names, and the API where it has an address of its own (spec: container.md §4.1)."""

import ipaddress
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
"""What an engine gives containers as theirs: the first, without the loopback's; if none is left, the second."""
DNS = 53
_PORTS = {"http": 80, "https": 443}


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """One address and port."""

    address: str
    port: int
    protocols: tuple[str, ...] = ("tcp",)

    @property
    def called(self) -> str:
        """For nft: packets to it."""
        return f"{self._family} daddr {self.address} {self._over} th dport {self.port}"

    @property
    def answering(self) -> str:
        """Packets from it."""
        return f"{self._family} saddr {self.address} {self._over} th sport {self.port}"

    @property
    def meant(self) -> str:
        """Packets that were sent to it, wherever the host has redirected them."""
        return f"{self._over} ct original {self._family} daddr {self.address} ct original proto-dst {self.port}"

    @property
    def _family(self) -> str:
        return "ip6" if ":" in self.address else "ip"

    @property
    def _over(self) -> str:
        return f"meta l4proto {{ {', '.join(self.protocols)} }}"


def resolvers(servers: Sequence[str], files: Sequence[Path] = _FILES) -> tuple[Opening, ...]:
    """Of containers: those that they are given, else the host's own."""
    found = list(_far(servers)) or next(filter(None, map(_named, files)), [])
    return tuple(Opening(address=each, port=DNS, protocols=("tcp", "udp")) for each in dict.fromkeys(found))


def api(url: str) -> tuple[Opening, ...]:
    """Where `http://name[:port]` is; none where there is no such URL. Asks DNS. Raises OSError."""
    parts = urlsplit(url)
    if not parts.hostname:
        return ()
    port = parts.port or _PORTS[parts.scheme]
    found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    addresses = _far(str(address[0]) for *_, address in found)
    return tuple(Opening(address=each, port=port) for each in sorted(set(addresses)))


def is_name(url: str) -> bool:
    """Whether DNS has to be asked where it is."""
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(host)
    return False


def _named(file: Path) -> list[str]:
    """The resolvers that it names."""
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    return list(_far(words[1] for words in map(str.split, lines) if len(words) > 1 and words[0] == "nameserver"))


def _far(addresses: Sequence[str] | Iterator[str]) -> Iterator[str]:
    """Those that are addresses, and not the container's own loopback; without a zone."""
    for each in addresses:
        try:
            address = ipaddress.ip_address(each.partition("%")[0])
        except ValueError:
            continue
        if not address.is_loopback and not address.is_unspecified:
            yield str(address)
