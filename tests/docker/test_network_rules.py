"""The rules about containers' packets: where they can be had, whose they are, and that they go."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.hostile import REFUSED, bridging, hostile, network, of, own_addresses
from tests.system.engine import Engine
from tests.system.networks import listening, output, own_network
from upcall.containers.docker import bridge as bridge_module
from upcall.containers.docker import openings, rules
from upcall.containers.docker.openings import Opening
from upcall.errors import Misconfigured
from upcall.runtimes.python.rtnetlink import Netlink
from upcall.testing import until

BRIDGED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


def ruleset() -> str:
    """What there is, without counters."""
    return re.sub(r"packets \d+ bytes \d+", "", output("nft", "list", "ruleset"))


def tables() -> list[str]:
    return [line for line in output("nft", "list", "tables").splitlines() if "upcall" in line]


def neighbours() -> set[str]:
    """Whose addresses the host remembers."""
    with Netlink() as netlink:
        return {mac for _, _, mac in netlink.neighbours()}


@pytest.fixture
def without_bridges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An nft as on a kernel without rules for bridges."""
    there = tmp_path / "nft"
    there.write_text(
        '#!/bin/sh\nscript=$(cat)\ncase "$script" in *"table bridge"*) echo "no bridges" >&2; exit 1;; esac\n'
        f'printf "%s" "$script" | {shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin")} "$@"\n'
    )
    there.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before = BRIDGED.read_text()
    yield
    BRIDGED.write_text(before)


async def test_what_was_there_before_is_there_as_it_was(inside: Engine) -> None:
    before = ruleset()
    async with bridging(inside):
        assert len(tables()) == 2
        assert before in ruleset()
    assert ruleset() == before


async def test_what_a_killed_platform_left_is_replaced(inside: Engine) -> None:
    async with bridging(inside) as killed:
        left = tables()
        output("nft", "add", "rule", "inet", left[0].split()[-1], "refuse", "counter comment of-a-killed-one")
        mac = killed.take_mac()
        killed.meet("172.17.200.1", mac)
        assert mac in neighbours()
        async with bridging(inside):
            assert tables() == left
            assert "of-a-killed-one" not in ruleset()
            assert mac not in neighbours()
    assert tables() == []


