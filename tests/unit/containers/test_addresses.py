"""The range that actions' networks have, and what an ordinary user's actions may not reach."""

from ipaddress import IPv4Network

import pytest

from upcall.containers.sandbox.addresses import CANDIDATES, NEVER, Sight, free, refused
from upcall.errors import Misconfigured


def networks(*texts: str) -> tuple[IPv4Network, ...]:
    return tuple(map(IPv4Network, texts))


def sight(*routed: str, own: tuple[str, ...] = (), bridges: tuple[str, ...] = ()) -> Sight:
    return Sight(networks(*routed), networks(*own), {}, frozenset(), networks(*bridges))


def test_a_range_is_free_where_no_route_leads_into_it_or_over_it() -> None:
    assert free(sight(), None) == list(CANDIDATES)
    assert free(sight("100.96.7.0/31", "198.16.0.0/12"), None) == list(CANDIDATES[2:])
    assert free(sight("100.64.0.0/10"), IPv4Network("10.9.0.0/16")) == [IPv4Network("10.9.0.0/16")]


def test_without_a_free_range_the_setting_is_named() -> None:
    with pytest.raises(Misconfigured, match=r"10\.0\.0\.0/9: this host has a route into it; name another range"):
        free(sight("10.1.2.0/24"), IPv4Network("10.0.0.0/9"))
    with pytest.raises(Misconfigured, match="name a free network by --action-network-range"):
        free(sight(*map(str, CANDIDATES)), None)


def test_refused_are_the_hosts_addresses_its_containers_and_what_is_never_reached() -> None:
    seen = refused(sight("10.0.0.0/8", own=("10.1.1.1", "172.17.0.1"), bridges=("172.17.0.0/16", "172.17.0.1")))
    assert sorted(seen) == sorted(
        [("10.1.1.1", 32), ("172.17.0.0", 16), ("172.17.0.1", 32)]
        + [(str(each.network_address), each.prefixlen) for each in NEVER]
    )
