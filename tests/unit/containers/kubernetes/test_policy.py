"""Who reaches a pod in which a tenant's code runs, and what that code reaches."""

from ipaddress import ip_network
from itertools import chain

import pytest

from tests.unit.containers.kubernetes.evaluator import Pod, passes
from upcall.containers.kubernetes.labels import Maker
from upcall.containers.kubernetes.policy import Reach, policies

PLATFORM = {"app.kubernetes.io/name": "upcall", "app.kubernetes.io/instance": "owdev"}
MAKER = Maker(invoker=0, release="owdev", instance="i", boot="b")
ACTION = Pod("10.1.0.5", "actions", MAKER.labels("a"))
OTHER = Pod("10.1.0.6", "actions", MAKER.labels("b"))
INVOKER = Pod("10.1.0.7", "openwhisk", {**PLATFORM, "app.kubernetes.io/component": "invoker"})
SERVE = Pod("10.1.0.8", "openwhisk", {**PLATFORM, "app.kubernetes.io/component": "platform"})
IMPOSTOR = Pod("10.1.0.9", "actions", PLATFORM)
DATABASE = Pod("10.1.0.10", "openwhisk", {"app": "couchdb"})
DNS = Pod("10.1.0.11", "kube-system", {"k8s-app": "kube-dns"})
WORLD, WORLD6 = Pod("93.184.215.14"), Pod("2606:2800:21f:cb07:6820:80da:af6b:8b2c")
METADATA = Pod("169.254.169.254")
INNER = [Pod(address) for address in ("10.0.0.1", "172.20.0.1", "192.168.1.1", "100.64.0.10", "fd00:ec2::254")]


def made(reach: Reach = "private", inner: tuple[str, ...] = ()) -> list[dict[str, object]]:
    return policies("actions", PLATFORM, home="openwhisk", release="owdev", reach=reach, inner=inner)


@pytest.mark.parametrize("reach", ["private", "none", "host"])
def test_only_the_platforms_own_pods_reach_an_action(reach: Reach) -> None:
    rules = made(reach)
    assert passes(rules, INVOKER, ACTION, 8080)
    assert passes(rules, SERVE, ACTION, 8080)
    assert not passes(rules, INVOKER, ACTION, 22)
    for stranger in (OTHER, IMPOSTOR, DATABASE, DNS, WORLD, *INNER):
        assert not passes(rules, stranger, ACTION, 8080)


def test_by_default_actions_reach_the_platform_names_and_the_world() -> None:
    rules = made()
    assert passes(rules, ACTION, SERVE, 8080)
    assert passes(rules, ACTION, DNS, 53, "UDP")
    assert passes(rules, ACTION, DNS, 53)
    assert passes(rules, ACTION, WORLD, 443)
    assert passes(rules, ACTION, WORLD6, 443)


def test_and_nothing_of_the_cluster_or_the_cloud() -> None:
    rules = made()
    for target in (OTHER, DATABASE, METADATA, *INNER):
        assert not passes(rules, ACTION, target, 80)
    assert not passes(rules, ACTION, DNS, 8080)
    assert not passes(rules, ACTION, SERVE, 9092)


def test_with_none_they_reach_the_platform_alone() -> None:
    rules = made("none")
    assert passes(rules, ACTION, SERVE, 8080)
    for target in (WORLD, WORLD6, METADATA, OTHER, *INNER):
        assert not passes(rules, ACTION, target, 443)
    assert not passes(rules, ACTION, DNS, 53, "UDP")


def test_with_host_they_reach_what_there_is_but_each_other() -> None:
    rules = made("host")
    for target in (WORLD, METADATA, DATABASE, *INNER):
        assert passes(rules, ACTION, target, 80)
    assert not passes(rules, ACTION, OTHER, 8080)


def test_networks_with_public_addresses_can_be_named() -> None:
    rules = made(inner=("93.184.0.0/16", "2606:2800::/32"))
    assert not passes(rules, ACTION, WORLD, 443)
    assert not passes(rules, ACTION, WORLD6, 443)
    assert passes(rules, ACTION, Pod("1.1.1.1"), 443)


def test_pods_of_another_deployment_are_left_alone() -> None:
    other = Pod("10.1.0.12", "actions", Maker(invoker=0, release="prod", instance="i", boot="b").labels("a"))
    assert passes(made(), DATABASE, other, 8080)


def test_what_is_excepted_lies_in_its_block() -> None:
    """Else the API refuses it."""
    egress = made()[0]["spec"]["egress"]  # type: ignore[index]
    blocks = [peer["ipBlock"] for peer in chain.from_iterable(rule["to"] for rule in egress) if "ipBlock" in peer]
    assert len(blocks) == 3
    for block in blocks:
        outer = ip_network(block["cidr"])
        for each in block.get("except", ()):
            inner = ip_network(each)
            assert inner.version == outer.version
            assert inner.prefixlen > outer.prefixlen
