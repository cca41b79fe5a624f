"""Finding what is ours on an engine, and removing what nobody needs.

`sweep` is the start of a life: all that earlier ones have left goes before anything is made. What is frozen is thawed
first: by version 1 of cgroups it does not die, and the engine does not know of it. `strays` is what a look round finds
later: the engine may have finished a creation whose client had gone.
"""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping

import msgspec
from aiodocker.containers import DockerContainer

from upcall.containers.docker.engine import Engine, EngineAway, EngineError
from upcall.containers.docker.freezer import Freezer
from upcall.containers.docker.inspection import inspect
from upcall.containers.docker.labels import Labels, owner, process_of
from upcall.containers.docker.removals import Removals
from upcall.containers.sandbox.cgroups import Grip
from upcall.errors import Misconfigured

log = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds for a sweep (spec: container.md §4.5)."""
_ENDED = frozenset({"exited", "dead", "removing"})


class Found(msgspec.Struct, frozen=True):
    """A container on the engine."""

    id: str
    name: str
    state: str
    """`created`, `running`, `paused`, `exited`, …"""
    status: str
    """For people: `Up 3 minutes`."""
    image: str
    labels: Mapping[str, str]

    @property
    def ended(self) -> bool:
        return self.state in _ENDED


async def find(engine: Engine, labels: list[str]) -> list[Found]:
    """All that have these labels (`key=value`, or `key`). Raises EngineAway, EngineError."""
    filters = msgspec.json.encode({"label": labels}).decode()
    async with engine.asked(engine.timeouts.ps, "ps") as docker:
        return [_found(each) for each in await docker.containers.list(all=True, filters=filters)]


def _found(told: DockerContainer) -> Found:
    names = [name.removeprefix("/") for name in told["Names"] or []]
    name = names[0] if names else told["Id"][:12]
    return Found(told["Id"], name, told["State"], told["Status"], told["Image"], told["Labels"] or {})


async def sweep(engine: Engine, labels: Labels, freezer: Freezer, removals: Removals) -> int:
    """Remove what other lives of ours have left; how many those were. Raises Misconfigured."""
    left: list[Found] = []
    try:
        async with asyncio.timeout(PATIENCE):
            left = [each for each in await find(engine, labels.filter()) if not labels.are_ours(each.labels)]
            _tell_twins(left)
            found, left = len(left), await remove(engine, left, freezer, removals)
            if not left:
                return found
        cause = "the engine refuses, see above"
    except TimeoutError:
        cause = f"it is not done after {PATIENCE:g} s"
    except (EngineAway, EngineError) as error:
        cause = str(error).rstrip(".")
    names = ", ".join(each.name for each in left[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
    what = f"What an earlier life has left on the Docker engine ({names or 'it could not be listed'})"
    raise Misconfigured(
        f"{what} cannot be removed: {cause}. Remove it (upcall clean, docker rm -f NAME), or restart it."
    )


def _tell_twins(found: Collection[Found]) -> None:
    for pid in sorted({process_of(each.labels) for each in found if owner(each.labels) == "runs"}):
        log.warning(
            "process %s runs as the same platform, and loses its containers: stop it, unless it is just ending; a copy"
            " of a data folder needs an identity of its own (remove .instance in it)",
            pid,
        )


async def remove(engine: Engine, found: Collection[Found], freezer: Freezer, removals: Removals) -> list[Found]:
    """Thaw and remove them all; those that the engine did not let go."""

    async def one(each: Found) -> bool:
        if each.state == "running":
            await _thaw(engine, each.id, freezer)
        return await removals.remove(each.id, each.state == "paused", each.state == "created")

    gone = await asyncio.gather(*(one(each) for each in found))
    return [each for each, went in zip(found, gone, strict=True) if not went]


async def _thaw(engine: Engine, id: str, freezer: Freezer) -> None:
    """If it is frozen where the engine does not know of it."""
    try:
        told = await inspect(engine, id)
    except EngineError:  # gone
        return
    reached = await asyncio.to_thread(freezer.find, told["State"]["Pid"], id)
    if reached is not None:
        thaw(reached)


def thaw(grip: Grip) -> None:
    """And let go."""
    with contextlib.suppress(OSError):
        grip.thaw()
    grip.close()


def strays(found: Collection[Found], labels: Labels, known: Collection[str]) -> list[Found]:
    """What nobody needs: of this life what is known neither by id nor by name, and all of earlier lives."""
    return [
        each
        for each in found
        if labels.are_kin(each.labels) and not labels.are_later(each.labels)
        if not labels.are_ours(each.labels) or not (each.id in known or each.name in known)
    ]
