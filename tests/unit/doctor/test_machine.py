"""What keeps `upcall serve` from starting, or makes it fall to less isolation: named, and nothing else is blamed."""

from typing import Any

import msgspec

from upcall.doctor.checks import machine as checks
from upcall.doctor.facts.machine import Machine, gather
from upcall.doctor.finding import CommandPatch, Finding
from upcall.host import Room

WELL = Machine(
    groups=("cpu", "freezer", "memory", "pids"), memory=6000, least=256,
    room=Room(containers=46, files=1 << 20, files_wanted=404, tasks=10_000, tasks_wanted=248),
)  # fmt: skip
OFF = ("user.max_user_namespaces", "0", "65536")


def on(**changes: Any) -> list[Finding]:
    machine = msgspec.structs.replace(WELL, **changes)
    return [each for check in checks.CHECKS for each in check(machine)]


def ids(**changes: Any) -> list[str]:
    return [each.id for each in on(**changes)]


def test_a_machine_that_is_well() -> None:
    assert on() == []
    assert on(room=WELL.room._replace(tasks=-1)) == []


def test_a_setting_is_blamed_where_sandboxes_cannot_be_made_alone() -> None:
    assert on(forbidding=[OFF]) == []
    (found,) = on(refused="bwrap: Creating new namespace failed: No space left on device", forbidding=[OFF])
    assert found.id == "LOCAL-01"
    assert "user.max_user_namespaces is 0" in found.cause
    assert found.patch == CommandPatch(argv=("sysctl", "-w", "user.max_user_namespaces=65536"))
    assert ids(refused="bwrap: no") == ["LOCAL-01"]


def test_what_is_missing() -> None:
    assert ids(missing="bubblewrap is missing", refused="") == ["LOCAL-02"]
    (found,) = on(no_way_out="pasta is missing, which leads actions out: apt-get install passt (or slirp4netns)")
    assert (found.id, found.severity) == ("LOCAL-03", "warning")
    assert found.fix.startswith("apt-get install passt (or slirp4netns). ")


def test_a_firewall_that_drops() -> None:
    assert ids(dropping="chain ip filter FORWARD, policy drop") == ["LOCAL-04"]


def test_cgroups_that_may_not_be_used() -> None:
    assert ids(groups=()) == ["LOCAL-05"]
    assert ids(groups=("freezer", "memory")) == ["LOCAL-05"]
    assert ids(groups=("memory", "pids")) == []


def test_too_little_of_something() -> None:
    assert ids(memory=255) == ["LOCAL-06"]
    assert ids(room=WELL.room._replace(files=403)) == ["HOST-14"]
    assert ids(room=WELL.room._replace(tasks=247)) == ["HOST-14"]


def test_this_machine_is_read() -> None:
    machine = gather()
    assert machine.memory > 0
    assert machine.room.files_wanted > machine.room.containers
