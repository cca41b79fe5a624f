"""What upcall has on an engine and beside it, for the command that removes it (`upcall clean`).

A container goes whose platform has stopped. Whose platform runs, or may run (on another machine, in another container
than this command), stays, unless all are to go. One that has ended goes in any case unless its platform runs: a
platform that may run elsewhere would have removed it by now.
"""

import asyncio
import os
from collections.abc import Collection
from pathlib import Path

import msgspec

from upcall.containers.docker import rules
from upcall.containers.docker.engine import Engine
from upcall.containers.docker.freezer import Freezer
from upcall.containers.docker.labels import INSTANCE, Owner, owner, platform_of, process_of
from upcall.containers.docker.removals import Removals
from upcall.containers.docker.sweeping import Found, find, remove
from upcall.containers.sandbox import nft

TABLES, SANDBOXES = "upcall", "upcall-"
"""How the names of all our tables begin, and those of the process driver's."""
CGROUPS = Path("/sys/fs/cgroup")
_TAG = 8
"""Characters of a tag that are in a table's name."""


class Case(msgspec.Struct, frozen=True):
    """One container, and what is to become of it."""

    found: Found
    owner: Owner
    goes: bool

    @property
    def why(self) -> str:
        """It stays, or goes."""
        match self.owner:
            case "runs":
                return f"its platform runs, process {process_of(self.found.labels)}"
            case "stopped":
                return "its platform has stopped"
        return "it has ended" if self.found.ended else "whether its platform runs cannot be told from here"


async def cases(engine: Engine, everything: bool) -> list[Case]:
    """All that upcall has there, by name. Raises EngineAway, EngineError."""
    found = sorted(await find(engine, [INSTANCE]), key=lambda each: each.name)
    return [judge(each, owner(each.labels), everything) for each in found]


def judge(found: Found, owner: Owner, everything: bool) -> Case:
    goes = everything or owner == "stopped" or (owner == "unknown" and found.ended)
    return Case(found, owner, goes)


async def clean(engine: Engine, going: Collection[Case]) -> list[Found]:
    """Remove them; those that the engine did not let go."""
    return await remove(engine, [case.found for case in going], Freezer(), Removals(engine))


def stopped(judged: Collection[Case]) -> set[str]:
    """Platforms that have stopped, as far as their containers say."""
    return {platform_of(case.found.labels) for case in judged} - others(judged)


def others(judged: Collection[Case]) -> set[str]:
    """Platforms that run, or may run."""
    return {platform_of(case.found.labels) for case in judged if case.owner != "stopped"}


async def drop_rules(platforms: Collection[str]) -> None:
    """Remove what stopped platforms have of nftables' rules. Raises OSError."""
    for platform in platforms if os.geteuid() == 0 else ():
        await asyncio.to_thread(rules.remove, platform)


def tables(running: Collection[str]) -> list[str]:
    """`family name` of tables of rules on this host that no platform seems to need; `running` are platforms with
    containers. Raises OSError."""
    if os.geteuid() != 0:
        return []
    sandboxes = [f"{SANDBOXES}{tag[:_TAG]}" for tag in _lives()]
    return [
        f"{family} {name}"
        for family in ("inet", "bridge")
        for name in nft.tables(TABLES, family)
        if name not in sandboxes and not any(rules.belongs(name, platform) for platform in running)
    ]


def _lives() -> list[str]:
    """Tags of platforms with sandboxes that run here: each has cgroups named `tag-time-pid`."""
    names = {path.name for place in ("upcall/*", "*/upcall/*") for path in CGROUPS.glob(place) if path.is_dir()}
    return [tag for tag, _, rest in (name.partition("-") for name in names) if _runs(rest.rpartition("-")[2])]


def _runs(pid: str) -> bool:
    return pid.isdecimal() and Path(f"/proc/{pid}").exists()
