"""The cgroups of the engine's containers, where they can be reached from here (D5).

A write to the freezer file stops a container a hundred times faster than the engine does, the memory's own counters
tell of a kill before the engine knows, and a pidfd tells of a death. All of that needs an engine on this very kernel
whose processes are seen here: so a container's process has to be in a cgroup that bears the container's id, and the
first one is frozen once, to see whether that works. Else all is asked of the engine.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from upcall.containers.sandbox.cgroups import Grip, Place
from upcall.containers.sandbox.freezing import freeze
from upcall.errors import Failed

log = logging.getLogger(__name__)

_NEEDED = ("memory", "freezer")


class Freezer:
    """What is known of one engine."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self.works: bool | None = None
        """Whether freezer files do; None until a container has been tried that has one."""
        self._tried = False
        self._around: dict[str, tuple[int, str, str]] = {}
        """By controller: version, and what stands before and behind a container's id in the path of its cgroup."""

    @property
    def how(self) -> str:
        """In words, by what containers are paused."""
        if not self._tried:
            return "not tried yet"
        return "the freezer file" if self.works else "the engine"

    def reach(self, pid: int, id: str) -> tuple[int, Grip] | None:
        """The pidfd of a container's first process, and its cgroups; None where they are not seen from here. The caller
        closes both. Blocks for some 100 µs."""
        self._tried = True
        try:
            pidfd = os.pidfd_open(pid)
        except (OSError, ValueError):
            return None
        grip = self.find(pid, id)
        if grip is None:
            os.close(pidfd)
            return None
        return pidfd, grip

    async def prove(self, grip: Grip, ended: Callable[[], bool]) -> None:
        """Freeze and thaw once for the engine, unless that was done or the container ends meanwhile."""
        if not grip.can_freeze or self.works is not None:
            return
        try:
            await freeze(grip, ended)
            self.works = True
        except OSError:
            return  # it is gone
        except Failed as error:
            if not ended():
                log.warning("the engine is asked to pause, for by the cgroup's file that does not work: %s", error)
                self.works = False
        finally:
            with contextlib.suppress(OSError):
                grip.thaw()

    def find(self, pid: int, id: str) -> Grip | None:
        """Its cgroups alone, without a freezer where that may not be written to."""
        try:
            places = places_of(pid, id, self._proc)
        except OSError:
            return None
        for chosen in places, {name: place for name, place in places.items() if name != "freezer"}:
            grip = Grip(chosen)
            try:
                grip.open()
            except OSError:
                grip.close()
            else:
                self._learn(id, chosen)
                return grip if chosen else None
        return None

    def known(self, id: str) -> Grip | None:
        """The cgroups of a container of which no process is known, where they are there and others' have been seen; the
        caller closes them."""
        grip = Grip({name: Place(version, Path(f"{a}{id}{b}")) for name, (version, a, b) in self._around.items()})
        try:
            grip.open()
        except OSError:
            grip.close()
            return None
        return grip

    def _learn(self, id: str, places: Mapping[str, Place]) -> None:
        for name, place in places.items():
            before, _, behind = str(place.folder).partition(id)
            self._around[name] = (place.version, before, behind)


def places_of(pid: int, id: str, proc: Path = Path("/proc")) -> dict[str, Place]:
    """Where a container's memory and freezer are, as this process sees them: none if `pid` is not in a cgroup that
    bears the container's id, and so somebody else here. Raises OSError."""
    found: dict[str, Place] = {}
    mounts = _mounts((proc / "self/mountinfo").read_text())
    for line in (proc / str(pid) / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if id not in path:
            continue
        for name in _NEEDED if not controllers else set(controllers.split(",")) & set(_NEEDED):
            mount = mounts.get(name if controllers else "")
            if mount is None or (not controllers and name in found):
                continue
            place = Place(1 if controllers else 2, _below(*mount, path))
            if _is_there(name, place):
                found[name] = place
    return found


def _mounts(mountinfo: str) -> dict[str, tuple[Path, str]]:
    """By controller, of version 2 by "": where it is mounted, and which folder of it."""
    found: dict[str, tuple[Path, str]] = {}
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        root, folder = fields.split(" ")[3:5]
        if kind == "cgroup2":
            found.setdefault("", (Path(folder), root))
        elif kind == "cgroup":
            for name in options.split(","):
                found.setdefault(name, (Path(folder), root))
    return found


def _below(folder: Path, root: str, path: str) -> Path:
    return folder / path.removeprefix(root.rstrip("/")).lstrip("/")


def _is_there(name: str, place: Place) -> bool:
    """Version 2 beside version 1 has the folders, but not the controllers that version 1 has."""
    files = {("memory", 1): "memory.oom_control", ("memory", 2): "memory.events"}
    files |= {("freezer", 1): "freezer.state", ("freezer", 2): "cgroup.freeze"}
    return (place.folder / files[name, place.version]).exists()
