"""A result is told when nothing can contradict it any more (docs/adr/0011-journal.md)."""

import asyncio
from typing import Any

import pytest

from tests.unit.invoker.conftest import NO_LOGS, Recalling, Stage
from upcall.core.record import StoreLevels
from upcall.model.activation import Activation
from upcall.model.entities import ActionLimits
from upcall.model.messages import ActivationMessage, invoker_topic
from upcall.testing import a_message, an_action, until

LOGS = ActionLimits(timeout=60_000, memory=256, logs=1)


class Order:
    """What was promised, recorded and told, in its order; `promises` is the store's answer."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch, promises: bool) -> None:
        self.seen: list[str] = []
        self.synced = asyncio.Event()
        record, deliver = stage.store.record, stage.controller._deliver

        def promise(activation: Activation) -> bool:
            self.seen.append("promise")
            return promises

        def recorded(activation: Activation) -> bool:
            self.seen.append("record")
            return record(activation)

        def told(offset: int, message: Any, started: bool) -> None:
            self.seen.append(type(message).__name__.removesuffix("Message"))
            deliver(offset, message, started)

        monkeypatch.setattr(stage.store, "promise", promise)
        monkeypatch.setattr(stage.store, "record", recorded)
        monkeypatch.setattr(stage.store, "flush", self.synced.wait)
        monkeypatch.setattr(stage.controller, "_deliver", told)


@pytest.mark.parametrize(
    ("limits", "blocking", "seen"),
    [
        (LOGS, True, ["promise", "record", "Combined"]),
        (NO_LOGS, True, ["promise", "record", "Combined"]),
        (LOGS, False, ["record", "Completion"]),
        (NO_LOGS, False, ["record", "Completion"]),
    ],
)
async def test_a_promise_comes_before_the_result(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, limits: ActionLimits, blocking: bool, seen: list[str]
) -> None:
    order = Order(stage, monkeypatch, True)
    async with stage.started():
        await stage.call(an_action(limits=limits), blocking=blocking)
        assert order.seen == seen


@pytest.mark.parametrize("limits", [LOGS, NO_LOGS])
async def test_without_one_the_result_waits_for_the_disk_and_the_container_does_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, limits: ActionLimits
) -> None:
    order = Order(stage, monkeypatch, False)
    async with stage.started() as invoker:
        message = await stage.send(an_action(limits=limits))
        await until(lambda: "record" in order.seen and invoker.load == 0)
        assert order.seen == ["promise", "record"]
        order.synced.set()
        await stage.controller.ended(message.activation_id)
        assert order.seen == ["promise", "record", "Combined"]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("limits", "seen"),
    [(LOGS, ["promise", "Result", "record", "Completion"]), (NO_LOGS, ["promise", "record", "Combined"])],
)
async def test_a_bus_that_recalls_stands_for_it_unless_all_is_to_be_durable(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, limits: ActionLimits, seen: list[str], full: bool
) -> None:
    stage.bus = stage.controller._bus = Recalling()
    order = Order(stage, monkeypatch, False)
    async with stage.started(full=full) as invoker:
        message = await stage.send(an_action(limits=limits))
        await until(lambda: "record" in order.seen and invoker.load == 0)
        if full:
            assert order.seen == ["promise", "record"]
            order.synced.set()
        await stage.controller.ended(message.activation_id)
        assert order.seen == (["promise", "record", "Combined"] if full else seen)


async def test_what_is_not_stored_is_not_promised(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    order = Order(stage, monkeypatch, False)
    async with stage.started(levels=StoreLevels("STORE_FAILURES", "STORE_FAILURES")):
        await stage.call(an_action(limits=NO_LOGS))
        assert order.seen == ["Combined"]


async def test_what_never_ran_is_promised_as_well(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    order = Order(stage, monkeypatch, False)

    async def refused(message: ActivationMessage) -> None:
        await until(lambda: order.seen == ["promise", "record"])
        assert stage.shapes(message) == []
        order.synced.set()
        await stage.controller.ended(message.activation_id)
        assert order.seen == ["promise", "record", "Combined"]

    async with stage.started():
        message = a_message(an_action("gone"), "1-0")
        stage.bus.send(invoker_topic(0), message)
        await refused(message)
        order.seen.clear()
        order.synced.clear()
        await refused(await stage.send(an_action("large", limits=ActionLimits(60_000, 1024, 1)), user=None))
