"""The Invoker around its pool: what is refused, flow control, start and stop (spec: invoker.md §3, §5, §6, §9)."""

import asyncio
import gc
import logging
import time
from typing import Any

import msgspec
import pytest

from tests.unit.invoker.conftest import Stage, annotations, value
from upcall.bus.memory import MemoryFeed
from upcall.core.events import Created
from upcall.core.pool import PoolConfig
from upcall.errors import InvalidTransition, NotFound, Unavailable, Unreadable
from upcall.invoker import pings as its_pings
from upcall.invoker.naming import container_name, name_prefix
from upcall.model import texts
from upcall.model.activation import APPLICATION_ERROR, WHISK_ERROR
from upcall.model.entities import Action, ActionLimits, Exec, UserLimits
from upcall.model.messages import ActivationMessage, Message, PingMessage, Topic, invoker_topic
from upcall.model.names import Json
from upcall.ports import Deliver, Lost
from upcall.testing import Reply, a_message, an_action, an_identity, an_instance, unexpected, until

HEALTH = Topic("health", "ping")


@pytest.mark.parametrize(("blocking", "shape"), [(True, "combined"), (False, "combined-id")])
async def test_an_action_that_is_gone_is_answered_with_a_fallback_record(
    stage: Stage, blocking: bool, shape: str
) -> None:
    async with stage.started():
        message = a_message(an_action(), "1-0", blocking=blocking, cause="c" * 32, binding="guest/bound")
        stage.bus.send(invoker_topic(0), message)
        await stage.controller.ended(message.activation_id)
        record = await stage.stored(message)
        assert stage.shapes(message) == [shape]
        assert record.response.status_code == APPLICATION_ERROR
        assert value(record) == {"error": texts.ACTION_REMOVED}
        assert annotations(record) == {
            "path": "guest/hello",
            "kind": "unknown",
            "causedBy": "sequence",
        }
        assert (record.duration, record.cause, record.version) == (0, "c" * 32, "0.0.1")


