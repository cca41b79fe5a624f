"""A platform for the bench, with sandboxes and no throttle in the way, and a client whose calls are each timed."""

import asyncio
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import post, run
from tests.system.serving import Platform, running
from upcall.containers import kinds

LIMITS = {"LIMITS_ACTIONS_INVOKES_PERMINUTE": "100000000", "LIMITS_ACTIONS_INVOKES_CONCURRENT": "5000"}
BODY = b'{"n":1}'


@contextmanager
def served(*options: str, **environment: str) -> Iterator[Platform]:
    """`upcall serve`, whose data go with it."""
    with (
        tempfile.TemporaryDirectory(prefix="upcall-bench-") as folder,
        running(Path(folder) / "data", *options, environment=LIMITS | environment) as platform,
    ):
        yield platform


def make(
    platform: Platform, names: Iterable[str], kind: str, code: str, *, binary: bool = False, auth: str | None = None
) -> list[str]:
    """New actions of 128 MB, of the guest or of whose `auth` it is; gives their names."""
    made = []
    for name in names:
        exec_ = {"kind": kind, "code": code, "binary": binary}
        answer = platform.call("PUT", f"actions/{name}", {"exec": exec_, "limits": {"memory": 128}}, auth)
        if answer.status != 200:
            raise RuntimeError(f"{name}: {answer.body}")
        made.append(name)
    return made


def request(platform: Platform, action: str, auth: str | None = None) -> bytes:
    """A blocking call by the guest, or by whose `auth` it is."""
    path = f"/api/v1/namespaces/_/actions/{action}?blocking=true&result=true"
    return post(path, BODY, "Authorization: Basic " + b64encode((auth or platform.auth).encode()).decode())


async def call(platform: Platform, action: str, auth: str | None = None) -> float:
    """Milliseconds of one call, over a connection of its own."""
    began = time.perf_counter()
    load = await run([("127.0.0.1", platform.port)], request(platform, action, auth), 1)
    if load.bad:
        raise RuntimeError(f"{action} was answered with an error")
    return (time.perf_counter() - began) * 1e3


async def call_all(platform: Platform, actions: Iterable[str], abreast: int) -> list[float]:
    """One call of each, so many at a time."""
    waiting = iter(actions)
    times: list[float] = []

    async def worker() -> None:
        for action in waiting:
            times.append(await call(platform, action))

    await asyncio.gather(*(worker() for _ in range(abreast)))
    return times


def metric(platform: Platform, name: str, label: str = "") -> float:
    """The sum of a metric's samples as /metrics has them now, of those with a label: `name="value"`."""
    connection = platform.connect()
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return sum(
        float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")) and label in line
    )


async def reached(platform: Platform, name: str, label: str, least: float, patience: float = 30.0) -> None:
    """Wait until a metric is as much."""
    deadline = time.monotonic() + patience
    while (found := metric(platform, name, label)) < least:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} is {found:g} and not {least:g} after {patience:.0f} s")
        await asyncio.sleep(0.005)


def node_kind() -> str | None:
    """That of this host's Node.js."""
    return next(iter(kinds.node_kinds(kinds.find_node())), None)
