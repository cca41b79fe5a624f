"""Help on a terminal of 80 columns."""

import click
import pytest
from click.testing import CliRunner

from upcall.cli.main import VERBS, cli

GROUPS = ["", "action", "activation", "doctor", "export", "import", "limits", "namespace", "property", "user"]


@pytest.mark.parametrize("group", GROUPS)
def test_no_command_is_described_by_half_a_sentence(group: str) -> None:
    shown = CliRunner().invoke(cli, [*group.split(), "--help"], terminal_width=80).output
    commands = shown.partition("Commands:\n")[2].splitlines()
    assert commands
    assert [line for line in commands if not line.endswith(".")] == []
    assert [line for line in commands if line.endswith("...")] == []


def test_each_group_is_tried() -> None:
    context = click.Context(cli)
    groups = [name for name in sorted(VERBS) if isinstance(cli.get_command(context, name), click.Group)]
    assert groups == GROUPS[1:]
