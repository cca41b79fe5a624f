"""Before a process of the platform starts: what would keep it from starting here (`upcall doctor --init`).

For an init container with the variables, mounts and rights of the container that is to start: one sentence for each
error then stands in the pod's status. Only what a start needs is looked at, and nothing is waited for: brokers and
databases may come later, and warnings are for `upcall doctor`. What may not be seen is skipped.
"""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from upcall.config import Settings, survey
from upcall.containers.kubernetes.driver import NEEDED
from upcall.doctor.checks import configuration
from upcall.doctor.checks.host import own_versions
from upcall.doctor.checks.machine import sandboxes
from upcall.doctor.facts import machine
from upcall.doctor.facts.engine import gather as ask
from upcall.doctor.facts.node import Node
from upcall.doctor.facts.node import gather as read
from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import Finding
from upcall.errors import Misconfigured
from upcall.kubernetes.client import Api, Away, Refused
from upcall.setting import Role

HERE = "this pod"
_UNIX = "unix://"


async def errors(role: Role, environment: Mapping[str, str]) -> list[Finding]:
    told = survey({"id": "0"} if role == "invoker" else {}, environment, None, role)  # whichever it is
    found = [*configuration.given(told)]
    if told.settings is not None and role != "controller":
        if told.settings.driver == "docker":
            found += _docker(told.settings)
        elif told.settings.driver == "kubernetes":
            found += await _kubernetes(told.settings)
        elif told.settings.isolation == "full":
            found += sandboxes(machine.gather())
    return [each.but(where=HERE) for each in found if each.severity == "error"]


def _docker(settings: Settings) -> Iterator[Finding]:
    host = settings.docker.host
    if host.startswith(_UNIX):
        path = host.removeprefix(_UNIX)
        yield from engine(read(more=[path]), path)


def engine(node: Node, path: str) -> Iterator[Finding]:
    """Docker's, at a socket of this file system."""
    place, words = node.places[path], {"path": path, "node": "this node"}
    if place.kind == "directory":
        yield FAILURES["HOST-04"].found(HERE, f"{path} is a directory", None, words)
    elif place.kind == "unseen" or (place.kind == "socket" and not place.usable):
        group = {"group": f" ({place.group})"} if place.group >= 0 else {}
        yield FAILURES["HOST-05"].found(HERE, f"{path} may not be used", None, {**words, **group})
    elif place.kind != "socket":
        yield FAILURES["HOST-03"].found(HERE, f"{path}: no such file or directory", None, words)
    elif (told := ask(Path(path))).denied:
        yield FAILURES["HOST-05"].found(HERE, f"{path}: {told.why}", None, words)
    elif told.why:
        yield FAILURES["HOST-03"].found(HERE, f"{path}: {told.why}", None, words)
    else:
        yield from own_versions(msgspec.structs.replace(node, engine=told))


async def _kubernetes(settings: Settings) -> list[Finding]:
    """What it may not do to pods."""
    try:
        api = Api(settings.kubernetes.master, settings.kubernetes.namespace)
    except Misconfigured:
        return []  # the Invoker says it, and what is missing
    try:
        asked = await asyncio.gather(*(api.may(verb, "pods", part) for verb, part in NEEDED))
    except (Away, Refused):
        return []
    finally:
        await api.close()
    lacking = [
        (verb, f"pods/{part}" if part else "pods") for (verb, part), may in zip(NEEDED, asked, strict=True) if not may
    ]
    if not lacking:
        return []
    evidence = f"namespace {api.namespace}: not {', '.join(' '.join(each) for each in lacking)}"
    verbs, resource = ", ".join(dict.fromkeys(verb for verb, _ in lacking)), lacking[0][1]
    return [FAILURES["K8S-09"].found(HERE, evidence, None, {"verb": verbs, "resource": resource})]
