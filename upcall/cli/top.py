"""`upcall top`: what a platform is at, again and again: pool, queue, rates, the slowest actions, the last failures.

On a terminal it is a page that changes, elsewhere a line each time. What actions did is the difference between two
looks; the first one shows all since the start.
"""

import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from upcall.cli.flags import Verb
from upcall.cli.operating import ask, connect
from upcall.cli.refusal import Refused
from upcall.cli.status import clock, containers, duration, memory, name, rate

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

ACTIONS, FAILURES = 12, 8
Status = dict[str, Any]


class Activity(NamedTuple):
    """Of one action and caller between two looks; seconds."""

    action: str
    initiator: str
    ended: int
    failed: int
    running: int
    mean: float
    p95: float | None
    """Of all runs since the start."""


@click.command("top", cls=Verb)
@click.option("--once", is_flag=True, help="Look once, and print it.")
@click.option("--interval", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds between looks.")
@click.pass_context
def command(context: click.Context, once: bool, interval: float) -> None:
    """Show what the platform is at, until Ctrl-C (operator)."""
    client = connect(context)

    def look() -> Status:
        status: Status = ask(client, "GET", "/status").document
        if "pool" not in status:
            raise Refused(f"{client.address} is a controller, which runs no actions: ask an Invoker")
        return status

    if once:
        _print(look())
        return
    try:
        if sys.stdout.isatty():
            _live(look, interval)
        else:
            _lines(look, interval)
    except KeyboardInterrupt:
        return


def activity(before: Status | None, after: Status) -> list[Activity]:
    """The slowest first; what has done nothing is left out."""
    known = {(each["initiator"], each["action"]): each for each in before["actions"]} if before else {}
    found = []
    for each in after["actions"]:
        old = known.get((each["initiator"], each["action"]), {"ended": 0, "failed": 0, "runs": 0, "seconds": 0.0})
        ended, runs = each["ended"] - old["ended"], each["runs"] - old["runs"]
        mean = (each["seconds"] - old["seconds"]) / runs if runs else 0.0
        if ended or each["running"] > 0:
            failed = each["failed"] - old["failed"]
            row = Activity(each["action"], each["initiator"], ended, failed, each["running"], mean, each["p95"])
            found.append(row)
    return sorted(found, key=lambda row: -row.mean)


def _lines(look: Any, interval: float) -> None:
    while True:
        status = look()
        click.echo(f"{clock(status['now'])} {status['state']}: {_summary(status)}")
        sys.stdout.flush()
        time.sleep(interval)


def _summary(status: Status) -> str:
    pool = status["pool"]
    return (
        f"{rate(status['rates'])}; {pool['running']} running, {pool['waiting']} waiting; "
        f"containers {containers(pool)}; {memory(pool['memory'])}; loop {status['loop_lag'] * 1000:.0f} ms late"
    )


def _live(look: Any, interval: float) -> None:
    from rich.live import Live

    before: Status | None = None
    status = look()
    with Live(_page(None, status), auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(interval)
            before, status = status, look()
            live.update(_page(before, status), refresh=True)


def _print(status: Status) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160, soft_wrap=False).print(_page(None, status))


def _page(before: Status | None, status: Status) -> "Group":
    from rich.console import Group

    actions = _actions(activity(before, status))
    return Group(_head(status), _numbers(status), actions, _failures(status["failures"]))


def _head(status: Status) -> "Text":
    from rich.text import Text

    up = duration((status["now"] - status["started"]) / 1000)
    state = (status["state"], "green" if status["state"] == "ready" else "red")
    trouble = f"\nthe store takes no writes: {status['trouble']}" if status["trouble"] else ""
    title = name(status)
    where = f" at {status['address']}: "
    return Text.assemble((title, "bold"), where, state, f"  {clock(status['now'])}, up {up}", (trouble, "red"))


def _numbers(status: Status) -> "Text":
    from rich.text import Text

    pool, kept = status["pool"], f"journal {status['journal']['activations']}, records {status['records_pending']}"
    return Text(
        f"{rate(status['rates'])}\n"
        f"{pool['running']} running, {pool['waiting']} waiting, {kept}; loop {status['loop_lag'] * 1000:.0f} ms late\n"
        f"containers {containers(pool)}\n"
        f"memory {memory(pool['memory'])}\n"
    )


def _table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        name = column.lstrip(">")
        table.add_column(name, justify="right" if column.startswith(">") else "left", no_wrap=True)
    return table


def _actions(rows: list[Activity]) -> "Table":
    from rich.text import Text

    table = _table("slowest actions", "called by", ">ended", ">failed", ">running", ">mean ms", ">p95 ms")
    for row in rows[:ACTIONS]:
        p95 = "-" if row.p95 is None else f"< {row.p95 * 1000:g}"
        numbers = (str(row.ended), str(row.failed), str(row.running), f"{row.mean * 1000:.1f}", p95)
        table.add_row(Text(row.action), Text(row.initiator), *numbers)
    return table


def _failures(failures: list[dict[str, Any]]) -> "Table":
    from rich.text import Text

    table = _table("\nlast failures", "\nactivation", "\ncalled by", "\naction", "\nstatus")
    for each in failures[:FAILURES]:
        table.add_row(
            clock(each["at"]), each["activation"], Text(each["initiator"]), Text(each["action"]), each["status"]
        )
    return table
