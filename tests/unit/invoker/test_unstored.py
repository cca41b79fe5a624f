"""Activations whose record is not kept (spec: store.md §6.2)."""

import logging

import pytest

from tests.unit.invoker.conftest import Stage
from upcall.core.record import StoreLevels
from upcall.errors import StartFailed
from upcall.model.entities import UserLimits
from upcall.model.messages import invoker_topic
from upcall.testing import a_message, an_action, an_identity


@pytest.mark.parametrize("told", [True, False])
async def test_records_that_are_not_kept_are_told_where_that_is_asked_for(
    stage: Stage, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """One of each end: it ran, it was refused, no container came up (spec: store.md §6.2)."""
    caplog.set_level(logging.INFO, "upcall")
    user = an_identity(limits=UserLimits(store_activations=False))
    async with stage.started(levels=StoreLevels(told=told)):
        ran = await stage.call(an_action("ran"), user=user)
        kept = await stage.call(an_action("ran"))
        refused = a_message(an_action("gone"), "1-0", user=user)
        stage.bus.send(invoker_topic(0), refused)
        await stage.controller.ended(refused.activation_id)
        stage.containers.failure = StartFailed("no")
        none = await stage.call(an_action("unmade"), user=user)
    lines = [record for record in caplog.records if record.getMessage().startswith("its record is not kept: ")]
    ids = [record.activation for record in lines]  # type: ignore[attr-defined]
    assert ids == ([each.activation_id for each in (ran, refused, none)] if told else [])
    assert kept.activation_id not in ids
    assert [record.getMessage().split(": ")[1].split(",")[0] for record in lines] == (
        ["success", "application error", "whisk internal error"] if told else []
    )
