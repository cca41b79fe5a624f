"""Memory, pids, freezer and cpu share of the containers, in whichever cgroup hierarchies the host lets us use.

A host has version 1 (one tree per controller), version 2 (one tree), or both at once; the choice is made per
controller, version 1 first because a controller mounted there is missing in version 2. Every platform process makes a
folder of its own in each tree (`upcall/<tag>-<life>`), one folder per container below it, and hands open files to the
container, which moves itself: the right to move comes from who opened the file.

Root uses `upcall/` at the top of a tree; in version 2 anybody else, or root in a container, needs a delegated tree
(systemd: `Delegate=yes`) and moves itself to a leaf of it first, since version 2 allows no processes beside children.
Where nothing is usable the containers are held by resource limits alone.

Every container has the same share of the processors, however many processes it has, and all of them together as much
as there are processors: without that a thousand busy processes leave the platform a thousandth.

Version 1 freezes asynchronously, and what is frozen there ignores SIGKILL until it is thawed.
"""

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

_NEEDED = ("memory", "pids", "freezer")
_WANTED = (*_NEEDED, "cpu")
_V2_CONTROLLERS = ("memory", "pids")
_SOCKETS = "memory.kmem.tcp.limit_in_bytes"
"""What TCP and UDP buffer counts for itself in version 1, and without a bound not at all: one container of 128 MB held
2 GB, all that the kernel has for TCP."""


@dataclass(frozen=True)
class Place:
    """Where one controller's containers live."""

    version: int
    folder: Path


def detect(mountinfo: Path = Path("/proc/self/mountinfo"), own: Path = Path("/proc/self/cgroup")) -> dict[str, Place]:
    """The controllers that this process may use, with the folder under which it may make its own."""
    found, unified = _v1(mountinfo)
    if unified is not None and len(found) < len(_WANTED):
        found = {**_detect_v2(unified, own), **found}
    return found


def _v1(mountinfo: Path) -> tuple[dict[str, Place], Path | None]:
    """The controllers of version 1, and where version 2 is."""
    found: dict[str, Place] = {}
    unified: Path | None = None
    for line in mountinfo.read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        folder = Path(fields.split(" ")[4])
        if kind == "cgroup2":
            unified = folder
        elif kind == "cgroup" and os.access(folder, os.W_OK):
            for name in set(options.split(",")) & set(_WANTED):
                found[name] = Place(1, folder / "upcall")
    return found, unified


def offered(mountinfo: Path = Path("/proc/self/mountinfo"), own: Path = Path("/proc/self/cgroup")) -> set[str]:
    """The controllers that `detect` would find, without a change to anything."""
    found, unified = _v1(mountinfo)
    names = {*found}
    for folder in _candidates(unified, own) if unified is not None and len(found) < len(_WANTED) else ():
        with contextlib.suppress(OSError):
            there = set((folder / "cgroup.controllers").read_text().split()) & {*_V2_CONTROLLERS, "cpu"}
            if there or folder == unified:
                return names | there | {"freezer"}
    return names


def _candidates(root: Path, own: Path) -> list[Path]:
    groups = [root, *(root / line[4:] for line in own.read_text().splitlines() if line.startswith("0::/"))]
    return [folder for folder in groups if os.access(folder, os.W_OK)]


def _detect_v2(root: Path, own: Path) -> dict[str, Place]:
    for folder in _candidates(root, own):
        with contextlib.suppress(OSError):
            available = _enable(folder, top=folder == root)
            if folder != root and not available:
                continue
            place = Place(2, folder / "upcall")
            return dict.fromkeys((*available, "freezer"), place)
    return {}


def _enable(folder: Path, *, top: bool) -> list[str]:
    """Hand controllers down to `folder`'s children; moves this process to a leaf where that is in the way."""
    offered = (folder / "cgroup.controllers").read_text().split()
    available = [name for name in _V2_CONTROLLERS if name in offered]
    wanted = " ".join(f"+{name}" for name in available)
    control = folder / "cgroup.subtree_control"
    if available:
        try:
            control.write_text(wanted)
        except OSError:
            _make_way(folder, everybody=top)
            control.write_text(wanted)
    if "cpu" in offered:
        with contextlib.suppress(OSError):  # refused where real-time processes are about
            control.write_text("+cpu")
            available.append("cpu")
    return available


def _make_way(folder: Path, *, everybody: bool) -> None:
    """Move this process to a leaf; at the top of a container's own tree all that are there, its first process too."""
    leaf = folder / "upcall-platform"
    leaf.mkdir(exist_ok=True)
    others = (folder / "cgroup.procs").read_text().split() if everybody else []
    for pid in ("0", *others):
        with contextlib.suppress(ProcessLookupError):  # it has ended
            (leaf / "cgroup.procs").write_text(pid)


