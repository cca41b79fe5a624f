"""An Invoker whose number goes for good leaves nothing in its topic (D8)."""

import asyncio

import pytest

from tests.unit.invoker.conftest import Stage, value
from upcall.core.pool import PoolConfig
from upcall.invoker import leaving
from upcall.model import texts
from upcall.model.activation import WHISK_ERROR
from upcall.model.messages import ActivationMessage, invoker_topic
from upcall.testing import Reply, a_message, an_action, until

ONE = PoolConfig(memory=256)
"""Room for one container."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "SETTLED", 0.2)
    monkeypatch.setattr(leaving, "LOOK", 0.01)


async def test_all_that_waits_is_run_whether_somebody_waits_for_it_or_not(stage: Stage) -> None:
    gate = asyncio.Event()
    stage.containers.script = lambda path, body: Reply(after=gate if path == "/run" else None)
    async with stage.started(ONE, units=1) as invoker:
        sent = [await stage.send(an_action(), blocking=bool(number % 2)) for number in range(6)]
        await until(lambda: bool(stage.containers.made) and "/run" in stage.container.story)
        left = asyncio.create_task(leaving.leave(invoker, lambda: 0, 30))
        await until(lambda: not invoker.enabled)
        assert (left.done(), invoker.stopping, invoker.enable()) == (False, True, False)
        sent.append(await stage.send(an_action(), blocking=False))
        gate.set()
        await left
        for message in sent:
            assert (await stage.stored(message)).response.status_code == 0


async def test_what_does_not_run_in_time_is_answered_and_not_left(stage: Stage) -> None:
    never = asyncio.Event()
    stage.containers.script = lambda path, body: Reply(after=never if path == "/run" else None)
    async with stage.started(ONE, units=2) as invoker:
        sent = [await stage.send(an_action(), blocking=bool(number % 2)) for number in range(6)]
        await until(lambda: bool(stage.containers.made) and "/run" in stage.container.story)
        await leaving.leave(invoker, lambda: 0, 0.1)
        late = a_message(an_action(), sent[0].revision, blocking=False)
        stage.bus.send(invoker_topic(0), late)
        await invoker.drain(0)
    for message in [*sent, late]:
        await ended_by_the_stop(stage, message)


async def test_a_disabled_one_runs_what_it_has_held_back(stage: Stage) -> None:
    async with stage.started(ONE) as invoker:
        assert invoker.disable()
        message = await stage.send(an_action())
        assert invoker.held_back == 1
        await leaving.leave(invoker, lambda: 0, 30)
        assert (await stage.stored(message)).response.status_code == 0


async def test_it_waits_for_what_its_topic_has(stage: Stage) -> None:
    waiting = [1]
    async with stage.started(ONE) as invoker:
        left = asyncio.create_task(leaving.leave(invoker, lambda: len(waiting), 30))
        done, _ = await asyncio.wait([left], timeout=3 * leaving.SETTLED)
        assert not done
        waiting.clear()
        await left


async def ended_by_the_stop(stage: Stage, message: ActivationMessage) -> None:
    record = await stage.stored(message)
    assert (record.response.status_code, value(record)) == (WHISK_ERROR, {"error": texts.SHUTDOWN})
    assert len(stage.shapes(message)) == 1
