"""Which ack when, and in which order (spec: bus.md §7.1)."""

import asyncio

import msgspec
import pytest

from tests.unit.invoker.conftest import NO_LOGS, Recalling, Stage, annotations, answers, value
from upcall.errors import NotFound, StartFailed, TooLarge, Unavailable
from upcall.invoker import acks
from upcall.model import texts
from upcall.model.activation import DEVELOPER_ERROR, WHISK_ERROR
from upcall.model.entities import ActionLimits
from upcall.model.messages import CombinedMessage, Message, ResultMessage, Topic
from upcall.model.sizes import SystemLimits
from upcall.ports import Lines, Sent
from upcall.testing import Reply, an_action, until

TWO_AT_ONCE = ActionLimits(timeout=60_000, memory=256, logs=0, concurrency=2)


@pytest.mark.parametrize(
    ("blocking", "limits", "leaves", "expected"),
    [
        (True, None, False, ["combined"]),
        (True, None, True, ["result", "completion"]),
        (True, NO_LOGS, False, ["combined"]),
        (True, NO_LOGS, True, ["combined"]),
        (False, None, False, ["completion"]),
        (False, NO_LOGS, False, ["completion"]),
    ],
)
@pytest.mark.parametrize("fails", [False, True])
async def test_acks_of_what_ran(
    stage: Stage, blocking: bool, limits: ActionLimits | None, leaves: bool, expected: list[str], fails: bool
) -> None:
    """`leaves`: the process. Its logs are at hand."""
    if leaves:
        stage.bus = stage.controller._bus = Recalling()
    if fails:
        stage.containers.script = answers(Reply(), init=Reply(status=502, body=b'{"error":"no"}'))
    async with stage.started():
        message = await stage.call(an_action(limits=limits), blocking=blocking)
        assert stage.shapes(message) == expected
        assert (await stage.stored(message)).response.status_code == (DEVELOPER_ERROR if fails else 0)


async def test_the_result_comes_before_the_logs_are_collected_and_the_slot_is_free_after(stage: Stage) -> None:
    async with stage.started():
        await stage.call(an_action())
        stage.container.hold_logs = True
        stage.container.lines = Lines(["a line"])
        message = await stage.send(an_action())
        await until(lambda: stage.shapes(message) == ["result"])
        assert stage.controller.record(message.activation_id).logs == []
        with pytest.raises(NotFound):
            await stage.stored(message)
        stage.container.release_logs()
        assert stage.shapes(message) == ["result", "completion"]
        assert (await stage.stored(message)).logs == ["a line"]


async def test_logs_that_are_at_hand_cost_no_second_ack_and_are_none_of_its_own(stage: Stage) -> None:
    async with stage.started():
        await stage.call(an_action())
        stage.container.lines = Lines(["a line"])
        message = await stage.call(an_action())
        assert stage.shapes(message) == ["combined"]
        assert stage.controller.record(message.activation_id).logs == []
        assert (await stage.stored(message)).logs == ["a line"]


@pytest.mark.parametrize(("blocking", "expected"), [(True, "combined"), (False, "combined-id")])
async def test_acks_of_what_got_no_container(stage: Stage, blocking: bool, expected: str) -> None:
    stage.containers.failure = StartFailed("executable file not found in image x", developer=True)
    async with stage.started():
        message = await stage.call(an_action(), blocking=blocking)
        assert stage.shapes(message) == [expected]
        record = await stage.stored(message)
        assert record.response.status_code == DEVELOPER_ERROR
        assert value(record) == {"error": "executable file not found in image x"}
        assert annotations(record)["timeout"] is False
        assert "initTime" not in annotations(record)
        assert record.start == record.end


async def test_a_surprise_while_creating_is_the_platforms_fault(stage: Stage) -> None:
    stage.containers.failure = RuntimeError("disk on fire")
    async with stage.started():
        record = await stage.result(an_action())
        assert record.response.status_code == WHISK_ERROR
        assert value(record) == {"error": texts.PROVISION}


@pytest.mark.parametrize(("blocking", "expected"), [(True, "combined"), (False, "completion")])
async def test_jobs_that_wait_for_a_container_whose_init_fails_end_with_the_same_error(
    stage: Stage, blocking: bool, expected: str
) -> None:
    gate = asyncio.Event()
    stage.containers.script = answers(Reply(), init=Reply(status=502, body=b'{"error":"no"}', after=gate))
    limits = SystemLimits(concurrency=msgspec.structs.replace(SystemLimits().concurrency, max=2))
    async with stage.started(limits=limits):
        first = await stage.send(an_action(limits=TWO_AT_ONCE), blocking=blocking)
        await until(lambda: bool(stage.containers.made) and "/init" in stage.container.story)
        second = await stage.send(an_action(limits=TWO_AT_ONCE), blocking=blocking)
        gate.set()
        await stage.controller.ended(first.activation_id)
        await stage.controller.ended(second.activation_id)
        assert stage.shapes(second) == [expected]
        assert value(await stage.stored(second)) == value(await stage.stored(first)) == {"error": "no"}


