"""The host that the platform sees: a disk, a network and a clock of its own, and what of it is there before and after.

Root has all of that in namespaces which end with the trial. An ordinary user has the folder and the clock alone.
Whatever loses its parent becomes this process's child (PR_SET_CHILD_SUBREAPER), so no process can be overlooked.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tests.system import networks
from tests.system.chaos import stepped
from tests.system.remains import family, groups, mounts, own
from tests.system.serving import Platform
from upcall.app.folders import run_folder
from upcall.runtimes.python import linux

ROOT = os.geteuid() == 0
COUNTER = 8001
_SUBREAPER = 36


class Stepped(Platform):
    """Its clock can be stepped."""

    program = (sys.executable, "-m", "tests.system.chaos.stepped")


class Counting(Protocol):
    """How often an action's code has run, by token."""

    @property
    def seen(self) -> Counter[str]: ...


class Runs:
    """Counts what the actions tell: each token, each time that an action's code has run with it."""

    def __init__(self, there: socket.socket) -> None:
        self.seen: Counter[str] = Counter()
        self._there = there
        there.settimeout(0.2)
        self._ended = False
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self) -> None:
        while not self._ended:
            with contextlib.suppress(TimeoutError):
                self.seen[self._there.recv(4096).decode()] += 1

    def close(self) -> None:
        self._ended = True
        self._thread.join()
        self._there.close()


class Stage:
    """`folder` is short of path and in the end empty but for data and logs."""

    def __init__(self, folder: Path, durability: str, runs: Counting | None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.runs = runs
        self._clock = folder / "clock"
        self._temporary = folder / "tmp"
        self._temporary.mkdir()
        os.environ["XDG_RUNTIME_DIR"] = str(self._temporary)  # for `run_folder`
        self.step_clock(0)
        self._options = ("--durability", durability, *self.options)
        self.before = self.look()

    @property
    def options(self) -> tuple[str, ...]:
        """How it is started."""
        return ("--memory", "3 GB", "--action-network", "private" if ROOT else "none")

    @property
    def environment(self) -> dict[str, str]:
        return {
            stepped.CLOCK: str(self._clock),
            "TMPDIR": str(self._temporary),
            "LIMITS_ACTIONS_INVOKES_CONCURRENT": "100000",
            "UPCALL_POOL_PAUSE_GRACE": "1 s",
        }

    @property
    def counter(self) -> list[str | int] | None:
        """Where actions tell that they run."""
        return [networks.WORLD, COUNTER] if self.runs else None

    def start(self) -> Platform:
        return Stepped(self.data, *self._options, environment=self.environment)

    def start_refused(self, **environment: str) -> tuple[int, str]:
        """A start that is not to succeed: exit code and what was said."""
        command = [*Stepped.program, "serve", "--port", "0", "--data", str(self.data), *self._options]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
            env={**os.environ, **self.environment, **environment},
        )
        return done.returncode, done.stdout + done.stderr

    def step_clock(self, seconds: int) -> None:
        stepped.step_to(self._clock, seconds)

    # --- the disk

    def fill(self) -> None:
        with (self.data / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    def empty(self) -> None:
        (self.data / "ballast").unlink(missing_ok=True)

    def writable(self, writable: bool) -> None:
        """The whole disk; nothing may be open for writing on it."""
        subprocess.run(["mount", "-o", "remount," + ("rw" if writable else "ro"), str(self.data)], check=True)

    # --- what is there

    def look(self) -> dict[str, set[str]]:
        """Everything that a platform makes on a host and has to take away again."""
        run = run_folder(self.data)
        found = {
            "processes": set(map(_line, _others())),
            "cgroups": set(groups(run_folder(self.data))),
            "mounts": mounts(),
            "temporary files": {name for name in os.listdir(self._temporary) if name != "upcall"},
            "run folder": {f"{at}/{name}" for at, folders, files in os.walk(run) for name in (*folders, *files)},
            "shared memory": set(os.listdir("/dev/shm")) if ROOT else set(),
        }
        if ROOT:
            found |= {
                "links": own([*os.listdir("/sys/class/net"), *(name for _, name in socket.if_nameindex())]),
                "routes": own(networks.output("ip", "route", "show", "table", "all").splitlines()),
                "rules of nft": set(networks.output("nft", "list", "ruleset").splitlines()),
                "named networks": set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set(),
                "forwarding": {Path("/proc/sys/net/ipv4/conf/all/forwarding").read_text().strip()},
            }
        return found

    def inconsistent(self, platform: Platform) -> list[str]:
        """What a platform that rests thinks of its containers and is not so."""
        return []

    def left(self) -> dict[str, list[str]]:
        """What was not there before, or is there no more."""
        reap()
        now = self.look()
        return {what: sorted(now[what] ^ self.before[what]) for what in now if now[what] != self.before[what]}


def _line(pid: int) -> str:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return f"{pid}"
    return f"{pid} {name} {line[:160]}"


def reap() -> None:
    """Orphans that have ended; only to be called while no platform is run by this process."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def adopt_orphans() -> None:
    """Become the parent of whatever loses its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_SUBREAPER, 1, 0, 0, 0) == 0


@contextlib.contextmanager
def staged(folder: Path | None, megabytes: int, durability: str) -> Iterator[Stage]:
    """For a process of its own, for its namespaces are changed. What is left of the trial's processes is killed."""
    adopt_orphans()
    made = Path(folder or tempfile.mkdtemp(prefix="chaos"))
    with contextlib.ExitStack() as stack:
        if folder is None:
            stack.callback(shutil.rmtree, made, ignore_errors=True)
        (made / "data").mkdir(parents=True)
        runs = _on_root_stage(stack, made, megabytes) if ROOT else None
        stack.callback(end_all)
        yield Stage(made, durability, runs)


def _on_root_stage(stack: contextlib.ExitStack, folder: Path, megabytes: int) -> Runs:
    own_mounts()
    own_disk(stack, folder / "data", megabytes)
    return counted(stack)


def own_disk(stack: contextlib.ExitStack, place: Path, megabytes: int) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "none", str(place)], check=True)
    stack.callback(subprocess.run, ["umount", "--lazy", str(place)], check=True)


def own_mounts() -> None:
    """What platforms leave in the system's folders stays in this process's namespace."""
    linux.unshare(linux.CLONE_NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    Path("/run/upcall").mkdir(mode=0o700, exist_ok=True)
    for place, mode in (("/run/upcall", "0700"), ("/dev/shm", "1777")):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=16m,mode={mode}", "none", place], check=True)


def counted(stack: contextlib.ExitStack) -> Runs:
    """Be on a host of one's own, and count what is told to the world next to it."""
    world = stack.enter_context(networks.host_and_world())
    with networks.inside(world.fd):
        there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        there.bind((networks.WORLD, COUNTER))
    runs = Runs(there)
    stack.callback(runs.close)
    return runs


def end_all() -> None:
    """The guardians get time to do their work."""
    _kill("guardian.py")
    deadline = time.monotonic() + 15
    while _others() and time.monotonic() < deadline:
        reap()
        time.sleep(0.05)
    _kill("")


def _others() -> list[int]:
    return [one.pid for one in family(os.getpid()) if one.pid != os.getpid() and one.alive]


def _kill(besides: str) -> None:
    for pid in _others():
        if not besides or besides not in _line(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
