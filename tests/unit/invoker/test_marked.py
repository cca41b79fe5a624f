"""Log markers: their names, order and numbers (spec: metrics.md §3, §4)."""

import logging
import re
from collections.abc import Iterator

import pytest

from tests.unit.invoker.conftest import NO_LOGS, Stage, answers
from upcall import markers
from upcall.model.entities import ActionLimits
from upcall.model.messages import ActivationMessage
from upcall.ports import Lines
from upcall.testing import CRASH, Reply, an_action

MARKER = re.compile(r" \[marker:([A-Za-z0-9_.]+):(-?\d+)(?::(\d+))?\]$")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """On for one test."""
    caplog.set_level(logging.INFO, "upcall.markers")
    markers.switch(True)
    yield caplog
    markers.switch(False)


def of(message: ActivationMessage, log: pytest.LogCaptureFixture) -> list[str]:
    """The names of its markers, in order. Each line has its ids, and times that fit its name."""
    names = []
    for record in log.records:
        if getattr(record, "activation", "") == message.activation_id:
            match = MARKER.search(record.getMessage())
            assert match is not None
            name, since, took = match.groups()
            assert record.tid == message.transid[0]  # type: ignore[attr-defined]
            assert int(since) > 0
            assert (took is not None) == name.endswith(("_finish", "_error"))
            names.append(name)
    return names


RUN = ["invoker_activationRun_start", "invoker_activationRun_finish"]
INIT = ["invoker_activationInit_start", "invoker_activationInit_finish"]
LOGS = ["invoker_collectLogs_start", "invoker_collectLogs_finish"]


def started(how: str) -> list[str]:
    return ["invoker_activation_start", f"invoker_containerStart.{how}_counter"]


async def test_a_cold_run_and_a_warm_one(stage: Stage, lines: pytest.LogCaptureFixture) -> None:
    async with stage.started():
        cold = await stage.call(an_action())
        warm = await stage.call(an_action())
    assert of(cold, lines) == [*started("cold"), *INIT, *RUN, *LOGS]
    assert of(warm, lines) == [*started("warmed"), *RUN, *LOGS]
    line = next(text for record in lines.records if "containerStart" in (text := record.getMessage()))
    assert line.startswith(
        f"containerStart containerState: cold container: {stage.container.id} "
        f"action: hello namespace: guest activationId: {cold.activation_id} [marker:"
    )


async def test_without_logs_none_are_collected(stage: Stage, lines: pytest.LogCaptureFixture) -> None:
    async with stage.started():
        message = await stage.call(an_action(limits=NO_LOGS))
    assert of(message, lines) == [*started("cold"), *INIT, *RUN]


async def test_what_fails_is_marked_as_an_error(stage: Stage, lines: pytest.LogCaptureFixture) -> None:
    async with stage.started():
        stage.containers.script = answers(CRASH)
        lost = await stage.call(an_action("lost"))
        stage.containers.script = answers(Reply(), init=Reply(status=502))
        broken = await stage.call(an_action("broken", limits=NO_LOGS))
        stage.containers.script = answers(Reply())
        await stage.call(an_action("logs", limits=ActionLimits(60_000, 256, 1)))
        stage.container.lines = Lines(["x"], failed=True)
        unread = await stage.call(an_action("logs", limits=ActionLimits(60_000, 256, 1)))
    assert of(lost, lines) == [*started("cold"), *INIT, RUN[0], "invoker_activationRun_error", *LOGS]
    assert of(broken, lines) == [*started("cold"), INIT[0], "invoker_activationInit_error"]
    assert of(unread, lines) == [*started("warmed"), *RUN, LOGS[0], "invoker_collectLogs_error"]


async def test_one_that_goes_to_another_container_is_marked_again(
    stage: Stage, lines: pytest.LogCaptureFixture
) -> None:
    stage.containers.script = answers(Reply(status=503), Reply())
    async with stage.started():
        message = await stage.call(an_action(limits=NO_LOGS))
    assert of(message, lines) == [*started("cold"), *INIT, *RUN, started("cold")[1], *INIT, *RUN]


async def test_nothing_is_marked_unless_asked_for(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "upcall")
    async with stage.started():
        await stage.call(an_action())
    assert "[marker:" not in caplog.text


def test_one_thing_that_is_done_has_a_start_and_an_end(lines: pytest.LogCaptureFixture) -> None:
    token = markers.transaction.set(["tid9", 1_764_000_000_000])
    with markers.marked("invoker_docker.run", "docker run"):
        pass
    with pytest.raises(OSError, match="x"), markers.marked("invoker_docker.rm", "docker rm"):
        raise OSError("x")
    markers.transaction.reset(token)
    found = [MARKER.search(record.getMessage()) for record in lines.records]
    assert [match[1] for match in found if match] == [
        "invoker_docker.run_start",
        "invoker_docker.run_finish",
        "invoker_docker.rm_start",
        "invoker_docker.rm_error",
    ]
    assert {record.tid for record in lines.records} == {"tid9"}  # type: ignore[attr-defined]


async def test_what_a_driver_does_for_an_activation_bears_its_transaction(
    stage: Stage, lines: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = stage.containers.create

    async def marked(spec):  # type: ignore[no-untyped-def]
        with markers.marked("invoker_docker.run", "docker run"):
            return await create(spec)

    monkeypatch.setattr(stage.containers, "create", marked)
    async with stage.started():
        message = await stage.call(an_action())
    tids = {record.tid for record in lines.records if "docker.run" in record.getMessage()}  # type: ignore[attr-defined]
    assert tids == {message.transid[0]}