class Strict(Recalling):
    """Refuses full records for their size, and tells so later, as a broker does."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[Sent] = []

    def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
        if sent and isinstance(message, ResultMessage | CombinedMessage) and not isinstance(message.response, str):
            self.pending.append(sent)
        else:
            super().send(topic, message, sent)


@pytest.mark.parametrize(
    ("limits", "expected"), [(None, ["result-id", "completion"]), (NO_LOGS, ["combined-id"])], ids=["logs", "no logs"]
)
async def test_a_record_too_large_for_the_bus_is_sent_as_its_id_when_it_is_durable_and_before_the_slot_is_freed(
    stage: Stage, limits: ActionLimits | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its controller looks for the record at once."""
    bus = stage.bus = stage.controller._bus = Strict()
    flushing, flushed = list[str](), asyncio.Event()

    async def flush() -> None:
        flushing.append((await stage.stored(message)).activation_id)
        await flushed.wait()

    monkeypatch.setattr(stage.store, "flush", flush)
    async with stage.started():
        message = await stage.send(an_action(limits=limits))
        await until(lambda: bool(bus.pending))
        assert stage.shapes(message) == []
        bus.pending.pop()(TooLarge("1048577 > 1048576"))
        await until(lambda: flushing == [message.activation_id])
        assert stage.shapes(message) == []
        flushed.set()
        await stage.controller.ended(message.activation_id)
        assert stage.shapes(message) == expected


class Away(Recalling):
    """No broker takes acks, as long as there is a `reason`; `asked` counts how often one should have."""

    def __init__(self) -> None:
        super().__init__()
        self.reason: Exception | None = None
        self.asked = 0

    def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
        if sent and self.reason and topic.carries == "ack":
            self.asked += 1
            sent(self.reason)
        else:
            super().send(topic, message, sent)


@pytest.mark.parametrize(
    ("limits", "blocking", "expected"),
    [(None, True, ["result", "completion"]), (NO_LOGS, True, ["combined"]), (None, False, ["completion"])],
)
async def test_an_ack_that_no_broker_takes_is_sent_until_one_does_and_its_activation_is_not_done_before(
    stage: Stage,
    limits: ActionLimits | None,
    blocking: bool,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In its right place: no completion overtakes its result. A broker's outage is told, not each attempt."""
    monkeypatch.setattr(acks, "AGAIN", 0.001)
    bus = stage.bus = stage.controller._bus = Away()
    async with stage.started() as invoker:
        done = list[int]()
        monkeypatch.setattr(invoker._feed, "done", done.append)
        bus.reason = Unavailable("Kafka did not take the message: timed out")
        message = await stage.send(an_action(limits=limits), blocking=blocking)
        await until(lambda: bus.asked > 3)
        assert (stage.shapes(message), done) == ([], [])
        bus.reason = None
        await stage.controller.ended(message.activation_id)
        assert stage.shapes(message) == expected
        await until(lambda: len(done) == 1)
        assert invoker._acks.failed == 0
        assert ["are sent again: Kafka did not take the message" in each.message for each in caplog.records] == [True]


@pytest.mark.parametrize("why", ["too long", "lost"])
async def test_an_ack_is_given_up_when_its_controller_has_and_where_another_life_answers(
    stage: Stage, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "AGAIN", 0.001)
    monkeypatch.setattr(acks, "PATIENCE", 0.0 if why == "too long" else 180.0)
    bus = stage.bus = stage.controller._bus = Away()
    async with stage.started() as invoker:
        bus.reason = Unavailable("Kafka did not take the message: timed out")
        await stage.send(an_action(limits=NO_LOGS))
        await until(lambda: bus.asked > 1)
        invoker._acks.over = why == "lost"
        await until(lambda: invoker._acks.failed == 1)


async def test_acks_echo_the_transaction_and_tell_system_errors(stage: Stage) -> None:
    stage.containers.failure = StartFailed("")
    async with stage.started():
        message = await stage.call(an_action(), blocking=False)
        [ack] = stage.controller.acks
        assert isinstance(ack, CombinedMessage)
        assert (ack.transid, ack.is_system_error, ack.instance.instance) == (message.transid, True, 0)


@pytest.mark.parametrize("blocking", [True, False])
async def test_what_a_tenants_image_is_to_blame_for_is_no_system_error_of_this_invoker(
    stage: Stage, blocking: bool
) -> None:
    """Whatever its status says: a tenant could take Invokers away from everybody."""
    stage.containers.failure = StartFailed(texts.PROVISION, excused=True)
    async with stage.started():
        message = await stage.call(an_action(), blocking=blocking)
        [ack] = stage.controller.acks
        assert isinstance(ack, CombinedMessage)
        assert not ack.is_system_error
        record = await stage.stored(message)
        assert (record.response.status_code, value(record)) == (WHISK_ERROR, {"error": texts.PROVISION})
