"""A disabled Invoker (spec: invoker.md §8): it fetches nothing, and loses nothing."""

import asyncio

from tests.unit.invoker.conftest import NO_LOGS, Stage
from upcall.bus.memory import MemoryBus
from upcall.core.pool import PoolConfig
from upcall.model.messages import Message, PingMessage, Topic, invoker_topic
from upcall.testing import Reply, an_action, unexpected, until


async def pings(bus: MemoryBus) -> list[bool]:
    """What the Invoker says from now on."""
    said: list[bool] = []

    def deliver(offset: int, message: Message, started: bool) -> None:
        assert isinstance(message, PingMessage)
        said.append(message.is_enabled)
        feed.pull(1)
        feed.done(offset)

    feed = await bus.feed(Topic("health", "ping"), "watch", deliver, unexpected)
    feed.pull(10)
    return said


async def test_what_comes_meanwhile_waits_in_order_and_runs_afterwards(stage: Stage) -> None:
    action = an_action(limits=NO_LOGS)
    async with stage.started(PoolConfig(memory=256), units=3) as invoker:
        await stage.call(action)
        assert invoker.disable()
        assert not invoker.disable()
        assert invoker.disabled
        assert not invoker.enabled
        sent = [await stage.send(action, content={"n": n}) for n in range(3)]
        await asyncio.sleep(0.02)
        assert stage.container.story.count("/run") == 1
        assert invoker.held_back == 3
        assert invoker.load == 0
        assert invoker.enable()
        assert not invoker.enable()
        for message in sent:
            await stage.controller.ended(message.activation_id)
        assert [body["value"]["n"] for body in stage.container.bodies[-3:] if isinstance(body, dict)] == [0, 1, 2]
        assert (invoker.held_back, invoker.disabled) == (0, False)
        await until(lambda: invoker.enabled)


async def test_it_fetches_no_more_than_it_has_units_and_gets_them_all_back(stage: Stage) -> None:
    action = an_action(limits=NO_LOGS)
    async with stage.started(units=2) as invoker:
        await stage.call(action)
        invoker.disable()
        sent = [await stage.send(action) for _ in range(5)]
        await asyncio.sleep(0.02)
        assert invoker.held_back == 2
        invoker.enable()
        for message in sent:
            await stage.controller.ended(message.activation_id)
        more = [await stage.send(action) for _ in range(5)]
        for message in more:
            await stage.controller.ended(message.activation_id)


async def test_what_runs_ends_and_its_unit_comes_back_later(stage: Stage) -> None:
    held = asyncio.Event()
    stage.containers.script = lambda path, body: Reply(after=held if path == "/run" else None)
    action = an_action(limits=NO_LOGS)
    async with stage.started(units=1) as invoker:
        running = await stage.send(action)
        await until(lambda: bool(stage.containers.made) and "/run" in stage.container.story)
        invoker.disable()
        waiting = await stage.send(action)
        held.set()
        await stage.controller.ended(running.activation_id)
        assert invoker.held_back == 0
        invoker.enable()
        await stage.controller.ended(waiting.activation_id)


async def test_the_controller_is_told_once_and_hears_nothing_more(stage: Stage) -> None:
    async with stage.started() as invoker:
        said = await pings(stage.bus)
        await until(lambda: bool(said))
        invoker.disable()
        await until(lambda: said[-1:] == [False])
        await asyncio.sleep(1.2)
        assert said.count(False) == 1
        assert said[-1] is False
        invoker.enable()
        await until(lambda: said[-1])


async def test_a_stop_leaves_what_waits_to_the_next_life(stage: Stage) -> None:
    action = an_action(limits=NO_LOGS)
    async with stage.started() as invoker:
        await stage.call(action)
        invoker.disable()
        message = await stage.send(action, blocking=False)
        await until(lambda: invoker.held_back == 1)
    assert stage.shapes(message) == []
    again: list[Message] = []
    topic = invoker_topic(0)
    feed = await stage.bus.feed(topic, topic.name, lambda offset, left, started: again.append(left), unexpected)
    feed.pull(1)
    await until(lambda: bool(again))
    assert again == [message]
