"""`upcall serve`: the platform in one process, settings from flags, variables and a file."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import click

from upcall.config import SETTINGS, load

EPILOG = """\b
Each option is also a variable (UPCALL_PORT) and a key of the configuration file (port = 3233);
OpenWhisk's CONFIG_whisk_… and LIMITS_… variables are honoured. Other users of this machine can read
a command line: give keys and passwords by UPCALL_AUTH and UPCALL_STORE where there are any.
More settings: docs/reference/settings.md.
"""


def _options(function: Any) -> Any:
    for setting in reversed([setting for setting in SETTINGS if setting.flag]):
        shown = f"  [default: {setting.default}]" if setting.default else ""
        function = click.option(setting.option, setting.field, metavar=setting.form, help=setting.help + shown)(
            function
        )
    return function


@click.command("serve", epilog=EPILOG)
@_options
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="UPCALL_CONFIG",
    metavar="FILE",
    help="TOML file with settings.",
)
def command(config: Path | None, **flags: str | None) -> None:
    """Run the whole platform on this machine: REST API, Invoker, store and sandboxes in one process.

    Stop it with Ctrl-C: running actions get the time of --grace to end.
    """
    from upcall import app

    settings, remarks = load(flags, os.environ, config)
    for remark in remarks:
        print(f"upcall: {remark}", file=sys.stderr)
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
