"""Flags that every verb of the user's command line takes, wherever they stand: `upcall -i action list` is
`upcall action list -i`.

Each level has them as options of its own; what is given on any level is collected in the root's context, the innermost
last. A command whose own option has the same name (`property set --apihost`) keeps its own.
"""

from collections.abc import Mapping, MutableMapping
from typing import Any

import click

from upcall.cli.refusal import Unwritable

_HELD = "upcall.flags"


def _collect(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value not in (None, False):
        held: MutableMapping[str, Any] = context.find_root().meta.setdefault(_HELD, {})
        held[str(option.name)] = value


def _flag(*names: str, help: str, metavar: str | None = None) -> click.Option:
    return click.Option(
        names, help=help, metavar=metavar, is_flag=metavar is None, callback=_collect, expose_value=False
    )


FLAGS = (
    _flag("--apihost", metavar="HOST", help="The server, as HOST or http://HOST:PORT."),
    _flag("-u", "--auth", metavar="KEY", help="Credentials, as UUID:KEY."),
    _flag("-i", "--insecure", help="Accept any certificate of the server."),
    _flag("--cert", metavar="FILE", help="Certificate of the client, PEM."),
    _flag("--key", metavar="FILE", help="Private key of the client's certificate, PEM."),
    _flag("--apiversion", metavar="VERSION", help="Version of the API. [default: v1]"),
    _flag("-v", "--verbose", help="Say which server was found where, and what is asked."),
    _flag("-d", "--debug", help="The same, with headers and bodies; keys stay hidden."),
)


def given(context: click.Context) -> Mapping[str, Any]:
    """What was set on the command line so far, by the name of the option."""
    held: Mapping[str, Any] = context.find_root().meta.get(_HELD, {})
    return held


class Flagged(click.Command):
    """A command that takes the flags too, and lists them apart from its own options."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        own = {name for param in self.params for name in (param.name, *param.opts)}
        self.shared = [flag for flag in FLAGS if own.isdisjoint((flag.name, *flag.opts))]
        self.params += self.shared

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for title, shared in (("Options", False), ("Flags of verbs that ask a server", True)):
            params = [param for param in options if (param in self.shared) is shared]
            records = [record for param in params if (record := param.get_help_record(ctx))]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Verb(Flagged):
    """A verb that talks to a server. Files and network are looked after where they are used: what is left is output."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            raise Unwritable(error) from error


class VerbGroup(Flagged, click.Group):
    """Verbs on one kind of thing."""

    command_class = Verb

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        Flagged.format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)
