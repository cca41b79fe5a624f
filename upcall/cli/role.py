"""What the commands that are a process of the platform share: `serve`, `invoker`, `controller`.

Their options are the settings of the role that say how they are written; values come from flags, variables and a file.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import click

from upcall.catalogue import settings_of
from upcall.cli.refusal import GENERAL
from upcall.config import load
from upcall.setting import Role, Setting

EPILOG = """\b
Each option is also a variable (UPCALL_PORT) and a key of the configuration file (port = 3233);
OpenWhisk's CONFIG_whisk_… and LIMITS_… variables are honoured. Other users of this machine can read
a command line: give keys and passwords by UPCALL_AUTH and UPCALL_STORE where there are any.
More settings: docs/reference/settings.md. All that count here, and where they come from:
"""


class WrongWords(click.UsageError):
    exit_code = GENERAL


class Deployed(click.Command):
    """A command whose command line is a deployment's. A wrong one ends it as a wrong setting does, with 1 (spec:
    invoker.md §2)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise WrongWords(error.format_message(), ctx) from None


def epilog(role: Role) -> str:
    return f"{EPILOG}upcall config --role {role}\n"


def options(*roles: Role, hidden: bool = False) -> Callable[[Any], Any]:
    """Those of the roles' settings that are written as flags, and `--config`."""

    def add(function: Any) -> Any:
        of_all = {setting.field: setting for role in reversed(roles) for setting in settings_of(role) if setting.flag}
        function = click.option(
            "--config",
            type=click.Path(path_type=Path),
            envvar="UPCALL_CONFIG",
            metavar="FILE",
            help="TOML file with settings.",
        )(function)
        for setting in reversed(of_all.values()):
            function = _option(setting, hidden)(function)
        return function

    return add


def _option(setting: Setting, hidden: bool) -> Callable[[Any], Any]:
    names = (setting.option, *setting.also, setting.field)
    if setting.bare:
        return click.option(*names, flag_value="on", help=setting.help, hidden=hidden)
    shown = f"  [default: {setting.default}]" if setting.default else ""
    return click.option(*names, metavar=setting.form, help=setting.help + shown, hidden=hidden)


def start(role: Role, config: Path | None, flags: Mapping[str, str | None]) -> None:
    """Be that process; ends with its exit code. Raises Misconfigured."""
    settings, remarks = load(flags, os.environ, config, role)
    for remark in remarks:
        print(f"upcall: {remark}", file=sys.stderr)
    from upcall import app

    code = app.run(settings, _say)
    _let_go(sys.stdout, sys.stderr)
    sys.exit(code)


def _say(text: str) -> None:
    """Print, even if nobody reads."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def _let_go(*streams: TextIO | None) -> None:
    """What a closed pipe or terminal did not take would be tried once more at exit, and change the exit code."""
    for stream in streams:
        if stream is None:
            continue  # it was closed when we were started
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
