"""`upcall clean`: the containers that upcall has on a Docker engine are removed."""

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from upcall.cli.refusal import Refused
from upcall.config import listed, survey
from upcall.errors import Misconfigured

if TYPE_CHECKING:
    from upcall.containers.docker.cleaning import Case
    from upcall.containers.docker.options import DockerOptions

PATIENCE = 300.0
"""Seconds for all of it."""


@click.command("clean")
@click.option("-a", "--all", "everything", is_flag=True, help="Also those whose platform runs, or may run.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would go and what would stay, and remove nothing.")
@click.option(
    "--docker-host",
    metavar="ADDRESS",
    help="The engine.  [default: UPCALL_DOCKER_HOST or DOCKER_HOST, else unix:///var/run/docker.sock]",
)
@click.option("--docker-tls", metavar="FOLDER", help="Certificates for tcp://, as serve has them.")
@click.option(
    "--config", type=click.Path(path_type=Path), envvar="UPCALL_CONFIG", metavar="FILE", help="TOML file of serve."
)
def command(
    *, everything: bool, dry_run: bool, docker_host: str | None, docker_tls: str | None, config: Path | None
) -> None:
    """Remove the containers that upcall has left on a Docker engine (operator).

    A platform removes its containers when it ends, and its next start what was left by one that was killed. This is
    for what no platform comes back for. Containers that upcall did not make are never touched.

    Those whose platform runs stay, and so do those whose platform may run where this command cannot see it: on another
    machine, or in a container of its own. With --all they go, too; a platform that runs makes new ones, and what its
    actions are at is lost.

    \b
    upcall clean --dry-run      shows what there is
    upcall clean                removes what platforms have left that are no more
    upcall clean --all          removes all

    The exit code is 1 where something that was to go is still there.
    """
    options = _options(docker_host, docker_tls, config)
    try:
        left = asyncio.run(_clean(options, everything, dry_run))
    except TimeoutError:
        raise Refused(
            f"the Docker engine at {options.host} has not done it in {PATIENCE:g} s: look at its log"
        ) from None
    if left:
        raise Refused(f"{_count(left)} could not be removed: look at the engine's log (journalctl -u docker)")


def _options(host: str | None, tls: str | None, config: Path | None) -> "DockerOptions":
    """What is wrong with other settings is no business of this command. Raises Misconfigured."""
    from upcall.containers.docker.options import DockerOptions

    found = survey({"docker_host": host, "docker_tls": tls}, os.environ, config)
    by = {finding.setting.name: finding for finding in found.findings}
    if wrong := [by[name].fault for name in ("docker.host", "docker.tls") if by[name].error]:
        raise Misconfigured(listed(wrong))
    return DockerOptions(host=by["docker.host"].value, tls=by["docker.tls"].value)


async def _clean(options: "DockerOptions", everything: bool, dry_run: bool) -> int:
    """How many were to go and have not."""
    from upcall.containers.docker import cleaning
    from upcall.containers.docker.engine import Engine

    engine = Engine(options)
    await engine.start()
    try:
        async with asyncio.timeout(PATIENCE):
            judged = await cleaning.cases(engine, everything)
            going = [case for case in judged if case.goes]
            stuck = {each.id for each in await cleaning.clean(engine, going)} if not dry_run else set()
            _show(judged, stuck, dry_run, options.host)
            await _rules(judged, set() if stuck else cleaning.stopped(judged), dry_run)
    finally:
        await engine.close()
    return len(stuck)


def _show(judged: "list[Case]", stuck: set[str], dry_run: bool, host: str) -> None:
    if not judged:
        click.echo(f"upcall has no containers on the Docker engine at {host}.")
        return
    width = max(len(case.found.name) for case in judged)
    for case in judged:
        word = "stays" if not case.goes else "stuck" if case.found.id in stuck else "goes" if dry_run else "gone"
        click.echo(f"{word:<5}  {case.found.name:<{width}}  {case.found.status}; {case.why}")
    gone = sum(case.goes for case in judged) - len(stuck)
    stays = sum(not case.goes for case in judged)
    does = "would be removed" if dry_run else "removed"
    rest = f", {stays} left: --all removes {'it' if stays == 1 else 'them'}, too" if stays else ""
    click.echo(f"{_count(gone)} {does}{rest}.")


async def _rules(judged: "list[Case]", going: set[str], dry_run: bool) -> None:
    """nftables' rules, which a killed platform leaves: those of the platforms `going` go, others are named."""
    from upcall.containers.docker import cleaning

    try:
        if not dry_run:
            await cleaning.drop_rules(going)
        for table in cleaning.tables(cleaning.others(judged) | going):
            click.echo(
                f"nftables has the table {table}, perhaps of a platform that was killed: its next start removes it, or "
                f"you do, unless it runs: nft delete table {table}"
            )
    except OSError as error:
        print(f"upcall: nftables' rules cannot be looked at: {error}", file=sys.stderr)


def _count(number: int) -> str:
    return f"{number} container{'' if number == 1 else 's'}"
