"""The command `upcall`: loads a verb's module only when the verb is used, so that start-up stays short.

A refusal that the user can mend (`UpcallError`) is one line on stderr and exit code 1; no stack trace.
"""

import importlib
import sys

import click

from upcall import __version__
from upcall.errors import UpcallError

VERBS = {"serve": ("upcall.cli.serve", "Run the whole platform on this machine.")}


class Verbs(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(VERBS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(VERBS.items())])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """A serverless platform that speaks Apache OpenWhisk's interfaces.

    \b
    upcall serve                      runs it here, on http://127.0.0.1:3233
    upcall COMMAND --help             says more of one command
    """


def main() -> None:
    """The entry point."""
    try:
        cli(prog_name="upcall")
    except UpcallError as error:
        print(f"upcall: {error}", file=sys.stderr)
        sys.exit(1)