class Life:
    """The folders of one platform process, one per tree in use."""

    def __init__(self, places: dict[str, Place], name: str) -> None:
        self.folders = {controller: Place(p.version, p.folder / name) for controller, p in places.items()}

    @property
    def paths(self) -> list[Path]:
        return sorted({place.folder for place in self.folders.values()})

    def make(self) -> None:
        """Make the folders; in version 2 with the controllers handed down to the containers."""
        for path in self.paths:
            while not path.is_dir():
                with contextlib.suppress(FileNotFoundError):  # another life's end has removed the parent just now
                    path.parent.mkdir(exist_ok=True)
                    path.mkdir()
        for controller, place in self.folders.items():
            for path in (place.folder.parent, place.folder):
                if place.version == 2 and controller != "freezer":
                    (path / "cgroup.subtree_control").write_text(f"+{controller}")
                if controller == "cpu":
                    name, unit = {1: ("cpu.shares", 1024), 2: ("cpu.weight", 100)}[place.version]
                    (path / name).write_text(str(unit * min(os.cpu_count() or 1, 100)))

    def group(self, name: str, memory: int, pids: int) -> "Group":
        """Make the folders of one container with its limits; blocks for some 100 µs."""
        places = {controller: Place(p.version, p.folder / name) for controller, p in self.folders.items()}
        return Group(places, memory, pids)


@dataclass
class Grip:
    """The cgroups of one container, whoever made them. `freeze`, `thaw` and `oom_kills` are single reads or writes of
    open files."""

    places: dict[str, Place]
    _freezer: int = field(default=-1, init=False)
    _events: int = field(default=-1, init=False)

    def open(self) -> None:
        """Get hold of the files. Raises OSError."""
        memory, freezer = self.places.get("memory"), self.places.get("freezer")
        if memory is not None:
            name = "memory.oom_control" if memory.version == 1 else "memory.events"
            self._events = os.open(memory.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        if freezer is not None:
            name = "freezer.state" if freezer.version == 1 else "cgroup.freeze"
            self._freezer = os.open(freezer.folder / name, os.O_RDWR | os.O_CLOEXEC)

    @property
    def paths(self) -> list[Path]:
        return sorted({place.folder for place in self.places.values()})

    @property
    def can_freeze(self) -> bool:
        return self._freezer >= 0

    def freeze(self) -> None:
        os.pwrite(self._freezer, b"FROZEN" if self.places["freezer"].version == 1 else b"1", 0)

    def thaw(self) -> None:
        if self._freezer >= 0:
            os.pwrite(self._freezer, b"THAWED" if self.places["freezer"].version == 1 else b"0", 0)

    def frozen(self) -> bool:
        """Whether every process has stopped; reading drives version 1 on."""
        place = self.places["freezer"]
        if place.version == 1:
            return os.pread(self._freezer, 32, 0).startswith(b"FROZEN")
        return "frozen 1" in (place.folder / "cgroup.events").read_text()

    def oom_kills(self) -> int:
        """How many processes the kernel has killed here for want of memory."""
        if self._events < 0:
            return 0
        for line in os.pread(self._events, 4096, 0).decode().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
        return 0

    def memory_used(self) -> int | None:
        """Bytes, with what files take in memory; None where memory is not accounted for, or the group has gone."""
        place = self.places.get("memory")
        if place is None:
            return None
        name = "memory.usage_in_bytes" if place.version == 1 else "memory.current"
        try:
            return int((place.folder / name).read_bytes())
        except OSError:
            return None

    def close(self) -> None:
        """In a thread: the numbers are forgotten first, for another file may have them the moment after."""
        opened = self._freezer, self._events
        self._freezer = self._events = -1
        for fd in opened:
            if fd >= 0:
                os.close(fd)


@dataclass
class Group(Grip):
    """The same, made by us with its limits. By `joins` the container joins, writing "0"; open until `joined`."""

    memory: int
    pids: int
    joins: list[int] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        try:
            for path in self.paths:
                os.mkdir(path)
            self._set_limits()
            self.open()
            self._open_joins()
        except OSError:
            self.close()
            for path in self.paths:
                with contextlib.suppress(OSError):
                    path.rmdir()
            raise

    def _set_limits(self) -> None:
        memory, pids = self.places.get("memory"), self.places.get("pids")
        if memory is not None:
            names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
            if memory.version == 2:
                names = ("memory.max", "memory.swap.max")
            _write(memory.folder / names[0], self.memory)
            with contextlib.suppress(OSError):  # no accounting of swap on this host
                _write(memory.folder / names[1], self.memory if memory.version == 1 else 0)
            if memory.version == 1:
                with contextlib.suppress(OSError):  # no accounting of sockets in this kernel
                    _write(memory.folder / _SOCKETS, self.memory)
        if pids is not None:
            _write(pids.folder / "pids.max", self.pids)

    def _open_joins(self) -> None:
        """In version 1 that is `tasks` and not `cgroup.procs`: for a thread that moves itself the kernel skips a lock
        which costs a grace period of RCU, some 2 to 10 ms, and the container has a single thread then. They are opened
        in a thread like the rest: what another container does to its group may keep an open waiting for long.
        """
        versions = {place.folder: place.version for place in self.places.values()}
        names = {1: "tasks", 2: "cgroup.procs"}
        for path in self.paths:
            self.joins.append(os.open(path / names[versions[path]], os.O_WRONLY | os.O_CLOEXEC))

    def joined(self) -> None:
        """The container has its own."""
        while self.joins:
            os.close(self.joins.pop())

    def close(self) -> None:
        self.joined()
        super().close()


def _write(path: Path, number: int) -> None:
    """A number into a file that is there: a tenth of what a text file takes."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(number).encode())
    finally:
        os.close(fd)
