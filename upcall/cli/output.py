"""What verbs print: `wsk`'s lines and lists, and JSON of four spaces; colours on a terminal only.

    ok: created action hello
    /guest/hello                                                           private python:3

`--json` prints the server's document instead, and nothing else.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from upcall.cli.refusal import Refused

Document = Mapping[str, Any]
STATUSES = ("success", "application error", "developer error", "internal error")

as_json: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print the server's JSON alone.")


def ok(text: str, *, err: bool = False) -> None:
    click.echo(f"{click.style('ok:', fg='green')} {text}", err=err)


def bold(text: str) -> str:
    return click.style(text, bold=True)


def document(value: Any, *, err: bool = False) -> None:
    click.echo(json.dumps(value, indent=4, ensure_ascii=False), err=err)


def line(value: Any) -> None:
    """JSON in one line, at once."""
    click.echo(json.dumps(value, ensure_ascii=False))


def field(value: Document, name: str) -> Any:
    """A member of a document. Raises Refused, naming those there are."""
    if name not in value:
        raise Refused(f"there is no field '{name}'; there are: {', '.join(value)}")
    return value[name]


def annotation(value: Document, key: str) -> Any:
    """The value of an annotation, or None."""
    return next((entry.get("value") for entry in value.get("annotations") or () if entry.get("key") == key), None)


def actions(listed: Sequence[Document]) -> None:
    """Name, whether shared, kind."""
    click.echo(bold("actions"))
    for entry in listed:
        shared = "shared" if entry.get("publish") else "private"
        click.echo(f"/{entry['namespace']}/{entry['name']}".ljust(70) + f" {shared} {annotation(entry, 'exec') or ''}")


def names(title: str, listed: Sequence[Document]) -> None:
    """Of entities that are not run by themselves."""
    click.echo(bold(title))
    for entry in listed:
        shared = "shared" if entry.get("publish") else "private"
        click.echo(f"/{entry['namespace']}/{entry['name']}".ljust(70) + f" {shared}")


def activations(listed: Sequence[Document]) -> None:
    columns = ("Datetime", "Activation ID", "Kind", "Start", "Duration", "Status", "Entity")
    click.echo(bold(_activation_row(columns)))
    for entry in listed:
        status = _status(entry)
        row = _activation_row(
            (
                local_time(entry["start"]),
                entry["activationId"],
                annotation(entry, "kind") or "unknown",
                "warm" if annotation(entry, "initTime") is None else "cold",
                duration(entry.get("duration", 0)),
                "{status}",
                f"{entry['namespace']}/{entry['name']}:{entry['version']}",
            )
        )
        shown = click.style(status, fg="green" if status == STATUSES[0] else "red")
        click.echo(row.replace("{status}".ljust(17), shown + " " * (17 - len(status)), 1))


def local_time(ms: int) -> str:
    """`2026-11-23 04:00:00`, of ms since 1970."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000))


def duration(ms: int) -> str:
    """`3ms`, `1.25s`, `1m3.5s`, `1h0m0s`."""
    if ms < 1000:
        return f"{ms}ms" if ms > 0 else "0s"
    minutes, rest = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + seconds


def _activation_row(cells: Sequence[str]) -> str:
    widths = (19, 32, 11, 5, 10, 17)
    return " ".join([cell.ljust(width) for cell, width in zip(cells[:-1], widths, strict=True)] + [cells[-1]])


def _status(entry: Document) -> str:
    code = entry.get("statusCode", 0)
    return STATUSES[code] if 0 <= code < len(STATUSES) else str(code)
