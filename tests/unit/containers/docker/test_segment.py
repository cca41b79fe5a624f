"""What the engine tells of a network, and what of it is here."""

import os
from typing import Any

import pytest

from tests.system.networks import own_network
from upcall.containers.docker.segment import read, see

ID = "0aa90223d06d9fcedad2d3c417b32207"
USUAL = {"com.docker.network.bridge.name": "docker0", "com.docker.network.bridge.default_bridge": "true"}


def told(**fields: Any) -> dict[str, Any]:
    return {"Id": ID, "Driver": "bridge", "Options": {}, "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}, **fields}


def test_the_default_network_is_told_from_others() -> None:
    usual, made = read("bridge", told(Options=USUAL)), read("made", told())
    assert (usual.bridge, usual.usual, usual.subnets) == ("docker0", True, ("172.17.0.0/16",))
    assert (made.bridge, made.usual) == ("br-0aa90223d06d", False)


@pytest.mark.parametrize("fields", [{"Options": None, "IPAM": None}, {"IPAM": {"Config": None}}, {"IPAM": {}}])
def test_what_an_engine_leaves_out_is_not_there(fields: dict[str, Any]) -> None:
    assert read("made", told(**fields)).subnets == ()


@pytest.mark.parametrize("driver", ["macvlan", "overlay", "null"])
def test_a_network_that_no_bridge_carries_is_not_here(driver: str) -> None:
    found = see(read("far", told(Driver=driver)))
    assert (found.bridge, found.here) == ("", False)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a network of its own")
def test_the_address_is_the_bridges_own_and_of_the_network() -> None:
    with own_network():
        segment = read("lo", told(Options={"com.docker.network.bridge.name": "lo"}))
        assert not see(segment).here
        own = see(read("lo", told(Options={"com.docker.network.bridge.name": "lo"}, IPAM=loopback())))
        assert (own.addresses, own.index, own.mac) == (("127.0.0.1", "::1"), 1, "00:00:00:00:00:00")


def loopback() -> dict[str, Any]:
    return {"Config": [{"Subnet": "127.0.0.0/8"}, {"Subnet": "::1/128"}]}
