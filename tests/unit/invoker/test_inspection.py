"""What can be seen of a pool and its containers."""

import asyncio
import threading
from typing import Any

import pytest

from tests.unit.invoker.conftest import NO_LOGS, Stage
from upcall.core.pool import PoolConfig
from upcall.core.prewarm import StemCell
from upcall.invoker import inspection
from upcall.invoker.desk import Box
from upcall.testing import FakeContainer, Reply, an_action, until

MB = 1 << 20


async def test_the_pool_and_each_container_are_shown(stage: Stage) -> None:
    held = asyncio.Event()
    stage.containers.script = lambda path, body: Reply(after=held if path == "/run" else None)
    pool = PoolConfig(memory=1024, prewarm=(StemCell("nodejs:20", 128, 1),))
    async with stage.started(pool) as invoker:
        message = await stage.send(an_action("hello", limits=NO_LOGS))
        await until(lambda: any("/run" in each.story for each in stage.containers.made))
        inside = invoker.inside
        await inside.measure()
        numbers: Any = inside.pool()
        assert numbers == {
            "mode": "open",
            "containers": 2,
            "states": {"prewarm": 1, "warm": 1},
            "running": 1,
            "waiting": 0,
            "memory": {"limit": 1024 * MB, "promised": 384 * MB, "removing": 0, "used": 80 * MB},
        }
        shown: list[Any] = inside.containers()
        busy = next(each for each in shown if each["kind"] == "python:3")
        stem = next(each for each in shown if each["kind"] == "nodejs:20")
        assert (busy["namespace"], busy["action"], busy["state"]) == ("guest", "guest/hello", "warm")
        assert busy["running"] == [message.activation_id]
        assert busy["idle"] is None
        assert busy["memory"] == {"promised": 256 * MB, "used": 40 * MB}
        assert (stem["namespace"], stem["action"], stem["state"], stem["running"]) == (None, None, "prewarm", [])
        held.set()
        await stage.controller.ended(message.activation_id)
        rested: Any = next(each for each in inside.containers() if isinstance(each, dict) and each["idle"] is not None)
        assert rested["idle"] >= 0


async def test_a_container_has_a_story_by_number_and_by_id_and_after_its_end(stage: Stage) -> None:
    async with stage.started() as invoker:
        message = await stage.call(an_action(limits=NO_LOGS))
        story: Any = invoker.inside.story("1")
        assert [each["event"] for each in story] == ["→ Create", "Created", "→ Run", "Inited", "JobDone → Pull"]
        assert story[0]["activation"] == message.activation_id
        assert story == invoker.inside.story(stage.container.id if not stage.container.id.isdecimal() else "1")
        await stage.container.die()
        await until(lambda: not invoker.inside.containers())
        ended: Any = invoker.inside.story("1")
        assert [each["event"] for each in ended][-3:] == ["Broken", "→ Remove", "Removed"]
        for unknown in ("2", "0", "-1", "x" * 100, "9" * 1000, "²"):
            assert invoker.inside.story(unknown) is None


async def test_a_life_is_remembered_longer_than_what_was_run(stage: Stage) -> None:
    action = an_action(limits=NO_LOGS)
    async with stage.started() as invoker:
        for _ in range(200):
            await stage.call(action)
        story: Any = invoker.inside.story("1")
        assert [each["event"] for each in story][:3] == ["→ Create", "Created", "Inited"]
        assert len(story) > 200


async def test_memory_is_asked_for_off_the_loop_and_not_each_time(stage: Stage, monkeypatch: Any) -> None:
    threads: list[int] = []

    def used(self: FakeContainer) -> int:
        threads.append(threading.get_ident())
        return 7

    monkeypatch.setattr(FakeContainer, "memory_used", used)
    async with stage.started() as invoker:
        await stage.call(an_action(limits=NO_LOGS))
        await asyncio.gather(*(invoker.inside.measure() for _ in range(3)))
        assert invoker.inside.used == 7
        assert len(threads) == 1
        assert threads[0] != threading.get_ident()


def test_asking_ends_when_its_time_is_over_and_keeps_what_was_known(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def __init__(self, number: int) -> None:
            self.id = str(number)

        def memory_used(self) -> int:
            clock[0] += 0.02
            return 1

    clock = [0.0]
    monkeypatch.setattr("upcall.invoker.inspection.time.perf_counter", lambda: clock[0])
    boxes: Any = [Box(Slow(number), None, "", "") for number in range(10)]  # type: ignore[arg-type]
    found = inspection._memory(boxes, {"9": 5, "0": 3})
    assert found == {"0": 1, "1": 1, "2": 1, "9": 5}
