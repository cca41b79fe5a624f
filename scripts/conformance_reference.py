"""Writes docs/reference/conformance.md from the checks; `--check` fails where it is out of date."""

import sys
from itertools import groupby
from pathlib import Path

import click

from upcall.testing.conformance.command import command
from upcall.testing.conformance.elsewhere import ELSEWHERE
from upcall.testing.conformance.every import chosen

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "conformance.md"

HEAD = """# Conformance of an Invoker

Made from `upcall/testing/conformance` by `scripts/conformance_reference.py`.

A small controller looks at one Invoker from outside, over Kafka, HTTP and the store, as OpenWhisk's own controller and
its operators would. It takes its messages from the description of the interfaces and shares no code for them with the
platform, so it says whether *any* Invoker fits, this one or another.

    pip install '.[kafka,postgres]'     # in the project's folder
    python -m upcall.testing.conformance --kafka kafka:9092 --invoker 0 --store postgresql://upcall@db/upcall \\
        --url http://invoker0:8080 --node nodejs:20 \\
        --stop 'systemctl stop upcall-invoker@0' --start 'systemctl start upcall-invoker@0' \\
        --kill 'systemctl kill -s KILL upcall-invoker@0'

It prints a line for each check and ends with 0 where all that could be looked at passed, with 1 where a check failed,
and with 2 where nothing could be looked at. A check that needs a fact or a deed which was not given is *not in reach*,
with the option that would change that. Arguments choose checks by the beginning of their ids: `acks`, `bus.ping`.

**Give it an Invoker without other work.** The checks fill its pool, disable it, and with `--stop`, `--start` and
`--kill` end it and start it again. They leave documents and records in namespaces that begin with `conformance-`, a
blocked subject that begins with `blocked-`, and a topic `completed` with the name of `--controller`. The start command
has to return when the Invoker is ready or on its way; the others when it has ended. Pools of up to 2 GB and a short
`whisk.container-proxy.timeouts.pause-grace` make it quick. The Invoker reads documents of the store that is named, so
both need the same one.

## Options

| option | meaning | default |
|---|---|---|
"""

CHECKS = """
## Checks

An id is an area and a name. The place is one in the description of OpenWhisk's interfaces that the project is built to;
where a check wants something else than upstream does, its text says what upstream does.
"""

OUT = """
## Not looked at

What OpenWhisk's tests look at besides, and why no check here does (`--all` prints these, too).

| id | place | what | why not |
|---|---|---|---|
"""


def text() -> str:
    parts = [HEAD, "\n".join(map(option_row, options())), "\n", CHECKS]
    for area, checks in groupby(chosen(), key=lambda each: each.id.partition(".")[0]):
        rows = "\n".join(f"| `{each.id}` | {each.spec} | {cell(each.what)} |" for each in checks)
        parts.append(f"\n### {area}\n\n| id | place | what has to hold |\n|---|---|---|\n{rows}\n")
    rows = "\n".join(f"| `{row.id}` | {row.spec} | {cell(row.what)} | {row.why} |" for row in ELSEWHERE)
    return "".join([*parts, OUT, rows, "\n"])


def options() -> list[click.Option]:
    return [each for each in command.params if isinstance(each, click.Option)]


def option_row(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.metavar or 'VALUE'}"
    default = f"`{option.default}`" if option.show_default else ""
    return f"| `{option.opts[0]}{value}` | {cell(option.help or '')} | {default} |"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == text() else f"{PAGE} is out of date: run scripts/conformance_reference.py")
    PAGE.write_text(text())
