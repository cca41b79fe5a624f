"""Records: fields, annotations, times, and which are stored (spec: store.md §5, §6)."""

import msgspec
import pytest
from msgspec import UNSET

from upcall.core.record import (
    StoreLevel,
    StoreLevels,
    Times,
    activation_record,
    fallback_record,
    is_stored,
    with_logs,
)
from upcall.core.run import recipe_of
from upcall.model.activation import Response, error
from upcall.model.entities import ActionLimits, UserLimits
from upcall.model.names import Json
from upcall.testing import a_message, an_action, an_identity

RECEIVED = 1_764_000_000_000


def test_the_record_of_a_cold_run() -> None:
    action = an_action("greet", namespace="guest/utils", version="0.0.3", limits=ActionLimits(60_000, 256, 10, 1))
    message = a_message(action, user=an_identity("caller"))
    times = Times(asked=RECEIVED + 71, start=RECEIVED + 100, end=RECEIVED + 130, init=20)
    record = activation_record(recipe_of(action), message, Response(), times)
    assert (record.namespace, record.name, record.subject, record.version) == ("caller", "greet", "caller", "0.0.3")
    assert (record.start, record.end, record.duration) == (RECEIVED + 100, RECEIVED + 130, 30)
    assert (record.cause, record.logs, record.publish) == (UNSET, [], False)
    assert msgspec.json.decode(record.annotations) == [
        {"key": "limits", "value": {"timeout": 60_000, "memory": 256, "logs": 10, "concurrency": 1}},
        {"key": "path", "value": "guest/utils/greet"},
        {"key": "kind", "value": "python:3"},
        {"key": "timeout", "value": False},
        {"key": "waitTime", "value": 71},
        {"key": "initTime", "value": 20},
    ]


def test_annotations_of_origin_and_timeout() -> None:
    message = a_message(cause="c" * 32, binding='guest/my"utils')
    record = activation_record(recipe_of(an_action()), message, Response(), Times(RECEIVED - 5, 1, 2, timeout=True))
    found = {entry["key"]: entry["value"] for entry in msgspec.json.decode(record.annotations)}
    assert found["timeout"] is True
    assert found["waitTime"] == -5
    assert "initTime" not in found
    assert found["causedBy"] == "sequence"
    assert found["binding"] == 'guest/my"utils'
    assert record.cause == "c" * 32


def test_a_clock_that_was_set_back_makes_no_negative_duration() -> None:
    message = a_message()
    record = activation_record(recipe_of(an_action()), message, Response(), Times(RECEIVED - 70, RECEIVED, 1, init=0))
    assert (record.start, record.end, record.duration) == (RECEIVED, RECEIVED, 0)
    found = {entry["key"]: entry["value"] for entry in msgspec.json.decode(record.annotations)}
    assert found["waitTime"] == -70


def test_instances_are_among_the_limits_when_set() -> None:
    action = an_action(limits=ActionLimits(100, 128, 1, 1, 4))
    record = activation_record(recipe_of(action), a_message(action), Response(), Times(1, 1, 1))
    assert msgspec.json.decode(record.annotations)[0]["value"]["instances"] == 4


def test_the_fallback_record_knows_little() -> None:
    message = a_message(an_action(version="0.0.7"))
    record = fallback_record(message, error(1, "x"), 42)
    assert (record.start, record.end, record.duration, record.version) == (42, 42, 0, "0.0.7")
    assert msgspec.json.decode(record.annotations) == [
        {"key": "path", "value": "guest/hello"},
        {"key": "kind", "value": "unknown"},
    ]
    message.action = msgspec.structs.replace(message.action, version=None)
    assert fallback_record(message, error(1, "x"), 42).version == "0.0.1"


def test_logs_are_added_to_a_copy() -> None:
    record = fallback_record(a_message(), error(1, "x"), 42)
    assert with_logs(record, ["line"]).logs == ["line"]
    assert record.logs == []


FAILURES: StoreLevel = "STORE_FAILURES"
OTHERS: StoreLevel = "STORE_FAILURES_NOT_APPLICATION_ERRORS"


@pytest.mark.parametrize(
    ("level", "stored"),
    [
        ("STORE_ALWAYS", [True, True, True, True]),
        (FAILURES, [False, True, True, True]),
        (OTHERS, [False, False, True, True]),
    ],
)
@pytest.mark.parametrize("blocking", [True, False])
def test_levels(level: StoreLevel, stored: list[bool], blocking: bool) -> None:
    levels = StoreLevels(blocking=level) if blocking else StoreLevels(non_blocking=level)
    message = a_message(blocking=blocking)
    assert [is_stored(message, Response(status), levels) for status in range(4)] == stored


@pytest.mark.parametrize(
    ("transid", "stored"), [(["t", 1], False), (["t", 1, True], True), (["t", 1, ["p", 1]], False)]
)
def test_extra_logging_stores_at_any_level(transid: list[Json], stored: bool) -> None:
    message = a_message()
    message.transid = transid
    assert is_stored(message, Response(), StoreLevels(blocking=FAILURES)) is stored


def test_a_namespace_may_refuse_to_be_recorded() -> None:
    user = an_identity(limits=UserLimits(store_activations=False))
    message = a_message(user=user)
    message.transid = ["t", 1, True]
    assert is_stored(message, Response(3), StoreLevels()) is False
