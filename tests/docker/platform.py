"""`upcall serve` with containers of the tests' engine, and what is left of it."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.system import engine_guard
from tests.system.engine import Engine
from tests.system.serving import Platform, running

LABEL = "upcall.instance"
PATIENCE = 60.0


@contextlib.contextmanager
def on_docker(engine: Engine, data: Path, *options: str, breaking: bool = False) -> Iterator[Platform]:
    """In the engine's network, until the end; nothing of it is left then. An engine that is stopped while it starts a
    container (`breaking`) leaves an empty control group or an interface of its own."""
    there = ("--driver", "docker", "--docker-host", engine.url)
    with engine.inside():
        before = left(engine)
        with running(data, *there, *options) as platform:
            yield platform
        eventually(lambda: nothing_left(engine, before, breaking), lambda: f"{left(engine)} instead of {before}")


def left(engine: Engine) -> dict[str, int]:
    """What containers have on the host, counted, seen from the engine's network."""
    groups = [group for tree in engine_guard.trees() for group in (tree / engine.group).glob("?" * 64)]
    return {
        "containers": len(engine.containers(LABEL)),
        "control groups": len(groups),
        "processes": sum(len(processes(group)) for group in groups),
        "interfaces": len(Path("/proc/thread-self/net/dev").read_text().splitlines()),
    }


def processes(group: Path) -> list[str]:
    try:
        return (group / "cgroup.procs").read_text().split()
    except OSError:  # it goes just now
        return []


def nothing_left(engine: Engine, before: dict[str, int], breaking: bool) -> bool:
    found = left(engine)
    ours = ("containers", "processes") if breaking else tuple(found)
    return all(found[what] <= before[what] for what in ours)


def eventually(holds: Callable[[], bool], why: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)


def ready(platform: Platform) -> tuple[int, Any]:
    """What `GET /ready` says."""
    connection = platform.connect()
    try:
        connection.request("GET", "/ready")
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def recorded(platform: Platform, name: str, **value: Any) -> Any:
    """The record of an activation; it comes when the container is free again."""
    answer = platform.invoke(name, value)
    assert answer.status in (200, 500, 502), answer
    id = answer.body["activationId"]
    eventually(lambda: platform.call("GET", f"activations/{id}").status == 200, lambda: f"{id} has no record")
    return platform.call("GET", f"activations/{id}").body


def printed(record: Any) -> list[str]:
    """The lines without their times."""
    return [line[31:] for line in record["logs"]]
