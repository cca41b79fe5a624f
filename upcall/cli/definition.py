"""What `action create` and `action update` send: code, parameters, annotations and limits, from one set of flags."""

import secrets
from collections.abc import Callable
from typing import Any

import click

from upcall.cli import parameters
from upcall.cli.client import Client, require
from upcall.cli.codefile import Wanted, exec_of
from upcall.cli.output import annotation
from upcall.cli.session import Name, name

LIMITS = ("timeout", "memory", "logs", "concurrency")
WEB = {
    "yes": {"web-export": True, "raw-http": False, "final": True},
    "raw": {"web-export": True, "raw-http": True, "final": True},
    "no": {"web-export": False, "raw-http": False, "final": False},
}
"""Annotations; `true` and `false` are read as yes and no."""
_SECURE = "require-whisk-auth"
_WEB_CHOICES = click.Choice(("yes", "no", "raw", "true", "false"), case_sensitive=False)


def _limit(short: str, long: str, name: str, help: str) -> Callable[[Any], Any]:
    return click.option(short, long, name, type=click.IntRange(min=0), metavar="LIMIT", help=help)


_OPTIONS = (
    click.option("--kind", metavar="KIND", help="The runtime, as in python:3 or python:default."),
    click.option("--docker", metavar="IMAGE", help="Run the code in this image."),
    click.option("--native", is_flag=True, help="CODE is a program for Linux, or a zip with one named exec."),
    click.option("--sequence", is_flag=True, help="CODE is the names of actions to run one after the other: a,b,c."),
    click.option("--copy", "copied", is_flag=True, help="CODE is the name of an action to copy."),
    click.option("--main", metavar="NAME", help="The function, or class, to call."),
    parameters.options("p", "param", "Parameter"),
    parameters.options("a", "annotation", "Annotation"),
    click.option("--web", type=_WEB_CHOICES, help="Callable from the web; raw leaves the request as it is."),
    click.option("--web-secure", metavar="SECRET", help="What callers from the web must send; true makes one up."),
    _limit("-t", "--timeout", "timeout", "How long it may run, in ms."),
    _limit("-m", "--memory", "memory", "Memory that it may take, in MB."),
    _limit("-l", "--logsize", "logs", "Size that its logs may have, in MB."),
    _limit("-c", "--concurrency", "concurrency", "Activations of it that a container may run at a time."),
)


def options(function: Any) -> Any:
    """Adds the flags to a command; their values are what `body` takes."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def body(client: Client, artifact: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """The document to PUT; members that nothing was said about are left out. Raises UsageError, Refused."""
    wanted = Wanted(given["kind"], given["docker"], given["native"], given["sequence"], given["main"])
    made = _copy(client, artifact, wanted) if given["copied"] else {}
    if not given["copied"] and (run := exec_of(artifact, wanted, client.namespace)):
        made["exec"] = run
    values = parameters.merged(given["param"], given["param_file"])
    notes, removed = _annotations(given)
    _extend(made, "parameters", values)
    _extend(made, "annotations", notes)
    if limits := {limit: given[limit] for limit in LIMITS if given[limit] is not None}:
        made["limits"] = {**made.get("limits", {}), **limits}
    if removed := [*removed, *given.get("del_annotation", ())]:
        made["delAnnotations"] = removed
    return made


def _copy(client: Client, artifact: str | None, wanted: Wanted) -> dict[str, Any]:
    if artifact is None:
        raise click.UsageError("--copy needs the name of the action to copy.")
    if any(wanted):
        raise click.UsageError(
            "--copy takes the code as it is: without --kind, --docker, --native, --sequence, --main."
        )
    source = name(client, artifact)
    original = require(
        client.ask("GET", source.namespace, "actions", *source.segments), f"Unable to get action '{source.text}'"
    )
    return {
        member: original[member] for member in ("exec", "parameters", "annotations", "limits") if member in original
    }


def _annotations(given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Annotations to set, and to remove."""
    values = parameters.merged(given["annotation"], given["annotation_file"])
    if given["web"]:
        values |= WEB[{"true": "yes", "false": "no"}.get(given["web"], given["web"])]
    secret = given["web_secure"]
    if secret is None:
        return values, []
    if secret.lower() == "false":
        return values, [_SECURE]
    return values | {_SECURE: secrets.randbelow(2**53) if secret.lower() == "true" else secret}, []


def check_secret(client: Client, target: Name, given: dict[str, Any], *, exists: bool) -> None:
    """A secret is for what the web may call; `false` removes one from anything. Raises UsageError."""
    secret = given["web_secure"]
    if secret is None or secret.lower() == "false" or given["web"] in ("yes", "true", "raw"):
        return
    if given["web"] is None and exists:
        answer = client.ask("GET", target.namespace, "actions", *target.segments, query={"code": False})
        if answer.status == 200 and annotation(answer.document, "web-export"):
            return
    raise click.UsageError("--web-secure needs --web yes or --web raw.")


def _extend(made: dict[str, Any], member: str, values: dict[str, Any]) -> None:
    """Add to what was copied; the new value of a key counts."""
    if values:
        kept = [entry for entry in made.get(member, ()) if entry["key"] not in values]
        made[member] = kept + parameters.key_values(values)
