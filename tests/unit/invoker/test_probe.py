"""A controller's probe at an Invoker that is full (spec: invoker.md §12)."""

import asyncio

from tests.unit.invoker.conftest import Stage
from upcall.core.pool import PoolConfig
from upcall.model.entities import ActionLimits
from upcall.model.messages import invoker_topic
from upcall.model.names import FullyQualifiedName
from upcall.testing import Reply, a_message, an_action, an_identity, until


async def test_a_full_invoker_answers_a_probe_with_the_very_transaction_id(stage: Stage) -> None:
    test = an_action("invokerHealthTestAction0", namespace="whisk.system", limits=ActionLimits(1000, 128, 0))
    await stage.store.put(test)
    end = asyncio.Event()
    async with stage.started(PoolConfig(256), units=9) as invoker:
        stage.containers.script = lambda path, body: Reply(after=end)
        await stage.send(an_action("long"))
        await until(lambda: bool(stage.containers.made) and "/init" in stage.container.story)
        await stage.send(an_action("waits"))
        stage.containers.script = lambda path, body: Reply()
        probe = a_message(test, None, blocking=False, user=an_identity("whisk.system"))
        probe.transid = ["sid_invokerHealth", 1_764_000_000_000]
        probe.action = FullyQualifiedName("whisk.system", "invokerHealthTestAction0", "0.0.1")
        stage.bus.send(invoker_topic(0), probe)
        await stage.controller.ended(probe.activation_id)
        assert stage.shapes(probe) == ["completion"]
        assert stage.controller.acks[-1].transid == probe.transid  # type: ignore[union-attr]
        assert (await stage.stored(probe)).namespace == "whisk.system"
        await until(lambda: len(invoker._runner.pool.slots) == 1)
        assert invoker._runner.pool.reserve == 0
        assert invoker.load == 2, "those before it run and wait as they did"
        end.set()
