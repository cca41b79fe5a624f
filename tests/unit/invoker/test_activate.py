"""One activation from container to record: init, failures, logs (spec: container.md §3, §7; logs.md §4)."""

import asyncio
import itertools
import re

import pytest
from msgspec import Raw

from tests.unit.invoker.conftest import NO_LOGS, Stage, annotations, answers, value
from upcall.core.pool import PoolConfig
from upcall.core.prewarm import StemCell
from upcall.core.record import StoreLevels
from upcall.errors import NotFound
from upcall.invoker import figures, service
from upcall.model import texts
from upcall.model.activation import DEVELOPER_ERROR
from upcall.model.entities import ActionLimits, UserLimits
from upcall.model.messages import CompletionMessage, invoker_topic
from upcall.model.names import Json
from upcall.ports import Lines
from upcall.testing import CRASH, FakeContainer, Reply, a_message, an_action, an_identity, until

COLLECTED = (
    "counter_invoker_collectLogs_start_total",
    "histogram_invoker_collectLogs_finish_seconds_count",
    "counter_invoker_collectLogs_error_total",
    "histogram_invoker_collectLogs_error_seconds_count",
)

# --- init and run


async def test_a_cold_start_has_init_time_and_a_warm_one_has_not(stage: Stage) -> None:
    async with stage.started() as invoker:
        cold = await stage.result(an_action(), content={"a": 1})
        warm = await stage.result(an_action(), content={"a": 2})
        assert (value(cold), value(warm)) == ({"a": 1}, {"a": 2})
        assert stage.container.story == ["/init", "/run", "/run"]
        assert annotations(cold)["initTime"] >= 0
        assert "initTime" not in annotations(warm)
        assert annotations(warm)["kind"] == "python:3"
        assert annotations(warm)["path"] == "guest/hello"
        assert (invoker.counters.starts["cold"], invoker.counters.starts["warmed"]) == (1, 1)


