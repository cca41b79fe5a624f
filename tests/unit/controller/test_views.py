"""Records as REST shows them (spec: entities.md §6)."""

import msgspec
import pytest
from msgspec import UNSET, Raw

from upcall.controller.views import activation_bytes, result_bytes
from upcall.model.activation import Activation, Response


def a_record(response: Response = Response(0, Raw(b'{"a": 1.0}'), 10), **members: object) -> Activation:  # noqa: B008
    record = Activation("guest", "hello", "subject", "id", 1000, 1030, 25, logs=["line"], response=response)
    record.annotations = Raw(b'[{"key":"path","value":"guest/hello"}]')
    for name, value in members.items():
        setattr(record, name, value)
    return record


def test_a_whole_record() -> None:
    assert msgspec.json.decode(activation_bytes(a_record(cause="c"))) == {
        "namespace": "guest",
        "name": "hello",
        "version": "0.0.1",
        "subject": "subject",
        "activationId": "id",
        "cause": "c",
        "start": 1000,
        "end": 1030,
        "duration": 25,
        "response": {"status": "success", "success": True, "result": {"a": 1.0}, "size": 10},
        "logs": ["line"],
        "annotations": [{"key": "path", "value": "guest/hello"}],
        "publish": False,
    }
    assert b'{"a": 1.0}' in activation_bytes(a_record())


def test_what_has_not_ended_has_neither_end_nor_duration() -> None:
    shown = msgspec.json.decode(activation_bytes(a_record(end=0)))
    assert not {"end", "duration", "cause"} & shown.keys()


@pytest.mark.parametrize("duration", [UNSET, None])
def test_a_missing_duration_is_the_difference(duration: object) -> None:
    assert msgspec.json.decode(activation_bytes(a_record(duration=duration)))["duration"] == 30


@pytest.mark.parametrize(
    ("code", "status"),
    [(1, "application error"), (2, "action developer error"), (3, "whisk internal error")],
)
def test_failures_in_words(code: int, status: str) -> None:
    shown = msgspec.json.decode(activation_bytes(a_record(Response(code)), logs=False))
    assert shown["response"] == {"status": status, "success": False}
    assert shown["logs"] == []


def test_a_missing_result_is_an_empty_object() -> None:
    assert result_bytes(Response(3)) == b"{}"