@pytest.mark.parametrize(
    ("raised", "text", "traced"),
    [(Unreadable("bad"), texts.ACTION_MISMATCH, False), (OSError("net"), texts.ACTION_FETCH, True)],
)
async def test_read_failures(
    stage: Stage,
    raised: Exception,
    text: str,
    traced: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is no answer of the store's is a bug, and traced."""

    async def fail(*_: Any) -> None:
        raise raised

    async with stage.started():
        revision = await stage.put(an_action())
        monkeypatch.setattr(stage.store, "get", fail)
        message = a_message(an_action(), revision)
        stage.bus.send(invoker_topic(0), message)
        await stage.controller.ended(message.activation_id)
        record = stage.controller.record(message.activation_id)
        assert (record.response.status_code, value(record)) == (WHISK_ERROR, {"error": text})
    assert ("Traceback" in caplog.text) is traced


@pytest.mark.parametrize(("kind", "text"), [("cobol:68", texts.ACTION_MISMATCH), ("sequence", texts.ACTION_FETCH)])
async def test_kinds_that_cannot_run(stage: Stage, kind: str, text: str) -> None:
    async with stage.started():
        action = an_action(kind=kind)
        if kind == "sequence":
            action.exec = Exec(kind=kind, components=["/guest/a"])
        assert value(await stage.result(action)) == {"error": text}


@pytest.mark.parametrize(
    ("limits", "user", "text"),
    [
        (ActionLimits(300_001, 256), None, texts.limit_exceeded("duration", 300_001, 300_000)),
        (ActionLimits(99, 1024), None, texts.limit_undercut("duration", 99, 100)),
        (ActionLimits(100, 1024), None, texts.limit_exceeded("memory size", 1024, 512)),
        (ActionLimits(100, 128, 10, 2), None, texts.limit_exceeded("concurrency", 2, 1)),
        (ActionLimits(100, 128, 11), None, texts.limit_exceeded("log size", 11, 10)),
        (ActionLimits(100, 256), UserLimits(max_action_memory=128), texts.limit_exceeded("memory size", 256, 128)),
        (ActionLimits(100, 256), UserLimits(min_action_timeout=500), texts.limit_undercut("duration", 100, 500)),
        (ActionLimits(100, 1024), UserLimits(max_action_memory=2048), texts.limit_exceeded("memory size", 1024, 512)),
    ],
)
async def test_limits_of_system_and_namespace(
    stage: Stage, limits: ActionLimits, user: UserLimits | None, text: str
) -> None:
    async with stage.started() as invoker:
        record = await stage.result(an_action(limits=limits), user=an_identity(limits=user))
        assert (record.response.status_code, value(record)) == (APPLICATION_ERROR, {"error": text})
        assert annotations(record)["kind"] == "unknown"
        assert invoker.counters.refused == 1


async def test_limits_of_a_namespace_hold_for_it_alone_and_as_they_are_now(stage: Stage) -> None:
    stage.containers.script = lambda path, body: Reply(body=b'{"x":"%b"}' % (b"y" * 2000))
    payloads: list[str | None] = [None, "1 KB", "3 KB", "1 KB", None]
    async with stage.started():
        statuses = []
        for payload in payloads:
            limits = UserLimits(max_payload_size=payload) if payload else None
            statuses.append((await stage.result(an_action(), user=an_identity(limits=limits))).response.status_code)
        assert statuses == [0, APPLICATION_ERROR, 0, APPLICATION_ERROR, 0]
        assert len(stage.containers.made) == 1


async def test_without_a_revision_the_newest_is_read_each_time(stage: Stage) -> None:
    async with stage.started():
        for version in ("0.0.1", "0.0.2"):
            await stage.put(an_action(version=version))
            message = a_message(an_action(version=version), None)
            stage.bus.send(invoker_topic(0), message)
            await stage.controller.ended(message.activation_id)
            assert stage.controller.record(message.activation_id).version == version


async def test_a_lost_feed_ends_the_service_loudly(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: dict[str, Lost] = {}
    feed = stage.bus.feed

    async def noted(topic: Topic, group: str, deliver: Deliver, lost: Lost) -> MemoryFeed:
        told[topic.name] = lost
        return await feed(topic, group, deliver, lost)

    async def serve() -> None:
        async with stage.started():
            told["invoker0"](Unavailable("another life has the place"))
            await asyncio.Event().wait()

    monkeypatch.setattr(stage.bus, "feed", noted)
    with pytest.raises(ExceptionGroup) as raised:
        await serve()
    assert isinstance(raised.value.exceptions[0], Unavailable)
    assert "the Invoker has failed" in caplog.text


async def test_what_runs_when_the_feed_is_lost_is_left_to_who_has_it_now(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither record nor acknowledgement, whether it runs or has just ended."""
    told: dict[str, Lost] = {}
    feed = stage.bus.feed
    never = asyncio.Event()
    stage.containers.script = lambda path, body: Reply(after=never if path == "/run" else None)

    async def noted(topic: Topic, group: str, deliver: Deliver, lost: Lost) -> MemoryFeed:
        told[topic.name] = lost
        return await feed(topic, group, deliver, lost)

    async def serve() -> None:
        async with stage.started():
            sent.append(await stage.send(an_action()))
            await until(lambda: bool(stage.containers.made) and stage.container.story == ["/init", "/run"])
            told["invoker0"](Unavailable("another life has the place"))
            await asyncio.Event().wait()

    sent: list[ActivationMessage] = []
    monkeypatch.setattr(stage.bus, "feed", noted)
    with pytest.raises(ExceptionGroup) as raised:
        await serve()
    assert [type(each) for each in raised.value.exceptions] == [Unavailable]
    assert stage.shapes(sent[0]) == []
    with pytest.raises(NotFound):
        await stage.stored(sent[0])


@pytest.mark.parametrize("revision", [None, "cached"])
async def test_what_cannot_be_understood_is_answered_and_gives_its_unit_back(
    stage: Stage, revision: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody has written such limits: that is told without a trace of the code."""
    user = an_identity(limits=UserLimits(max_payload_size="much"))
    async with stage.started(units=1):
        rev = await stage.put(an_action())
        await stage.call(an_action())
        for _ in range(3):
            message = a_message(an_action(), revision and rev, user=user)
            stage.bus.send(invoker_topic(0), message)
            await stage.controller.ended(message.activation_id)
            record = stage.controller.record(message.activation_id)
            assert (record.response.status_code, value(record)) == (WHISK_ERROR, {"error": texts.ACTION_FETCH})
        await stage.call(an_action())
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [(each.exc_info, each.getMessage()) for each in told] == 3 * [
        (None, "guest/hello cannot be run: 'much' is no size: write a number and a unit, as in 256 MB")
    ]


async def test_an_error_inside_the_block_comes_out_as_it_is(stage: Stage) -> None:
    with pytest.raises(Unavailable):
        async with stage.started():
            raise Unavailable
    assert stage.containers.closed


async def test_pings_that_a_stall_has_kept_back_are_not_made_up_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(its_pings, "PING", 0.02)
    pings: list[Message] = []
    feed = await stage.bus.feed(HEALTH, "health0", lambda offset, message, started: pings.append(message), unexpected)
    feed.pull(100)
    async with stage.started():
        await until(lambda: bool(pings))
        time.sleep(0.2)  # the stall
        before = len(pings)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(pings) - before <= 1


async def test_an_action_bigger_than_the_pool_is_the_platforms_failure(stage: Stage) -> None:
    async with stage.started(PoolConfig(memory=128)):
        record = await stage.result(an_action())
        assert value(record) == {"error": texts.memory_unavailable(256)}
        assert record.response.status_code == WHISK_ERROR
        assert annotations(record)["limits"]["memory"] == 256


async def test_warm_containers_serve_the_same_namespace_and_document_only(stage: Stage) -> None:
    async with stage.started():
        await stage.call(an_action())
        await stage.call(an_action(), user=an_identity("other"))
        assert len(stage.containers.made) == 2
        await stage.put(an_action())
        await stage.call(an_action())
        assert len(stage.containers.made) == 2, "a new revision of the same document"
        await stage.put(an_action(version="0.0.2"))
        await stage.call(an_action(version="0.0.2"))
        assert len(stage.containers.made) == 3
        assert stage.container.spec.name == "wsk0_3_guest_hello"


async def test_no_more_is_taken_than_there_are_units(stage: Stage) -> None:
    gate = asyncio.Event()
    stage.containers.script = lambda path, body: Reply(after=gate if path == "/run" else None)
    async with stage.started(units=2) as invoker:
        sent = [await stage.send(an_action()) for _ in range(5)]
        await until(lambda: invoker.load == 2)
        assert invoker.counters.activations == 2
        gate.set()
        for message in sent:
            await stage.controller.ended(message.activation_id)
        assert invoker.load == 0


async def test_what_is_refused_gives_its_unit_back(stage: Stage) -> None:
    async with stage.started(units=1):
        for _ in range(3):
            assert value(await stage.result(an_action(kind="cobol:68"))) == {"error": texts.ACTION_MISMATCH}


async def test_start_and_stop_are_announced(stage: Stage) -> None:
    pings: list[Message] = []
    feed = await stage.bus.feed(HEALTH, "health0", lambda offset, message, started: pings.append(message), unexpected)
    feed.pull(100)
    async with stage.started():
        await until(lambda: bool(pings))
        assert stage.containers.started
    assert pings[0] == PingMessage(an_instance())
    assert pings[-1] == PingMessage(an_instance(), False)
    assert stage.containers.closed


async def test_stopping_lets_what_runs_end_and_leaves_what_waits_to_the_next_life(stage: Stage) -> None:
    gate = asyncio.Event()
    stage.containers.script = lambda path, body: Reply(after=gate if path == "/run" else None, body=b'{"ok":1}')
    async with stage.started(PoolConfig(memory=256)) as invoker:
        runs = await stage.send(an_action())
        await until(lambda: bool(stage.containers.made) and "/run" in stage.container.story)
        waits = await stage.send(an_action())
        late = asyncio.create_task(invoker.drain(10))
        await until(lambda: not invoker.enabled)
        assert not late.done()
        gate.set()
        await late
        assert value(stage.controller.record(runs.activation_id)) == {"ok": 1}
        assert stage.container.story[-1] == "destroy"
        after = await stage.send(an_action())
    assert stage.shapes(waits) == stage.shapes(after) == []
    seen: list[Message] = []
    feed = await stage.bus.feed(
        invoker_topic(0), "invoker0", lambda offset, message, started: seen.append(message), unexpected
    )
    feed.pull(9)
    assert seen == [waits, after]


async def test_what_outlives_the_grace_is_answered_with_an_error(stage: Stage) -> None:
    never = asyncio.Event()
    stage.containers.script = lambda path, body: Reply(after=never if path == "/run" else None)
    async with stage.started(grace=0.0):
        message = await stage.send(an_action())
        await until(lambda: bool(stage.containers.made) and "/run" in stage.container.story)
    record = await stage.stored(message)
    assert (record.response.status_code, value(record)) == (WHISK_ERROR, {"error": texts.SHUTDOWN})
    assert stage.shapes(message) == ["combined"]
    assert stage.container.collected == [(1 << 20, False)], "what was cut short has written no sentinels"


async def test_a_bug_in_the_pool_ends_the_service_loudly(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    async def serve() -> None:
        async with stage.started() as invoker:
            invoker._runner.feed(Created(99))
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as raised:
        await serve()
    assert isinstance(raised.value.exceptions[0], InvalidTransition)
    assert "the Invoker has failed" in caplog.text


async def test_the_warm_path_makes_no_task(stage: Stage) -> None:
    async with stage.started():
        await stage.call(an_action())
        before = asyncio.all_tasks()
        made: list[Any] = []
        loop = asyncio.get_running_loop()

        def note(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
            made.append(coroutine)
            return asyncio.Task(coroutine, loop=loop, **options)

        loop.set_task_factory(note)
        message = await stage.send(an_action())
        await until(lambda: stage.shapes(message) == ["combined"])
        loop.set_task_factory(None)
        assert made == []
        assert asyncio.all_tasks() == before


async def test_a_warm_activation_leaves_nothing_to_the_garbage_collector(stage: Stage) -> None:
    async with stage.started():
        await stage.call(an_action())
        gc.collect()
        gc.disable()
        try:
            for _ in range(50):
                await stage.call(an_action())
            assert gc.collect() < 50
        finally:
            gc.enable()


def test_names_of_containers() -> None:
    unique = msgspec.structs.replace(an_instance(3), unique_name="owdev-invoker-0")
    assert container_name(name_prefix(unique), 7, "guest", "hello world@x") == "wskowdev-invoker-03_7_guest_helloworldx"


async def test_blackboxes_have_their_image_and_no_stem_cell(stage: Stage) -> None:
    action: Action = an_action(kind="blackbox")
    action.exec.image = "alice/img:1.2"
    async with stage.started():
        await stage.call(action)
        assert (stage.container.spec.kind, stage.container.spec.image) == ("blackbox", "alice/img:1.2")


async def test_a_message_of_another_type_is_dropped(stage: Stage) -> None:
    async with stage.started(units=1):
        stage.bus.send(invoker_topic(0), PingMessage(an_instance()))
        content: Json = {"a": 1}
        assert value(await stage.result(an_action(), content=content)) == content
