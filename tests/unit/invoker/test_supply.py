"""A driver that can make no containers for a while: it is told, nothing is taken, nothing is lost, and it ends by
itself."""

import asyncio

import pytest

from tests.unit.invoker.conftest import NO_LOGS, Stage
from upcall.core.pool import PoolConfig
from upcall.invoker import pings
from upcall.testing import an_action, until
from upcall.watch.invoker import condition, hindrances

AWAY = "Docker's engine does not answer"


async def test_nothing_is_taken_while_no_container_can_be_made_and_all_of_it_runs_afterwards(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pings, "PING", 0.01)
    action = an_action(limits=NO_LOGS)
    async with stage.started(PoolConfig(memory=256), units=3) as invoker:
        await stage.call(action)
        await until(lambda: invoker.enabled)
        stage.containers.trouble = AWAY
        await until(lambda: not invoker.enabled)
        assert (condition(invoker), hindrances(invoker)) == ("without containers", [AWAY])
        sent = [await stage.send(action, content={"n": n}) for n in range(3)]
        await asyncio.sleep(0.05)
        assert invoker.held_back == 3
        assert stage.container.story.count("/run") == 1
        stage.containers.trouble = None
        for message in sent:
            await stage.controller.ended(message.activation_id)
        await until(lambda: invoker.enabled)
        assert (condition(invoker), hindrances(invoker)) == ("ready", [])


async def test_an_invoker_that_is_disabled_meanwhile_stays_so(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pings, "PING", 0.01)
    action = an_action(limits=NO_LOGS)
    async with stage.started(units=3) as invoker:
        stage.containers.trouble = AWAY
        await until(lambda: not invoker.enabled)
        invoker.disable()
        stage.containers.trouble = None
        message = await stage.send(action)
        await asyncio.sleep(0.05)
        assert invoker.held_back == 1
        invoker.enable()
        await stage.controller.ended(message.activation_id)
