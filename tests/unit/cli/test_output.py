"""Durations and rows as `wsk` prints them."""

import pytest

from upcall.cli import output


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0s"),
        (3, "3ms"),
        (999, "999ms"),
        (1000, "1s"),
        (1250, "1.25s"),
        (59_999, "59.999s"),
        (60_000, "1m0s"),
        (63_500, "1m3.5s"),
        (3_600_000, "1h0m0s"),
        (3_723_004, "1h2m3.004s"),
    ],
)
def test_durations(ms: int, text: str) -> None:
    assert output.duration(ms) == text


def test_an_activation_without_end_kind_or_status_is_listed_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A trigger's."""
    entry = {"namespace": "guest", "name": "tick", "version": "0.0.1", "activationId": "0" * 32, "start": 0}
    output.activations([entry])
    heading, row = capsys.readouterr().out.splitlines()
    assert row[len("1970-01-01 00:00:00 ") :].split() == [
        "0" * 32,
        "unknown",
        "warm",
        "0s",
        "success",
        "guest/tick:0.0.1",
    ]
    assert row.index("guest/") == heading.index("Entity")


def test_a_status_and_a_cold_start(capsys: pytest.CaptureFixture[str]) -> None:
    notes = [{"key": "kind", "value": "python:3"}, {"key": "initTime", "value": 12}]
    entry = {"namespace": "g", "name": "a", "version": "0.0.1", "activationId": "0" * 32, "start": 0, "duration": 7}
    for code, text in enumerate(output.STATUSES):
        output.activations([{**entry, "annotations": notes, "statusCode": code}])
        row = capsys.readouterr().out.splitlines()[1]
        assert f" cold  7ms        {text} " in row
