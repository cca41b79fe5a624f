"""What only the shell around the pool can count."""

import asyncio

from tests.unit.invoker.conftest import NO_LOGS, Stage
from upcall.core.pool import PoolConfig
from upcall.core.prewarm import Reactive, StemCell
from upcall.testing import Reply, an_action, until


async def test_runs_and_inits(stage: Stage) -> None:
    async with stage.started() as invoker:
        for _ in range(3):
            await stage.call(an_action(limits=NO_LOGS))
        counters = invoker.counters
        assert (counters.inits, counters.runs, counters.run_times.count) == (1, 3, 3)
        assert counters.outcomes == [3, 0, 0, 0]
        assert (counters.cache_misses, counters.cache_hits) == (1, 2)


async def test_what_waits_for_memory(stage: Stage) -> None:
    held = asyncio.Event()
    stage.containers.script = lambda path, body: Reply(after=held if path == "/run" else None)
    async with stage.started(PoolConfig(memory=256), units=3) as invoker:
        sent = [await stage.send(an_action(name, limits=NO_LOGS)) for name in ("one", "two")]
        await until(lambda: invoker.load == 2)
        assert invoker.counters.buffered == 1
        held.set()
        for message in sent:
            await stage.controller.ended(message.activation_id)
        assert invoker.counters.buffered == 1


async def test_cold_starts_that_a_stem_cell_could_have_spared(stage: Stage) -> None:
    async with stage.started(PoolConfig(memory=1024, prewarm=(StemCell("python:3", 256, 0),))) as invoker:
        await stage.call(an_action(limits=NO_LOGS))
        await stage.call(an_action("other", kind="nodejs:20", limits=NO_LOGS))
        assert invoker.counters.coldstarts == {("python:3", 256): 1}


async def test_stem_cells_that_grow_too_old(stage: Stage) -> None:
    cell = StemCell("python:3", 256, 1, Reactive(least=0, most=1, ttl=0.01, threshold=1, increment=1))
    pool = PoolConfig(memory=1024, prewarm=(cell,), prewarm_delay=0.05, prewarm_check=0.05)
    async with stage.started(pool) as invoker:
        await until(lambda: invoker.counters.expired == {("python:3", 256): 1})


async def test_connections_that_were_tried_again_are_counted_beyond_the_containers_end(stage: Stage) -> None:
    async with stage.started() as invoker:
        await stage.call(an_action(limits=NO_LOGS))
        invoker._runner.boxes[1].runtime.retries = 3
        shown = {metric.name: metric.samples[0].value for metric in invoker.inside.metrics() if metric.samples}
        assert shown["counter_containerClient_retries_counter"] == 3
        await stage.container.die()
        await until(lambda: not invoker.inside.containers())
        assert invoker.counters.retries == 3
        assert invoker.counters.lost == {"warm": 1, "prewarm": 0}


async def test_failures_are_remembered_without_what_the_code_said(stage: Stage) -> None:
    async with stage.started() as invoker:
        stage.containers.script = lambda path, body: Reply(body=b'{"error":"a secret"}')
        failed = await stage.call(an_action(limits=NO_LOGS))
        (failure,) = invoker.counters.failures
        assert failure.activation == failed.activation_id
        assert (failure.initiator, failure.action, failure.status) == ("guest", "guest/hello", "application error")
        assert "secret" not in repr(failure)
        assert invoker.counters.failed == 1
