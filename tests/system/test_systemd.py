"""The units of docs/reference/systemd: systemd understands them, `upcall` their commands, and a stop has its time."""

import os
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from upcall.bus.kafka import FLUSH
from upcall.catalogue import settings_of
from upcall.setting import Role

UNITS = Path(__file__).parents[2] / "docs" / "reference" / "systemd"
ROLES: tuple[Role, ...] = ("invoker", "controller")
RECORDS = 10
"""Seconds that a store which is away may take at the end."""


def service(role: Role) -> dict[str, str]:
    unit = RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(UNITS / f"upcall-{role}@.service")
    return dict(unit["Service"])


@pytest.mark.parametrize("role", ROLES)
def test_a_stop_has_time_for_the_grace_and_what_is_written_down(role: Role) -> None:
    grace = next(setting.default for setting in settings_of(role) if setting.name == "grace")
    assert grace.endswith(" s")
    assert int(service(role)["TimeoutStopSec"]) > float(grace.removesuffix(" s")) + RECORDS + 2 * FLUSH
    assert service(role)["KillMode"] == "mixed"


@pytest.mark.parametrize("role", ROLES)
def test_the_command_is_one_and_its_folder_is_the_unit_s(role: Role) -> None:
    program, command, *options = service(role)["ExecStart"].split()
    assert (Path(program).name, command) == ("upcall", role)
    name, _, folder = service(role)["Environment"].partition("=")
    environment = {"PATH": os.environ["PATH"], name: folder, "KAFKA_HOSTS": "kafka:9092"}
    shown = subprocess.run(
        [sys.executable, "-m", "upcall", "config", "--role", role, *(word.replace("%i", "3") for word in options)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert shown.returncode == 0, shown.stderr
    rows = {row.split()[0]: row.split()[1:] for row in shown.stdout.splitlines() if row.split()[1:]}
    assert rows["id"] == ["3", "--id"]
    assert rows["data"] == [f"/var/lib/{service(role)['StateDirectory']}", "UPCALL_DATA"]


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and os.environ.get("CI") != "true",
    reason="systemd-analyze is of Debian's package systemd; with CI=true its absence is a failure",
)
@pytest.mark.parametrize("role", ROLES)
def test_systemd_understands_it(role: Role, tmp_path: Path) -> None:
    unit = tmp_path / f"upcall-{role}@.service"
    unit.write_text((UNITS / unit.name).read_text().replace("/opt/upcall/bin/upcall", "/bin/true"))
    instance = unit.with_name(f"upcall-{role}@0.service")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(instance)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
