"""`upcall doctor --machine` where a machine is ill: made so in namespaces of its own, the host stays as it is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PYTHON = str(Path(sys.executable))
UPCALL = Path(sys.executable).with_name("upcall")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and firewalls are root's to set up")


def ask(*before: str, **variables: str) -> dict[str, Any]:
    command = [*before, PYTHON, str(UPCALL), "doctor", "--machine", "--json"]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def named(found: dict[str, Any]) -> set[str]:
    return {each["id"] for each in found["findings"]}


@pytest.fixture(scope="module")
def usual() -> set[str]:
    """What this machine has anyway: nothing, where it is one for tests."""
    return named(ask())


def test_this_machine_is_well(usual: set[str]) -> None:
    assert usual == set()


@as_root
def test_user_namespaces_that_are_switched_off() -> None:
    off = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    found = ask("unshare", "--user", "--map-root-user", "sh", "-c", off, "sh")
    (told,) = [each for each in found["findings"] if each["id"] == "LOCAL-01"]
    assert told["patch"]["argv"] == ["sysctl", "-w", "user.max_user_namespaces=65536"]
    assert named(found) - {"LOCAL-05"} == {"LOCAL-01"}  # that root may make no cgroups


@as_root
@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ("iptables -P FORWARD DROP", {"LOCAL-04"}),
        ("iptables -P FORWARD DROP; iptables -N DOCKER-USER", set[str]()),
        ("iptables -P FORWARD DROP; iptables -I FORWARD -i uc+ -j ACCEPT", set[str]()),
        ("iptables -P INPUT DROP", set[str]()),
        ("nft add table inet f; nft add chain inet f c '{ type filter hook forward priority 0; policy drop; }'",
         {"LOCAL-04"}),
    ],
)  # fmt: skip
def test_a_firewall_that_drops_what_it_forwards(rules: str, wanted: set[str]) -> None:
    script = f'set -e; {rules}; exec "$@"'
    assert named(ask("unshare", "--net", "sh", "-c", script, "sh")) == wanted


def test_programs_that_are_missing(tmp_path: Path) -> None:
    for name in ("sh", "env", "nft", "iptables"):
        if path := shutil.which(name):
            (tmp_path / name).symlink_to(path)
    assert "LOCAL-02" in named(ask(PATH=str(tmp_path)))


@as_root
def test_an_ordinary_user_without_a_way_out_or_cgroups() -> None:
    """From whom /dev/net/tun is hidden."""
    hide = 'mkdir -p /dev/net; mount -t tmpfs none /dev/net; exec setpriv --reuid 65534 --clear-groups "$@"'
    found = ask("unshare", "--mount", "sh", "-c", hide, "sh")
    assert {"LOCAL-03", "LOCAL-05"} <= named(found)


@as_root
def test_few_files_and_processes() -> None:
    found = ask("prlimit", "--nofile=200:200")
    assert named(found) == {"HOST-14"}
