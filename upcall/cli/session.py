"""From a command's flags to its client; `-v` tells on stderr where each property came from."""

import os
from typing import NamedTuple

import click

from upcall.cli.client import SILENCE, Client, Trace
from upcall.cli.flags import given
from upcall.cli.properties import SECRETS, Properties, find


class Name(NamedTuple):
    """An entity's name as the user wrote it, taken apart. `text` is `[package/]entity`."""

    namespace: str
    text: str

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(self.text.split("/"))

    def __str__(self) -> str:
        return f"/{self.namespace}/{self.text}"


def properties(context: click.Context) -> Properties:
    found = find(given(context), os.environ)
    trace = _trace(context)
    for name, value in found.values.items():
        trace(f"{name}: {'(hidden)' if name in SECRETS else value.text}, from {value.source}")
    return found


def connect(context: click.Context, patience: float = SILENCE) -> Client:
    """`patience`: seconds for an answer. Raises Refused where no server is known."""
    return connect_as(context, properties(context), patience)


def connect_as(context: click.Context, found: Properties, patience: float = SILENCE) -> Client:
    """Raises Refused where `found` has no server."""
    return Client(found, _trace(context), bodies=bool(given(context).get("debug")), patience=patience)


def name(client: Client, text: str) -> Name:
    """`hello`, `package/hello`, `/namespace/hello`, `[/]namespace/package/hello`. Raises UsageError."""
    parts = text.removeprefix("/").split("/")
    if not all(parts) or not 1 <= len(parts) <= 3 or (text.startswith("/") and len(parts) == 1):
        raise click.UsageError(f"'{text}' is no name: write NAME, PACKAGE/NAME or /NAMESPACE/[PACKAGE/]NAME.")
    if text.startswith("/") or len(parts) == 3:
        return Name(parts[0], "/".join(parts[1:]))
    return Name(client.namespace, "/".join(parts))


def scope(client: Client, text: str | None) -> tuple[str, str | None]:
    """Namespace, and which action in it or None for all: of nothing, `/namespace`, or an action's name. Raises
    UsageError."""
    if not text:
        return client.namespace, None
    if text.startswith("/") and "/" not in text.strip("/") and text.strip("/"):
        return text.strip("/"), None
    named = name(client, text)
    return named.namespace, named.text


def _trace(context: click.Context) -> Trace:
    if not {"verbose", "debug"} & given(context).keys():
        return lambda text: None
    return lambda text: click.echo(text, err=True)
