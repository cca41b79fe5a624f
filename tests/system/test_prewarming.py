"""Node.js containers that wait follow what is asked of them (spec: container.md §6.4), with rounds of a second."""

import json
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.contract.language import NODE
from tests.system.remains import wait_until
from tests.system.serving import Platform, running

CODE = "const main = () => ({});"
REACTIVE = {"minCount": 1, "maxCount": 3, "ttl": "5 seconds", "threshold": 1, "increment": 3}
CELL = {"initialCount": 1, "memory": "128 MB", "reactive": REACTIVE}
RUNTIMES = {
    "nodejs": [{"kind": NODE, "default": True, "image": {"name": "none"}, "stemCells": [CELL]}],
    "python": [{"kind": "python:3", "default": True, "image": {"name": "none"}}],
}
ROUNDS = {
    "RUNTIMES_MANIFEST": json.dumps({"runtimes": RUNTIMES}),
    "CONFIG_whisk_memory_max": "1024 MB",
    "CONFIG_whisk_containerPool_prewarmExpirationCheckInitDelay": "1 second",
    "CONFIG_whisk_containerPool_prewarmExpirationCheckInterval": "1 second",
    "CONFIG_whisk_containerPool_prewarmExpirationCheckIntervalVariance": "0 seconds",
}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with running(tmp_path / "data", "--memory", "1024", environment=ROUNDS) as made:
        yield made
    assert "Traceback" not in made.output.read_text()


def waiting(platform: Platform) -> int:
    """Containers that are ready for any action."""
    key = (platform.data / ".operator").read_text().strip()
    headers = {"Authorization": "Basic " + b64encode(key.encode()).decode()}
    request = urllib.request.Request(f"{platform.url}/pool", headers=headers)
    with urllib.request.urlopen(request) as answer:
        states: dict[str, int] = json.load(answer)["states"]
    return states.get("prewarm", 0)


def prewarmed(platform: Platform) -> int:
    """Activations that found one."""
    with urllib.request.urlopen(f"{platform.url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    starts = [line for line in lines if line.startswith("counter_invoker_containerStart_counter_total{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in starts if 'containerState="prewarmed"' in line)


def burst(platform: Platform, name: str, count: int, kind: str = NODE, code: str = CODE, memory: int = 128) -> None:
    """So many new actions, all called at once."""
    action: dict[str, Any] = {"exec": {"kind": kind, "code": code}, "limits": {"memory": memory}}
    names = [f"{name}{number}" for number in range(count)]
    for each in names:
        assert platform.call("PUT", f"actions/{each}", action).status == 200
    with ThreadPoolExecutor(count) as pool:
        assert {answer.status for answer in pool.map(platform.invoke, names)} == {200}


def grow(platform: Platform) -> None:
    """Cold starts that a third container would have spared."""
    wait_until(lambda: waiting(platform) == 1)
    burst(platform, "first", 4)
    assert prewarmed(platform) < 4
    wait_until(lambda: waiting(platform) == 3)


def test_after_cold_starts_there_are_more_and_new_actions_find_them(platform: Platform) -> None:
    grow(platform)
    before = prewarmed(platform)
    burst(platform, "second", 3)
    assert prewarmed(platform) == before + 3


def test_what_nobody_needs_goes_with_its_age_and_the_rest_for_whoever_needs_its_memory(platform: Platform) -> None:
    grow(platform)
    wait_until(lambda: waiting(platform) == 1)
    burst(platform, "large", 1, "python:3", "def main(args):\n    return {}\n", 1024)
    assert waiting(platform) == 0
