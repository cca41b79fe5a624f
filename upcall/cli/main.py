"""The command `upcall`: loads a verb's module only when the verb is used, so that start-up stays short.

What the user can mend is one line on stderr and an exit code (`upcall.cli.refusal`); no stack trace. The user's verbs
take `wsk`'s flags before and after the verb (`upcall.cli.flags`).
"""

import importlib
import io
import os
import sys

import click

from upcall import __version__
from upcall.cli.flags import Flagged, VerbGroup, given
from upcall.cli.refusal import GENERAL, INTERRUPTED, PIPE_CLOSED, Refused, Unwritable, colour, tell
from upcall.errors import UpcallError

VERBS = {
    "action": ("upcall.cli.action", "Create, call, read, list and delete actions."),
    "activation": ("upcall.cli.activation", "Read records, logs and results of calls."),
    "clean": ("upcall.cli.clean", "Remove what upcall has left on a Docker engine (operator)."),
    "completion": ("upcall.cli.completion", "Print the script for a shell's completion."),
    "backup": ("upcall.cli.backup", "Copy the database while the platform runs (operator)."),
    "config": ("upcall.cli.config", "Show each setting and where it comes from (operator)."),
    "controller": ("upcall.cli.controller", "Run the API alone, with Invokers elsewhere (operator)."),
    "doctor": ("upcall.cli.doctor", "Name what is wrong with a host or a cluster, and what helps."),
    "export": ("upcall.cli.exports", "Copy what is here to an OpenWhisk's CouchDB (operator)."),
    "import": ("upcall.cli.imports", "Copy an existing OpenWhisk from its CouchDB (operator)."),
    "invoker": ("upcall.cli.invoker", "Run one Invoker, a worker behind Kafka (operator)."),
    "list": ("upcall.cli.everything", "List all that is in a namespace."),
    "log-level": ("upcall.cli.loglevel", "Show or set how much a running platform logs (operator)."),
    "limits": ("upcall.cli.limits", "Set a namespace's own limits (operator)."),
    "manifests": ("upcall.cli.manifests", "Write what Kubernetes is to be given (operator)."),
    "namespace": ("upcall.cli.namespace", "List namespaces and what is in one."),
    "property": ("upcall.cli.property", "Say once which server and key are used."),
    "status": ("upcall.cli.status", "Say whether the platform is well, and what it is at (operator)."),
    "top": ("upcall.cli.top", "Show what the platform is at, again and again (operator)."),
    "serve": ("upcall.cli.serve", "Run the whole platform on this machine."),
    "user": ("upcall.cli.user", "Make and block subjects, show and replace keys (operator)."),
}
"""Module, which has the click command as `command`, and the line of the help."""


class Verbs(VerbGroup):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(VERBS[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            name, command, rest = super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=VERBS, ctx=ctx) from None
        if given(ctx) and not isinstance(command, Flagged):
            flags = ", ".join(f"--{flag}" for flag in given(ctx))
            raise click.UsageError(f"{flags}: '{name}' does not take this before its name.", ctx)
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(VERBS.items())])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """A serverless platform that speaks Apache OpenWhisk's interfaces.

    \b
    upcall serve                              runs it here, on http://127.0.0.1:3233
    upcall action create hello hello.py       puts a function on it, in another terminal
    upcall action invoke hello -r -p name Ada calls it
    upcall COMMAND --help                     says more of one command
    """
    context.color = colour()


def main() -> None:
    """The entry point."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not know a result's characters
    try:
        code = _run()
        _flush()
    except Unwritable as error:
        code = error.code
        _let_go()
        if code != PIPE_CLOSED:
            tell(Refused(str(error)))
    sys.exit(code)


def _run() -> int:
    try:
        returned = cli.main(prog_name="upcall", standalone_mode=False)
    except (Refused, click.ClickException) as error:
        return tell(error)
    except click.Abort:
        return INTERRUPTED
    except UpcallError as error:
        print(f"upcall: {error}", file=sys.stderr)
        return GENERAL
    return returned if isinstance(returned, int) else 0


def _flush() -> None:
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError as error:
        raise Unwritable(error) from error


def _let_go() -> None:
    """What standard output did not take would be tried once more at exit."""
    if sys.stdout:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
