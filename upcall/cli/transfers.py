"""What `upcall import` and `upcall export` share: the URL of the other side, records from when on, how far it is."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from msgspec import structs

from upcall.cli.refusal import USAGE, Refused
from upcall.errors import Unavailable
from upcall.model.sizes import parse_duration
from upcall.model.store_url import CouchUrl, parse_store
from upcall.store.couch_http import CouchHttp, decoded
from upcall.transfer.copying import Copying, Stage
from upcall.transfer.report import Problem, Report

PASSWORD = "UPCALL_COUCHDB_PASSWORD"  # noqa: S105 (the name of a variable)
EVERY = 10.0
"""Seconds between two lines of a long transfer where there is no terminal."""


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Those of either direction."""
    for option in (
        click.option("-n", "--dry-run", is_flag=True, help="Say what would be copied, and write nothing."),
        click.option("--overwrite", is_flag=True, help="Replace what is there with other content; not records."),
        click.option("--since", metavar="WHEN", help="Records from then on: 2026-11-01, or a time back, as in 7d."),
        click.option("--activations", is_flag=True, help="Copy the records of activations, too."),
        click.option("--activations-db", metavar="NAME", help="Database of records.  [default: PREFIXactivations]"),
        click.option("--entities-db", metavar="NAME", help="Database of actions.  [default: PREFIXwhisks]"),
        click.option("--subjects-db", metavar="NAME", help="Database of subjects.  [default: PREFIXsubjects]"),
        click.option(
            "--password-file",
            metavar="FILE",
            type=click.Path(path_type=Path, dir_okay=False),
            help=f"Has the password in its first line.  [default: {PASSWORD}, else the URL's]",
        ),
    ):
        function = option(function)
    return function


def couch(
    url: str, password_file: Path | None, subjects_db: str | None, entities_db: str | None, activations_db: str | None
) -> CouchUrl:
    """Raises Refused."""
    try:
        found = parse_store(url)
    except ValueError as error:
        raise Refused(str(error), USAGE) from None
    if not isinstance(found, CouchUrl):
        raise Refused("the other side is given as couchdb://user@host:5984/prefix, or couchdbs:// for https", USAGE)
    return structs.replace(
        found,
        password=_password(password_file) or os.environ.get(PASSWORD) or found.password,
        subjects=subjects_db or found.subjects,
        entities=entities_db or found.entities,
        activations=activations_db or found.activations,
    )


def _password(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text().split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Refused(f"{file} cannot be read: {why}", USAGE) from None


def moment(since: str | None, activations: bool) -> int:
    """Epoch ms; a date without a zone is one of UTC. Raises Refused."""
    if since is None:
        return 0
    if not activations:
        raise Refused("--since is for records: give --activations, too", USAGE)
    try:
        seconds = time.time() - parse_duration(since)
    except ValueError:
        seconds = _date(since)
    if not 0 <= seconds < 2**40:
        raise Refused(f"--since {since} is before 1970", USAGE)
    return int(seconds * 1000)


def _date(text: str) -> float:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"--since {text}: write 2026-11-01, 2026-11-01T12:00 or a time back, as in 7d", USAGE) from None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def stages(activations: bool) -> list[Stage]:
    found: list[Stage] = ["limits", "whisks", "subjects"]
    return [*found, "activations"] if activations else found


async def run(prepare: Callable[[Report], Copying], wanted: list[Stage], totals: dict[Stage, int], *, dry: bool) -> int:
    """Copy all stages, say what came of it; the exit code: 1 where something is not copied. Raises Refused."""
    with _progress(wanted, totals) as step:
        report = Report(step.tell, step)
        copying = prepare(report)
        try:
            for stage in wanted:
                step.begin(stage)
                await copying.run(stage)
        except Unavailable as error:
            _sum_up(report, dry)
            again = "" if dry else ": when that is mended run this again; what is copied stays, and is not copied twice"
            raise Refused(f"{error} After {report.seen} documents it went no further{again}") from None
    _sum_up(report, dry)
    return 0 if report.whole else 1


def _sum_up(report: Report, dry: bool) -> None:
    click.echo("\n".join(report.lines(dry)))


async def size(http: CouchHttp, database: str) -> int | None:
    """Documents of a database, designs too; None where there is no such database. Raises Unavailable."""
    answer = await http.read(database)
    about = decoded(answer) if answer.fine else None
    count = about.get("doc_count") if isinstance(about, dict) else None
    return None if about is None else count if isinstance(count, int) else 0


class _Lines:
    """For a log: a line every ten seconds."""

    def __init__(self, totals: dict[Stage, int]) -> None:
        self._totals = totals
        self._stage: Stage = "limits"
        self._before = self._seen = 0
        self._told = time.monotonic()

    def tell(self, problem: Problem) -> None:
        click.echo(f"upcall: {problem}", err=True)

    def begin(self, stage: Stage) -> None:
        self._stage, self._before = stage, self._seen

    def __call__(self, seen: int) -> None:
        self._seen = seen
        if time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            of = f" of about {self._totals[self._stage]}" if self._stage in self._totals else ""
            click.echo(f"{self._stage}: {seen - self._before}{of} documents", err=True)


class _Bars:
    """For a terminal."""

    def __init__(self, progress: Any, wanted: list[Stage], totals: dict[Stage, int]) -> None:
        self._progress = progress
        self._tasks = {stage: progress.add_task(stage, total=totals.get(stage), start=False) for stage in wanted}
        self._stage = wanted[0]
        self._before = self._seen = 0

    def tell(self, problem: Problem) -> None:
        """Above the bars."""
        self._progress.console.print(f"upcall: {problem}", markup=False, highlight=False, soft_wrap=True)

    def begin(self, stage: Stage) -> None:
        self._stage, self._before = stage, self._seen
        self._progress.start_task(self._tasks[stage])

    def __call__(self, seen: int) -> None:
        self._seen = seen
        self._progress.update(self._tasks[self._stage], completed=seen - self._before)


@contextmanager
def _progress(wanted: list[Stage], totals: dict[Stage, int]) -> Iterator[_Lines | _Bars]:
    if not sys.stderr.isatty():
        yield _Lines(totals)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bars(progress, wanted, totals)
