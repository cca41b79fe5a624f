"""What is known of an action, and that large code is not read on the event loop."""

import asyncio
import threading
from typing import Any

import msgspec
import pytest

from tests.unit.invoker.conftest import Stage, value
from upcall.core.run import LARGE, Recipe, recipe_of
from upcall.invoker import known
from upcall.invoker.known import Knowledge
from upcall.model import texts
from upcall.model.activation import WHISK_ERROR
from upcall.model.entities import Action, UserLimits
from upcall.model.sizes import SystemLimits
from upcall.testing import MANIFEST, an_action, an_identity

BIG = "#" * (LARGE + 1)
OTHER = an_identity("other", limits=UserLimits(max_payload_size="1 KB"))


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """Where each recipe was made."""
    seen: list[threading.Thread] = []

    def noted(action: Action, kind: str) -> Recipe:
        seen.append(threading.current_thread())
        return recipe_of(action, kind)

    monkeypatch.setattr(known, "recipe_of", noted)
    return seen


async def test_large_code_is_read_once_in_a_thread(threads: list[threading.Thread]) -> None:
    knowledge, action = Knowledge(MANIFEST, SystemLimits()), an_action(code=BIG)
    assert knowledge.of(action, "1-0", an_identity()) is None
    users = [an_identity(), OTHER] * 3
    found = await asyncio.gather(*(knowledge.learn(action, "1-0", user) for user in users))
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()
    assert len({id(entry.recipe) for entry in found}) == 1
    assert [entry.run.limit for entry in found[:2]] == [SystemLimits().payload, 1024]
    assert knowledge.of(action, "1-0", an_identity()) is not None
    assert knowledge.of(action, "2-0", an_identity()) is None


async def test_small_code_is_read_at_once(threads: list[threading.Thread]) -> None:
    knowledge = Knowledge(MANIFEST, SystemLimits())
    entry = knowledge.of(an_action(), "1-0", OTHER)
    assert entry is not None
    assert await knowledge.learn(an_action(), "1-0", OTHER) is entry
    assert threads == [threading.current_thread()]


async def test_who_gives_up_leaves_the_work_to_the_others(threads: list[threading.Thread]) -> None:
    knowledge, action = Knowledge(MANIFEST, SystemLimits()), an_action(code=BIG)
    first, second = (asyncio.ensure_future(knowledge.learn(action, "1-0", an_identity())) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).recipe.name == "hello"
    assert len(threads) == 1


async def test_an_action_with_large_code_runs(stage: Stage, threads: list[threading.Thread]) -> None:
    async with stage.started():
        action = an_action(code=BIG)
        messages = [await stage.send(action) for _ in range(3)]
        for message in messages:
            await stage.controller.ended(message.activation_id)
            assert stage.controller.record(message.activation_id).response.status_code == 0
        await stage.call(action)
        assert len(threads) == 1
        init: Any = stage.containers.made[0].bodies[0]
        assert init["value"]["code"] == BIG


async def test_large_code_that_cannot_be_read_ends_its_activation_alone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise msgspec.MsgspecError

    async with stage.started():
        with monkeypatch.context() as patch:
            patch.setattr(known, "recipe_of", fail)
            record = await stage.result(an_action(code=BIG))
        assert (record.response.status_code, value(record)) == (WHISK_ERROR, {"error": texts.ACTION_FETCH})
        assert (await stage.result(an_action(code=BIG))).response.status_code == 0
    assert "Traceback" in caplog.text, "that is none of the caller's doing"