async def test_an_api_that_moves_is_followed_and_stays_where_it_was_while_its_name_is_not_known(
    inside: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    places: list[str] = ["10.5.5.1"]

    def found(url: str) -> tuple[Opening, ...]:
        if not places:
            raise OSError("nobody knows that name")
        return (Opening(address=places[0], port=80),)

    monkeypatch.setattr(openings, "api", found)
    monkeypatch.setattr(bridge_module, "LOOK", 0.02)
    monkeypatch.setattr(bridge_module, "SELDOM", 0.02)
    async with bridging(inside, api_host="http://api.test"):
        assert "10.5.5.1" in ruleset()
        places[0] = "10.5.5.2"
        await until(lambda: "10.5.5.2" in ruleset() and "10.5.5.1" not in ruleset())
        places.clear()
        await until(lambda: caplog.text.count("api.test has no address now: nobody knows that name") > 2)
        assert "10.5.5.2" in ruleset()


async def test_two_platforms_leave_each_others_rules_alone(inside: Engine) -> None:
    with network(inside, "made"):
        async with bridging(inside, owner="one", network="made") as one:
            async with bridging(inside, owner="two", network="made") as two:
                assert len(tables()) == 4
                assert one.api_host != two.api_host
                with of(one, inside, "made") as ones, of(two, inside, "made") as others:
                    assert [await each.get("/") for each in (ones, others)] == ["api", "api"]
                    assert await ones.seen((others.address, 8080, "open")) == [REFUSED]
                    gateway, _, port = two.api_host.removeprefix("http://").partition(":")
                    assert await ones.seen((gateway, int(port), "open")) == [REFUSED]
            assert len(tables()) == 2
            with of(one, inside, "made") as ones:
                assert await ones.get("/") == "api"


async def test_platforms_have_tags_of_their_own(inside: Engine) -> None:
    first = rules.reserve("one")
    assert rules.reserve("one") == first
    try:
        taken = {first}
        for number in range(8):
            output("nft", "add", "table", "inet", f"upcall_docker_{(first + 1 + number) % 256:02x}_00000000")
            taken.add((first + 1 + number) % 256)
        rules.remove("one")
        output("nft", "add", "table", "inet", f"upcall_docker_{first:02x}_00000000")
        assert rules.reserve("one") == (first + 9) % 256
    finally:
        rules.remove("one")
        for tag in taken:
            output("nft", "delete", "table", "inet", f"upcall_docker_{tag:02x}_00000000")
    assert tables() == []


async def test_an_ordinary_user_is_warned_that_there_are_none(inside: Engine, caplog: pytest.LogCaptureFixture) -> None:
    os.chmod(inside.folder, 0o755)
    os.chmod(inside.path, 0o666)
    os.seteuid(54321)
    try:
        async with bridging(inside, None) as bridge:
            assert bridge.take_mac() == ""
            cause = "actions in containers reach what listens on this host, and each other: root alone may set rules"
            assert cause in caplog.text
            assert bridge.facts()["network"].startswith("open, docker0 (bridge); actions in containers reach")
            assert re.fullmatch(rf"http://{own_addresses()[0]}:\d+", bridge.api_host)
            with hostile(inside, api_host=bridge.api_host) as container:
                assert await container.get("/") == "api"
        with pytest.raises(Misconfigured, match=r"--action-network private cannot be had.*root alone"):
            async with bridging(inside, "private"):
                pass
    finally:
        os.seteuid(0)
        os.chmod(inside.folder, 0o700)


async def test_where_the_network_is_not_here_that_is_told(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with own_network():
        async with bridging(engine, None) as bridge:
            assert bridge.api_host == ""
            assert bridge.facts() == {"network": f"open, elsewhere (bridge); {bridge._guard.lack}", "api": "none"}
        assert "do not reach the API: the engine's network bridge is no bridge of this host; set --api-h" in caplog.text
        assert "reach what listens on this host, and each other: the engine's network bridge is no br" in caplog.text
        with pytest.raises(Misconfigured, match=r"--action-network none cannot be had.*is no bridge of this host"):
            async with bridging(engine, "none"):
                pass


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("none", "has no address, by which it is reached.*--docker-network"),
        ("host", "each container would listen on port 8080.*--docker-network"),
        (
            "absent",
            "no network 'absent': make it .docker network create absent., or name another with --docker-network",
        ),
        ("a/../b", "'a/../b' is no name of a Docker network"),
    ],
)
async def test_networks_that_cannot_be_used_are_refused_with_the_way_out(inside: Engine, name: str, text: str) -> None:
    with pytest.raises(Misconfigured, match=text):
        async with bridging(inside, network=name):
            pass
    assert tables() == []


async def test_without_rules_for_bridges_those_for_routers_serve_if_they_see_neighbours(
    inside: Engine, without_bridges: None, caplog: pytest.LogCaptureFixture
) -> None:
    with listening() as port:
        BRIDGED.write_text("1")
        async with bridging(inside) as bridge, bridging(inside, owner="another"):
            with of(bridge, inside) as container, of(bridge, inside) as ours:
                assert await container.seen((ours.address, 8080, "open")) == [REFUSED]
        BRIDGED.write_text("0")
        with pytest.raises(Misconfigured, match="containers would reach each other: modprobe br_netfilter"):
            async with bridging(inside):
                pass
        assert not caplog.messages
        async with bridging(inside, None) as bridge:
            assert "different namespaces reach each other: this kernel has no rules for bridges" in caplog.text
            with of(bridge, inside) as container, of(bridge, inside) as ours:
                calls = [(ours.address, 8080, "open"), (own_addresses()[0], port, "tcp")]
                assert await container.seen(*calls) == ["open", REFUSED]
