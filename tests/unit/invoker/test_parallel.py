"""Several activations in one container, through the whole shell (spec: container.md §7.1, §7.3; bus.md §7.1)."""

import asyncio

import pytest

from tests.unit.invoker.conftest import Stage, annotations, value
from upcall.core.pool import PoolConfig
from upcall.model import texts
from upcall.model.activation import DEVELOPER_ERROR
from upcall.model.entities import Action, ActionLimits
from upcall.model.messages import ActivationMessage
from upcall.model.names import Json
from upcall.model.sizes import Bounds, SystemLimits
from upcall.testing import CRASH, Reply, an_action, until

LIMITS = SystemLimits(concurrency=Bounds(1, 10, 1))
SMALL = PoolConfig(memory=256)
"""Room for one container."""


def parallel(concurrency: int = 3, logs: int = 1) -> Action:
    return an_action(limits=ActionLimits(60_000, 256, logs, concurrency))


class Gates:
    """Answers of /run by the argument `n`, each held back until it is opened."""

    def __init__(self, stage: Stage, init: Reply | None = None) -> None:
        self.init = init or Reply()
        self.replies: dict[int, Reply] = {}
        self.busy: dict[int, Reply] = {}
        """Said once, before."""
        stage.containers.script = self._answer

    def hold(self, n: int, status: int = 200, body: bytes = b'{"ok":1}') -> None:
        self.replies[n] = Reply(status=status, body=body, after=asyncio.Event())

    def open(self, *numbers: int) -> None:
        for n in numbers:
            gate = self.replies[n].after
            assert gate is not None
            gate.set()

    def _answer(self, path: str, body: Json) -> Reply:
        if path == "/init":
            return self.init
        n = body["value"]["n"]
        return self.busy.pop(n) if n in self.busy else self.replies[n]


async def sent(stage: Stage, action: Action, count: int, **options: bool) -> list[ActivationMessage]:
    return [await stage.send(action, content={"n": n}, **options) for n in range(count)]


async def ended(stage: Stage, *messages: ActivationMessage) -> None:
    for message in messages:
        await stage.controller.ended(message.activation_id)


def runs(stage: Stage) -> int:
    return sum(container.story.count("/run") for container in stage.containers.made)


async def test_what_comes_during_init_runs_after_it_and_no_more_than_allowed(stage: Stage) -> None:
    gates = Gates(stage, Reply(after=asyncio.Event()))
    for n in range(5):
        gates.hold(n)
    async with stage.started(SMALL, limits=LIMITS) as invoker:
        messages = await sent(stage, parallel(), 5)
        await until(lambda: bool(stage.containers.made) and stage.container.story == ["/init"])
        assert gates.init.after is not None
        gates.init.after.set()
        await until(lambda: runs(stage) == 3)
        assert invoker.load == 5
        gates.open(1)
        await until(lambda: runs(stage) == 4)
        gates.open(0, 2, 3, 4)
        await ended(stage, *messages)
        assert len(stage.containers.made) == 1
        assert stage.container.story.count("/init") == 1
        cold = [message for message in messages if "initTime" in annotations(await stage.stored(message))]
        assert cold == messages[:1]
        assert (invoker.counters.starts["cold"], invoker.counters.starts["warmingCold"]) == (1, 2)


@pytest.mark.parametrize(("blocking", "shapes"), [(True, ["combined"]), (False, ["completion"])])
async def test_what_waits_for_an_init_that_fails_ends_with_its_response(
    stage: Stage, blocking: bool, shapes: list[str]
) -> None:
    gates = Gates(stage, Reply(status=502, body=b'{"error":"no"}', after=asyncio.Event()))
    async with stage.started(SMALL, limits=LIMITS):
        first, *others = messages = await sent(stage, parallel(), 3, blocking=blocking)
        await until(lambda: bool(stage.containers.made) and stage.container.story == ["/init"])
        assert gates.init.after is not None
        gates.init.after.set()
        await ended(stage, *messages)
        for message in messages:
            record = await stage.stored(message)
            assert (record.response.status_code, value(record)) == (DEVELOPER_ERROR, {"error": "no"})
        assert stage.shapes(first) == shapes
        assert [stage.shapes(message) for message in others] == [shapes, shapes]
        assert ["initTime" in annotations(await stage.stored(message)) for message in messages] == [True, False, False]
        await until(lambda: "destroy" in stage.container.story)


async def test_a_container_with_a_developer_error_goes_when_the_others_are_done(stage: Stage) -> None:
    gates = Gates(stage)
    gates.hold(0)
    gates.hold(1, 502)
    gates.hold(2)
    async with stage.started(SMALL, limits=LIMITS) as invoker:
        messages = await sent(stage, parallel(), 3)
        await until(lambda: runs(stage) == 3)
        gates.open(1)
        await ended(stage, messages[1])
        fourth = await stage.send(parallel(), content={"n": 2})
        assert invoker._runner.pool.free == 0
        assert "destroy" not in stage.container.story
        gates.open(0, 2)
        await ended(stage, messages[0], messages[2], fourth)
        assert [value(await stage.stored(message)) for message in (messages[0], fourth)] == [{"ok": 1}] * 2
        first, second = stage.containers.made
        assert first.story[-1] == "destroy"
        assert second.story == ["/init", "/run"]
        assert invoker._runner.pool.free == 0
        await until(lambda: invoker._runner.pool.removing == 0)


async def test_a_container_that_dies_ends_all_that_runs_there_and_gives_back_what_waits(stage: Stage) -> None:
    gates = Gates(stage)
    for n in range(4):
        gates.hold(n)
    async with stage.started(SMALL, limits=LIMITS):
        messages = await sent(stage, parallel(), 4)
        await until(lambda: runs(stage) == 3)
        gates.open(3)
        await stage.container.die()
        await ended(stage, *messages)
        outcomes = [value(await stage.stored(message)) for message in messages]
        assert outcomes == [{"error": texts.RUN_DIED}] * 3 + [{"ok": 1}]


async def test_one_that_is_refused_goes_elsewhere_and_the_others_end_where_they_are(stage: Stage) -> None:
    gates = Gates(stage)
    gates.hold(0)
    gates.busy[1] = Reply(status=503)
    gates.replies[1] = Reply(body=b'{"ok":2}')
    async with stage.started(PoolConfig(memory=512), limits=LIMITS):
        first = await stage.send(parallel(), content={"n": 0})
        await until(lambda: runs(stage) == 1)
        second = await stage.send(parallel(), content={"n": 1})
        await ended(stage, second)
        gates.open(0)
        await ended(stage, first)
        assert value(await stage.stored(first)) == {"ok": 1}
        assert [value(await stage.stored(message)) for message in (first, second)] == [{"ok": 1}, {"ok": 2}]
        assert "destroy" in stage.containers.made[0].story


async def test_one_that_ends_without_an_answer_leaves_the_others_alone(stage: Stage) -> None:
    gates = Gates(stage)
    gates.hold(0)
    gates.replies[1] = CRASH
    async with stage.started(SMALL, limits=LIMITS) as invoker:
        first = await stage.send(parallel(), content={"n": 0})
        await until(lambda: runs(stage) == 1)
        second = await stage.call(parallel(), content={"n": 1})
        assert value(await stage.stored(second)) == {"error": texts.RUN_DIED}
        assert invoker.counters.rescheduled == 0
        gates.open(0)
        await ended(stage, first)
        assert value(await stage.stored(first)) == {"ok": 1}
