"""Many idle containers: what each takes, what they cost the platform, and how fast they are back.

    scripts/bench --only density [--quick]

Warm containers of one Python action each, all of one tenant, are added up to the most. A container is its init and its
runtime; its PSS has its share of the zygote's pages, its cgroup's bytes have only what it has changed, with what the
kernel keeps for it. They sleep after two idle seconds.
"""

import asyncio
import time
from base64 import b64encode
from pathlib import Path

from bench.cold import KIND, PYTHON, numbered
from bench.processes import below, cpu, files, proportional, resident
from bench.row import Row
from bench.served import call_all, make, metric, reached, served
from tests.system.serving import Platform
from upcall import metrics as names

_GRACE = 2
_BESIDE = 20
"""That are started at a time."""
_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


async def rows(quick: bool) -> list[Row]:
    """Of the whole part, and what targets there are."""
    sizes = (20, 50, 100) if quick else (20, 50, 100, 200, 1000)
    with served("--memory", "200 GB", "--prewarm", "none", UPCALL_POOL_PAUSE_GRACE=f"{_GRACE} s") as platform:
        many = _Many(platform)
        found: list[Row] = []
        for size in sizes:
            await many.grow(size)
            if size <= 200:
                found += many.weigh()
        found += await many.sleep(2 if quick else 5)
        return found + await many.wake()


class _Many:
    """The containers of one platform, a new action each."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._actions: list[str] = []
        self._rates: list[float] = []
        self._own = below(platform.process.pid)
        self._empty = proportional(self._own)
        self._start = resident(platform.process.pid)

    async def grow(self, size: int) -> None:
        """To so many."""
        more = make(self._platform, list(numbered("idle", size))[len(self._actions) :], KIND, PYTHON)
        began = time.perf_counter()
        await call_all(self._platform, more, _BESIDE)
        self._rates.append(len(more) / (time.perf_counter() - began))
        self._actions += more

    def weigh(self) -> list[Row]:
        count = len(self._actions)
        processes = below(self._platform.process.pid)
        share = (proportional(processes) - self._empty) / count
        groups = _bytes_of_groups(set(processes) - set(self._own)) / count / (1 << 20)
        return [
            _row(f"idle Python sandbox of {count}, PSS", "MiB", share, target=3.0),
            _row(f"idle Python sandbox of {count}, cgroup", "MiB", groups),
            _row(f"idle Python sandboxes per GiB, {count} there", "", 1024 / share, more=True),
        ]

    async def sleep(self, seconds: float) -> list[Row]:
        """All paused, and nothing to do."""
        pid, count = self._platform.process.pid, len(self._actions)
        await reached(self._platform, f"{names.CONTAINER_TIMES}_count", 'operation="pause"', count)
        before, began = cpu(pid), time.perf_counter()
        await asyncio.sleep(seconds)
        spent = (cpu(pid) - before) / (time.perf_counter() - began)
        return [
            _row("containers made a second, 20 at a time", "/s", *self._rates, more=True),
            _row(f"CPU of the platform beside {count} paused containers", "ms/s", spent * 1e3),
            _row(f"RSS of the platform with {count}", "MiB", resident(pid), note=f"{self._start:.0f} MiB with none"),
            _row(f"PSS of the platform with {count}", "MiB", proportional([pid])),
            _row(f"files open with {count}", "", files(pid)),
            *(_row(f"GET {path} with {count}", "ms", *self._asked(path)) for path in ("/metrics", "/status", "/pool")),
        ]

    async def wake(self) -> list[Row]:
        """A call of each. Raises RuntimeError where one needed another container."""
        created = metric(self._platform, f"{names.CONTAINER_TIMES}_count", 'operation="create"')
        times = await call_all(self._platform, self._actions, 1)
        if metric(self._platform, f"{names.CONTAINER_TIMES}_count", 'operation="create"') != created:
            raise RuntimeError("an action that was kept warm had to be started again")
        count = len(times)
        return [
            _row(f"resume + request, {count} paused", "ms", *times, target=1.5, note="over a new connection"),
            _row(f"resume + request, {count} paused, p99", "ms", sorted(times)[count * 99 // 100]),
        ]

    def _asked(self, path: str) -> list[float]:
        """Five answers to the operator, ms."""
        key = (self._platform.data / ".operator").read_text().strip()
        headers = {"Authorization": "Basic " + b64encode(key.encode()).decode()}
        times = []
        for _ in range(5):
            connection = self._platform.connect()
            began = time.perf_counter()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            times.append((time.perf_counter() - began) * 1e3)
            connection.close()
            if answer.status != 200:
                raise RuntimeError(f"GET {path}: {answer.status}")
        return times


def _row(name: str, unit: str, *values: float, target: float | None = None, more: bool = False, note: str = "") -> Row:
    return Row("density", name, unit, [*values], target, "more" if more else "less", note)


def _bytes_of_groups(pids: set[int]) -> int:
    """What the memory cgroups of processes count, each once."""
    groups = {group for pid in pids if (group := _group(pid))}
    return sum(int(group.read_text()) for group in groups)


def _group(pid: int) -> Path | None:
    """The file that says what the memory cgroup of a process has; None where there is none."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return _V1 / path.lstrip("/") / "memory.usage_in_bytes"
        if not controllers and (found := _V2 / path.lstrip("/") / "memory.current").exists():
            return found
    return None
