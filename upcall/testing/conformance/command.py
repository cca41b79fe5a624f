"""The command: options are facts about the Invoker, lines are results."""

import subprocess
import sys
import traceback
from typing import Any, NamedTuple

import click

from upcall.testing.conformance.check import Check, Failed, NotInReach
from upcall.testing.conformance.elsewhere import ELSEWHERE
from upcall.testing.conformance.every import chosen
from upcall.testing.conformance.target import Deed, Target
from upcall.testing.conformance.world import World

PASSED, FAILED, OUT = "passed", "FAILED", "not in reach"


class Result(NamedTuple):
    id: str
    spec: str
    what: str
    verdict: str
    why: str = ""


def look(world: World, check: Check) -> Result:
    """One check's result; what is wrong with the harness itself counts as failed, too."""
    try:
        check.body(world)
    except NotInReach as reason:
        return Result(check.id, check.spec, check.what, OUT, str(reason))
    except Failed as found:
        return Result(check.id, check.spec, check.what, FAILED, str(found))
    except Exception as error:  # noqa: BLE001 - the boundary of one check
        where = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno})"
        return Result(check.id, check.spec, check.what, FAILED, why)
    return Result(check.id, check.spec, check.what, PASSED)


def line(result: Result) -> str:
    text = f"{result.verdict:<13} {result.id:<28} {result.spec:<22} {result.what}"
    return f"{text}\n              {result.why}" if result.why else text


def verdict(results: list[Result]) -> int:
    """The exit code."""
    if any(each.verdict == FAILED for each in results):
        return 1
    return 0 if any(each.verdict == PASSED for each in results) else 2


def deed(text: str | None) -> Deed | None:
    """A shell command as something to do. Raises NotInReach where it fails."""
    if text is None:
        return None

    def done() -> None:
        ended = subprocess.run(text, shell=True, check=False)  # noqa: S602 - the operator's own words
        if ended.returncode:
            raise NotInReach(f"`{text}` ended with {ended.returncode}")

    return done


@click.command()
@click.option("--kafka", required=True, metavar="HOST:PORT", help="Brokers, with commas between them.")
@click.option("--invoker", default=0, show_default=True, help="Id of the Invoker.")
@click.option(
    "--store", default="", metavar="URL", help="The Invoker's store: sqlite:////FILE, postgresql://… or couchdb://…"
)
@click.option("--url", default="", metavar="URL", help="The Invoker's HTTP, as http://HOST:8080.")
@click.option("--username", default="invoker.user", show_default=True, help="The Invoker's operator.")
@click.option(
    "--password",
    default="invoker.pass",
    show_default=True,
    envvar="INVOKER_PASSWORD",
    help="Else the variable INVOKER_PASSWORD.",
)
@click.option("--prefix", default="", help="What its topics begin with.")
@click.option("--event-prefix", default="", help="What the topic of user events begins with.")
@click.option("--controller", default="conformance", show_default=True, help="What this controller is called.")
@click.option("--python", default="python:3", show_default=True, metavar="KIND", help="A Python kind that it runs.")
@click.option("--node", default="", metavar="KIND", help="A Node.js kind that it runs.")
@click.option("--concurrency", default=1, show_default=True, help="Its whisk.concurrency-limit.max.")
@click.option("--memory-max", default=512, show_default=True, help="Its whisk.memory.max, in MB.")
@click.option("--pause-grace", default=10.0, show_default=True, help="Seconds until it pauses a container.")
@click.option("--idle", default=600.0, show_default=True, help="Seconds until it removes a paused one.")
@click.option("--events", is_flag=True, help="User events are on.")
@click.option("--stem", default="", metavar="MB", help="Memory of a Python stem cell that it keeps.")
@click.option("--failures-only", is_flag=True, help="Its store level of non-blocking activations is STORE_FAILURES.")
@click.option("--docker", default="", metavar="ADDRESS", help="Its Docker engine: unix:///path or tcp://host:port.")
@click.option("--unique-name", default="", help="Its --uniqueName.")
@click.option("--displayed-name", default="", help="Its --displayedName.")
@click.option("--patience", default=30.0, show_default=True, help="Seconds until what is expected counts as missing.")
@click.option("--wait-at-most", default=30.0, show_default=True, help="Seconds; longer checks are not made.")
@click.option("--stop", metavar="COMMAND", help="Stops the Invoker, and returns when it has ended.")
@click.option("--start", metavar="COMMAND", help="Starts it again, with the same id.")
@click.option("--kill", metavar="COMMAND", help="Kills it, as SIGKILL does.")
@click.option("--all", "everything", is_flag=True, help="Show also what no harness of this kind can look at.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
def command(everything: bool, ids: tuple[str, ...], **facts: Any) -> None:
    """Check an Invoker from outside. IDs are beginnings of checks' ids: `acks`, `bus.ping`. The Invoker must not have
    other work: checks fill it, disable it and stop it."""
    checks = chosen(ids)
    if not checks:
        raise click.UsageError(f"no check's id begins with {' or '.join(ids)}")
    for name in ("stop", "start", "kill"):
        facts[name] = deed(facts[name])
    sys.exit(verdict(run(Target(**facts), checks, everything)))


def run(target: Target, checks: list[Check], everything: bool) -> list[Result]:
    """Look, and print each result as it is there. Raises ClickException where nothing can be looked at."""
    try:
        world = World(target)
    except Failed as why:
        raise click.ClickException(str(why)) from why
    results = []
    try:
        for check in checks:
            results.append(look(world, check))
            click.echo(line(results[-1]))
    finally:
        world.close()
    if everything:
        for row in ELSEWHERE:
            click.echo(line(Result(row.id, row.spec, row.what, OUT, row.why)))
    counts = {name: sum(each.verdict == name for each in results) for name in (PASSED, FAILED, OUT)}
    click.echo(f"{counts[PASSED]} passed, {counts[FAILED]} failed, {counts[OUT]} not in reach")
    return results
