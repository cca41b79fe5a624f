"""Which addresses actions' networks have, and which of the host's they may not reach.

What the world sees is the host's own address, so any network will do that the host itself has no route to: what is
behind such a route could not be reached by actions any more. The host's routes are looked at once, at the start.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import NamedTuple

from upcall.errors import Misconfigured
from upcall.runtimes.python.rtnetlink import Netlink, Route

CANDIDATES = tuple(
    IPv4Network(text) for text in ("100.96.0.0/16", "198.18.0.0/16", "10.212.0.0/16", "172.29.0.0/16", "192.168.0.0/16")
)
"""The first ones are of ranges that are no organisation's own: between a provider and its customers (RFC 6598), and for
measurements (RFC 2544)."""
_LOCAL = 2
_WHOLE = 3
"""A route to an eighth of all addresses or more is a default route in pieces, as tunnels set it."""
NEVER = tuple(IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"))
"""This host, loopback, link-local with the clouds' metadata, multicast and broadcast."""


class Sight(NamedTuple):
    """What of the host's network matters here."""

    routed: tuple[IPv4Network, ...]
    """Where the host has routes of its own to."""
    own: tuple[IPv4Network, ...]
    """Its own addresses, but for the loopback's."""
    links: dict[int, str]
    uplinks: frozenset[str]
    """The links that lead to everywhere."""
    bridges: tuple[IPv4Network, ...]
    """Networks that the host keeps for somebody: those of bridges that lead nowhere else, as containers have."""


def look() -> Sight:
    """Read addresses, links and routes; blocks for a millisecond. Raises OSError."""
    with Netlink() as netlink:
        routes = list(netlink.routes())
        kinds = {index: (name, kind) for index, name, kind in netlink.links()}
        addresses = list(netlink.addresses())
    links = {index: name for index, (name, _) in kinds.items()}
    up = {route.link for route in routes if route.prefix == 0 and route.link in links}
    held = [index for index, (_, kind) in kinds.items() if kind == "bridge" and index not in up]
    return Sight(
        routed=tuple(_network(route) for route in routes if route.prefix > _WHOLE),
        own=tuple(IPv4Network(address) for _, address, _ in addresses if not address.startswith("127.")),
        links=links,
        uplinks=frozenset(links[index] for index in up),
        bridges=tuple(_network(route) for route in routes if route.link in held and route.kind != _LOCAL),
    )


def free(sight: Sight, wanted: IPv4Network | None, kept: Iterable[IPv4Network] = ()) -> list[IPv4Network]:
    """The wanted network, or those candidates that the host has no route to and that are not `kept` for others; one at
    least. Raises Misconfigured."""
    others = list(kept)
    candidates = (wanted,) if wanted else [one for one in CANDIDATES if not any(map(one.overlaps, others))]
    found = [one for one in candidates if not any(one.overlaps(network) for network in sight.routed)]
    if not found:
        raise taken(wanted)
    return found


def taken(wanted: IPv4Network | None) -> Misconfigured:
    if wanted:
        return Misconfigured(f"--action-network-range {wanted}: this host has a route into it; name another range")
    names = ", ".join(map(str, CANDIDATES))
    return Misconfigured(f"this host has routes to {names}: name a free network by --action-network-range")


def refused(sight: Sight) -> list[tuple[str, int]]:
    """What an ordinary user's actions may not reach, as [address, length of prefix]."""
    return _unique((*NEVER, *sight.own, *sight.bridges))


def _unique(networks: Iterable[IPv4Network]) -> list[tuple[str, int]]:
    return [(str(network.network_address), network.prefixlen) for network in sorted(set(networks))]


def _network(route: Route) -> IPv4Network:
    return IPv4Network((route.to, route.prefix), strict=False)
