"""What the user's command line could not do, told in one line: `error: WHAT: WHY (code TRANSACTION-ID)`.

Exit codes are `wsk`'s (spec: cli-admin.md §2): 1 in general, 2 for a wrong command line, 3 where the server cannot be
reached, `(status - 256) mod 256` where it refused. A wrong command line raises
`click.UsageError`.
"""

import os

import click

GENERAL, USAGE, NETWORK = 1, 2, 3
ACCEPTED = 202
"""Of a blocking call that is still running."""
INTERRUPTED, PIPE_CLOSED = 130, 141
"""As a shell shows a death by SIGINT, SIGPIPE."""


class Refused(Exception):
    """Ends the command with `code`."""

    def __init__(self, text: str, code: int = GENERAL) -> None:
        super().__init__(" ".join(text.split("\n")))
        self.code = code


class Unwritable(Exception):
    """Standard output takes no more: its reader has gone (`code` 141), or its disk is full."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"the output cannot be written: {error.strerror}")
        self.code = PIPE_CLOSED if isinstance(error, BrokenPipeError) else GENERAL


def exit_code(status: int) -> int:
    """Of a server's answer: 404 → 148."""
    return (status - 256) % 256


def tell(error: Refused | click.ClickException) -> int:
    """Print it in one line, with the way to the help where the command line was wrong; the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if isinstance(error, Refused):
        text, code = str(error), error.code
    else:
        context = error.ctx if isinstance(error, click.UsageError) else None
        text, code = error.format_message(), error.exit_code
        text = " ".join(text.split("\n")) + (f" (see: {context.command_path} --help)" if context else "")
    click.echo(click.style("error:", fg="red") + f" {text}", err=True, color=colour())
    return code


def colour() -> bool | None:
    """None leaves it to the stream: colours on a terminal."""
    return False if os.environ.get("NO_COLOR") else None