async def test_a_clock_that_is_set_back_on_the_way_makes_no_negative_times(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(1_764_000_000_000, -1000)
    monkeypatch.setattr(service, "epoch_ms", lambda: next(clock))
    async with stage.started():
        for _ in range(2):
            record = await stage.result(an_action())
            assert (record.end, record.duration) == (record.start, 0)
            assert annotations(record).get("initTime", 0) == 0


async def test_arguments_for_init_go_to_the_environment(stage: Stage) -> None:
    async with stage.started():
        await stage.call(an_action(), content={"a": 1, "SECRET": {"x": [1, 2]}}, init_args=["SECRET"])
        init, run = stage.container.bodies
        assert init["value"]["env"]["SECRET"] == '{"x":[1,2]}'
        assert init["value"]["env"]["__OW_ACTION_NAME"] == "/guest/hello"
        assert run["value"] == {"a": 1}


async def test_a_prewarmed_container_is_claimed_before_init(stage: Stage) -> None:
    async with stage.started(PoolConfig(memory=1024, prewarm=(StemCell("python:3", 256, 1),))) as invoker:
        await until(lambda: bool(stage.containers.made))
        container = stage.container
        await stage.call(an_action())
        assert container.story == ["claim", "/init", "/run"]
        assert container.tenant == "guest"
        assert container.spec.name == "wsk0_1_prewarm_python3"
        assert invoker.counters.starts["prewarmed"] == 1


async def test_a_stem_cell_that_cannot_be_claimed_gives_its_job_back(stage: Stage) -> None:
    async with stage.started(PoolConfig(memory=256, prewarm=(StemCell("python:3", 256, 1),))):
        await until(lambda: bool(stage.containers.made))
        stage.container.stuck = "claim"
        record = await stage.result(an_action(), content={"a": 1})
        assert value(record) == {"a": 1}
        assert stage.containers.made[0].story == ["claim", "destroy"]


@pytest.mark.parametrize(
    ("reply", "status", "text", "kept"),
    [
        (Reply(body=b'{"error":"mine"}'), 1, "mine", True),
        (Reply(status=502, body=b'{"error":"worse"}'), 2, "worse", False),
        (Reply(body=b"nonsense"), 2, texts.run_invalid("nonsense"), False),
        (CRASH, 2, texts.RUN_DIED, False),
    ],
)
async def test_the_container_stays_for_success_and_application_errors_only(
    stage: Stage, reply: Reply, status: int, text: str, kept: bool
) -> None:
    stage.containers.script = answers(reply)
    async with stage.started():
        record = await stage.result(an_action())
        assert (record.response.status_code, value(record)) == (status, {"error": text})
        if not kept:
            await until(lambda: "destroy" in stage.container.story)
        assert ("destroy" in stage.container.story) is not kept


async def test_a_crash_for_want_of_memory_says_so(stage: Stage) -> None:
    stage.containers.script = answers(Reply(), CRASH)
    async with stage.started():
        await stage.call(an_action())
        stage.container.out_of_memory = True
        assert value(await stage.result(an_action())) == {"error": texts.MEMORY_EXHAUSTED}


@pytest.mark.parametrize(("path", "out_of_memory"), [("/init", True), ("/run", True), ("/run", False)])
async def test_what_a_crash_comes_from_may_be_known_later(stage: Stage, path: str, out_of_memory: bool) -> None:

    def script(asked: str, body: Json) -> Reply:
        stage.container.told_after, stage.container.out_of_memory = 0.05, out_of_memory
        return CRASH if asked == path else Reply()

    stage.containers.script = script
    async with stage.started():
        record = await stage.result(an_action())
    assert value(record) == {"error": texts.MEMORY_EXHAUSTED if out_of_memory else texts.RUN_DIED}


@pytest.mark.parametrize(("foreign", "connections"), [(True, 2), (False, 1)])
async def test_a_foreign_container_sleeps_without_connections(stage: Stage, foreign: bool, connections: int) -> None:
    stage.containers.foreign = foreign
    async with stage.started(PoolConfig(memory=1024, pause_grace=0.01)):
        await stage.call(an_action())
        await until(lambda: "pause" in stage.container.story)
        await stage.call(an_action())
        assert stage.container.connected == connections


@pytest.mark.parametrize("path", ["/init", "/run"])
async def test_silence_is_a_timeout_and_not_the_memorys_fault(stage: Stage, path: str) -> None:
    never = asyncio.Event()
    stage.containers.script = lambda asked, body: Reply(after=never if asked == path else None)
    async with stage.started():
        message = await stage.send(an_action(limits=ActionLimits(timeout=100, memory=256)))
        await until(lambda: bool(stage.containers.made))
        stage.container.out_of_memory = True
        await stage.controller.ended(message.activation_id)
        record = await stage.stored(message)
        assert value(record) == {"error": texts.init_timeout(100) if path == "/init" else texts.run_timeout(100)}
        assert annotations(record)["timeout"] is True
        assert record.duration is not None
        assert isinstance(record.duration, int)
        assert 90 <= record.duration < 5000


async def test_a_response_beyond_the_namespaces_payload_is_truncated(stage: Stage) -> None:
    stage.containers.script = answers(Reply(body=b'{"x":"' + b"y" * 2000 + b'"}'))
    user = an_identity(limits=UserLimits(max_payload_size="1 KB", truncation_size="10 B"))
    async with stage.started():
        record = await stage.result(an_action(), user=user)
        assert record.response.status_code == 1
        assert value(record) == {"error": texts.response_truncated(2008, 1024, '{"x":"yyyy')}
        assert record.response.size == 2008


async def test_the_answer_to_init_is_bounded_by_the_systems_payload_alone(stage: Stage) -> None:
    stage.containers.script = answers(Reply(body=b'{"ok":1}'), init=Reply(body=b" " * 2000))
    user = an_identity(limits=UserLimits(max_payload_size="1 KB"))
    async with stage.started():
        assert value(await stage.result(an_action(), user=user)) == {"ok": 1}


@pytest.mark.parametrize("provides_key", [False, True])
async def test_arguments_that_cannot_be_passed_on_end_their_activation_alone(stage: Stage, provides_key: bool) -> None:
    """A nesting that was within the limit where it was checked may not be here. No error of the system: whoever calls
    so could take the Invoker away from others."""
    action = an_action(annotations={"provide-api-key": provides_key})
    async with stage.started():
        await stage.call(an_action("other"))
        message = a_message(action, await stage.put(action), init_args=["x"])
        message.content = Raw(b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}")
        for _ in range(2):
            stage.bus.send(invoker_topic(0), message)
            await stage.controller.ended(message.activation_id)
            record = await stage.stored(message)
            assert (record.response.status_code, value(record)) == (DEVELOPER_ERROR, {"error": texts.RUN_DIED})
            stage.controller.acks.clear()
        assert (await stage.result(an_action("other"))).response.status_code == 0


# --- a container that does not take the job


@pytest.mark.parametrize("path", ["/init", "/run"])
async def test_503_moves_the_job_to_another_container(stage: Stage, path: str) -> None:
    def script(asked: str, body: Json) -> Reply:
        busy = asked == path and len(stage.containers.made) == 1
        return Reply(status=503) if busy else Reply(body=b'{"ok":1}')

    stage.containers.script = script
    async with stage.started() as invoker:
        record = await stage.result(an_action())
        assert value(record) == {"ok": 1}
        assert len(stage.containers.made) == 2
        assert invoker.counters.rescheduled == 1


async def test_after_three_moves_503_is_an_answer(stage: Stage) -> None:
    stage.containers.script = answers(Reply(status=503, body=b'{"error":"closing"}'))
    async with stage.started():
        message = await stage.call(an_action())
        assert len(stage.containers.made) == 4
        assert stage.shapes(message) == ["combined"]
        record = await stage.stored(message)
        assert (record.response.status_code, value(record)) == (DEVELOPER_ERROR, {"error": "closing"})


async def test_an_idle_container_that_refuses_gives_its_job_back(stage: Stage) -> None:
    async with stage.started() as invoker:
        await stage.call(an_action())
        first = stage.container
        await first.refuse()
        await until(lambda: not invoker._runner.boxes[1].runtime.free)
        record = await stage.result(an_action(), content={"a": 1})
        assert value(record) == {"a": 1}
        assert stage.container is not first
        await until(lambda: first.story == ["/init", "/run", "destroy"])


async def test_a_container_that_dies_idle_is_removed_without_being_asked(stage: Stage) -> None:
    async with stage.started() as invoker:
        await stage.call(an_action())
        await stage.container.die()
        await until(lambda: "destroy" in stage.container.story)
        assert invoker.counters.lost["warm"] == 1


async def test_a_container_that_dies_under_its_job_ends_it_once(stage: Stage) -> None:
    never = asyncio.Event()
    stage.containers.script = answers(Reply(after=never))
    async with stage.started():
        message = await stage.send(an_action())
        await until(lambda: bool(stage.containers.made) and "/run" in stage.container.story)
        await stage.container.die()
        await stage.controller.ended(message.activation_id)
        assert value(await stage.stored(message)) == {"error": texts.RUN_DIED}
        assert stage.shapes(message) == ["combined"]


async def test_pause_and_resume(stage: Stage) -> None:
    async with stage.started(PoolConfig(memory=1024, pause_grace=0.01)):
        await stage.call(an_action())
        await until(lambda: "pause" in stage.container.story)
        await stage.call(an_action())
        assert stage.container.story[:5] == ["/init", "/run", "pause", "resume", "/run"]


async def test_a_container_that_is_gone_before_its_pause_fails_costs_nothing_else(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = asyncio.Event()

    async def pause(container: FakeContainer) -> None:
        container.story.append("pause")
        await gone.wait()
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(FakeContainer, "pause", pause)
    async with stage.started(PoolConfig(memory=1024, pause_grace=0.01)) as invoker:
        await stage.call(an_action())
        first = stage.container
        await until(lambda: "pause" in first.story)
        await first.die()
        await until(lambda: "destroy" in first.story and not invoker._runner.boxes)
        gone.set()
        message = await stage.call(an_action())
        assert (await stage.stored(message)).response.status_code == 0


async def test_a_paused_container_that_cannot_resume_gives_its_job_back(stage: Stage) -> None:
    async with stage.started(PoolConfig(memory=1024, pause_grace=0.01)):
        await stage.call(an_action())
        first = stage.container
        await until(lambda: "pause" in first.story)
        first.stuck = "resume"
        await stage.call(an_action())
        assert first.story == ["/init", "/run", "pause", "resume", "destroy"]
        assert stage.container.story[:2] == ["/init", "/run"]


# --- logs


async def test_log_limit_and_completeness_are_passed_on(stage: Stage) -> None:
    stage.containers.script = answers(Reply(), Reply(status=502))
    async with stage.started():
        await stage.call(an_action())
        await stage.call(an_action())
        assert stage.containers.made[0].collected == [(1 << 20, True), (1 << 20, False)]


async def test_a_developer_error_adds_its_line_last(stage: Stage) -> None:
    stage.containers.script = answers(Reply(), Reply(status=502))
    async with stage.started():
        await stage.call(an_action())
        stage.container.lines = Lines(["first"])
        first, last = (await stage.stored(await stage.call(an_action()))).logs
        assert first == "first"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z stderr: (.*)", last)
        assert last.endswith(f" stderr: {texts.LOGS_DEVELOPER}")


async def test_a_collection_error_is_counted_and_does_not_cost_the_container(stage: Stage) -> None:
    async with stage.started() as invoker:
        await stage.call(an_action())
        stage.container.lines = Lines([texts.LOGS_MISSING], failed=True)
        message = await stage.call(an_action())
        record = await stage.stored(message)
        assert (record.response.status_code, record.logs) == (0, [texts.LOGS_MISSING])
        assert stage.shapes(message) == ["combined"]
        await stage.call(an_action())
        assert stage.container.story == ["/init", "/run", "/run", "/run"]
        shown = figures.metrics(invoker.counters, invoker._runner.pool)
        samples = [each for family in shown for each in family.samples]
        counts = {each.name: each.value for each in samples if "collectLogs" in each.name}
        assert [counts[name] for name in COLLECTED] == [3, 1, 2, 2], "start, well, failed, failed with its time"


async def test_with_a_log_limit_of_zero_nothing_is_collected(stage: Stage) -> None:
    async with stage.started():
        await stage.call(an_action(limits=NO_LOGS))
        assert stage.container.collected == []


# --- the record


async def test_a_full_store_delays_the_last_ack_and_loses_nothing(stage: Stage) -> None:
    async with stage.started():
        stage.store.full = True
        first, second = await stage.send(an_action()), await stage.send(an_action("other"))
        await until(lambda: stage.shapes(first) == stage.shapes(second) == ["result"])
        stage.store.full = False
        await stage.controller.ended(first.activation_id)
        await stage.controller.ended(second.activation_id)
        await stage.stored(first)
        await stage.stored(second)


async def test_levels_and_the_namespace_decide_what_is_stored(stage: Stage) -> None:
    async with stage.started(levels=StoreLevels(non_blocking="STORE_FAILURES")):
        for options in ({"blocking": False}, {"user": an_identity(limits=UserLimits(store_activations=False))}):
            message = await stage.call(an_action(), **options)
            with pytest.raises(NotFound):
                await stage.stored(message)
        await stage.stored(await stage.call(an_action(), blocking=True))


async def test_the_completion_names_activation_and_instance(stage: Stage) -> None:
    async with stage.started():
        message = await stage.call(an_action(), blocking=False)
        [ack] = stage.controller.acks
        assert isinstance(ack, CompletionMessage)
        assert (ack.activation_id, ack.is_system_error) == (message.activation_id, False)
