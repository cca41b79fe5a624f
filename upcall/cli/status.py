"""`upcall status`: whether a running platform is well, and what it is at."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from upcall.cli.flags import Verb
from upcall.cli.operating import ask, connect
from upcall.cli.output import as_json, bold, document

GB, MB = 1 << 30, 1 << 20
READY = "ready"
WARNINGS = 10


@click.command("status", cls=Verb)
@as_json
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Say whether the platform is well, and what it is at (operator).

    The exit code is 0 where it is ready, 1 where it is not: not reachable, stopping, disabled, or its store in trouble.
    """
    client = connect(context)
    status = ask(client, "GET", "/status").document
    if as_json:
        document(status)
    else:
        for line in lines(status):
            click.echo(line)
    if status["state"] != READY:
        sys.exit(1)


def lines(status: dict[str, Any]) -> Iterator[str]:
    """For people."""
    green = status["state"] == READY
    state = click.style(status["state"], fg="green" if green else "red")
    up = duration((status["now"] - status["started"]) / 1000)
    yield f"{bold(name(status))} at {status['address']}: {state} (process {status['pid']}, up {up})"
    for number, reason in enumerate(status["hindrances"]):
        yield _row("not ready" if not number else "", click.style(reason, fg="red"))
    if status["state"] == "disabled" and "held_back" in status:
        yield _row("disabled", f"takes no activations, {status['held_back']} wait; POST /enable lets it go on")
    if "invokers" in status:
        yield _row("invokers", f"{status['healthy']} of {status['invokers']} are healthy")
    yield from _bus(status.get("bus"))
    if "pool" in status:
        yield from _work(status)
    journal = status["journal"]
    yield _row(
        "kept",
        f"{journal['activations']} accepted and not ended ({size(journal['bytes'])}), "
        f"{status['records_pending']} records on their way; durability {status['durability']}",
    )
    yield _row("event loop", f"{status['loop_lag'] * 1000:.0f} ms late; log level {status['log_level']}")
    yield _row("data", status["data"])
    warnings = status["warnings"]
    for number, warning in enumerate(warnings[:WARNINGS]):
        yield _row("warnings" if not number else "", f"{warning['time'][:19]} {warning['level']}: {warning['message']}")
    if len(warnings) > WARNINGS:
        yield _row("", f"and {len(warnings) - WARNINGS} more: --json shows them")


def name(status: dict[str, Any]) -> str:
    """`upcall 0.1.0`, and of one process of several which it is."""
    whole = f"upcall {status['version']}"
    match status["role"]:
        case "invoker":
            return f"{whole} {status['invoker']}"
        case "controller":
            return f"{whole} controller{status['id']}"
    return whole


def _bus(bus: dict[str, Any] | None) -> Iterator[str]:
    if bus is not None:
        yield _row("bus", f"topic {bus['topic']}, {bus['behind']} messages wait; heard {bus['heard']:.0f} s ago")


def _work(status: dict[str, Any]) -> Iterator[str]:
    """What runs actions."""
    if "isolation" in status:
        how = f"{status['driver']} driver, isolation {status['isolation']}; they reach {status['network']}"
        yield _row("actions", how)
        yield _row("cgroups", status["cgroups"])
    if status["driver"] == "kubernetes":
        yield from _pods(status)
    docker = status if status["driver"] == "docker" else status.get("docker")
    if docker is not None:
        yield from _docker(docker, apart=docker is not status)
    for number, kinds in enumerate(_kinds(status["runs"])):
        yield _row("kinds" if not number else "", kinds)
    pool, counts, rates = status["pool"], status["activations"], status["rates"]
    yield _row("memory", memory(pool["memory"]))
    yield _row("containers", containers(pool))
    yield _row("activations", f"{pool['running']} running, {pool['waiting']} waiting; {rate(rates)}")
    yield _row("since start", f"{counts['taken']} activations, {counts['failed']} failed, {counts['cold']} containers")


def _pods(facts: dict[str, Any]) -> Iterator[str]:
    yield _row("actions", "kubernetes driver, each in a pod of its own")
    yield _row("cluster", f"{facts['cluster']}, namespace {facts['namespace']}; logs {facts['logs']}")


def _docker(facts: dict[str, Any], apart: bool) -> Iterator[str]:
    """`apart`: beside another driver."""
    if not apart:
        yield _row("actions", "docker driver, each in a container of its own")
    yield _row("docker", f"engine {facts['engine']}")
    if facts.get("trouble"):
        yield _row("", click.style(facts["trouble"], fg="red"))
    yield _row("", f"network {facts['network']}")
    yield _row("", f"API at {facts['api']}; logs by {facts['logs']}; pause by: {facts['freezer']}")


def _kinds(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Those that are run alike in a line."""
    for like in dict.fromkeys((each["driver"], each["image"], each["why"], each["there"]) for each in runs):
        driver, image, why, there = like
        same = [r["kind"] for r in runs if (r["driver"], r["image"], r["why"], r["there"]) == like]
        where = ", ".join([driver, *filter(None, [image, "" if there else "which was missing at the start"])])
        yield f"{' '.join(same)}{f' ({where})' if image or why else ''}{f': {why}' if why else ''}"


def memory(numbers: dict[str, int]) -> str:
    promised, limit = numbers["promised"] / GB, numbers["limit"] / GB
    return f"{promised:.1f} of {limit:.1f} GB promised, {size(numbers['used'])} used"


def containers(pool: dict[str, Any]) -> str:
    states = ", ".join(f"{number} {state}" for state, number in pool["states"].items())
    return f"{pool['containers']} ({states})" if states else "0"


def rate(rates: dict[str, float]) -> str:
    return (
        f"{rates['activations']:g}/s, {rates['failures']:g} failed/s, {rates['cold']:g} new containers/s "
        f"over {rates['seconds']:g} s"
    )


def size(number: int) -> str:
    """`512 KB`, `11 MB`, `1.5 GB`."""
    if number >= GB:
        return f"{number / GB:.1f} GB"
    return f"{number / MB:.0f} MB" if number >= 10 * MB else f"{number / 1024:.0f} KB"


def duration(seconds: float) -> str:
    """`12s`, `3m12s`, `1h3m`, `2d1h`."""
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d{hours}h"
    if hours:
        return f"{hours}h{minutes}m"
    return f"{minutes}m{whole % 60}s" if minutes else f"{whole}s"


def clock(ms: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(ms / 1000))


def _row(title: str, text: str) -> str:
    return f"  {title + ':' if title else '':<13}{text}"
