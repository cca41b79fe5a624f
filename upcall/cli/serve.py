"""`upcall serve`: the platform in one process, settings from flags, variables and a file."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from upcall.config import SETTINGS, load

EPILOG = """\b
Each option is also a variable (UPCALL_PORT) and a key of the configuration file (port = 3233);
OpenWhisk's CONFIG_whisk_… and LIMITS_… variables are honoured.
More settings: docs/reference/settings.md.
"""


def _options(function: Any) -> Any:
    for setting in reversed([setting for setting in SETTINGS if setting.flag]):
        shown = f"  [default: {setting.default}]" if setting.default else ""
        function = click.option(
            f"--{setting.name}", setting.field, metavar=setting.name.upper(), help=setting.help + shown
        )(function)
    return function


@click.command("serve", epilog=EPILOG)
@_options
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="UPCALL_CONFIG",
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
    sys.exit(app.run(settings, lambda text: print(text, flush=True)))
