"""What the README claims, run as it stands there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.system.serving import running

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for named, text in fenced if named == language]


def test_the_examples_print_what_the_readme_shows(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("UPCALL_", "XDG_"))}
    with running(home / ".local" / "share" / "upcall") as platform:
        for block, shown in zip(blocks("sh"), blocks(""), strict=True):
            script = block.replace("127.0.0.1:3233", f"127.0.0.1:{platform.port}").replace("/tmp/", f"{tmp_path}/")
            done = subprocess.run(
                ["bash", "-euc", script],
                capture_output=True,
                text=True,
                check=False,
                cwd=ROOT,
                env={**environment, "HOME": str(home)},
                timeout=60,
            )
            assert (done.stdout.strip("\n"), done.stderr) == (shown.strip("\n"), "")


def test_the_operators_commands_of_the_readme_work_beside_a_running_platform(tmp_path: Path) -> None:
    commands = [line.strip() for line in README.splitlines() if line.startswith("    .venv/bin/upcall ")]
    assert len(commands) == 3
    home = tmp_path / "home"
    with running(home / ".local" / "share" / "upcall"):
        for command in commands:
            script = command.replace("/var/backups", str(tmp_path))
            subprocess.run(
                ["bash", "-euc", script], check=True, cwd=ROOT, env={**os.environ, "HOME": str(home)}, timeout=60
            )


def test_help_names_the_options_of_the_readme() -> None:
    done = subprocess.run([ROOT / "scripts" / "serve", "--help"], capture_output=True, text=True, check=True)
    named = re.findall(r"`(--[a-z-]+)`", README)
    assert len(named) > 5
    assert [option for option in named if option not in done.stdout] == []


def test_the_setup_is_done_at_once_when_nothing_has_changed() -> None:
    traced = subprocess.run(
        ["bash", "-x", ROOT / "scripts" / "setup"], capture_output=True, text=True, check=True, timeout=60
    )
    commands = [
        line for line in traced.stderr.splitlines() if re.search(r"^\++ (apt-get|sudo|\S*uv|\S*python3?) ", line)
    ]
    assert commands == []


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)]+)\)", README))))
def test_every_link_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()
