"""The platform's own log lines."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from upcall.telemetry import ConsoleFormatter, JsonFormatter, Warnings, about, set_up_logging
from upcall.testing import a_message


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Loggers are the process's: other tests find them as they were."""
    loggers = [logging.getLogger(name) for name in ("upcall", "uvicorn")]
    before = [(each.level, each.propagate, each.handlers) for each in loggers]
    yield
    for each, (level, propagate, handlers) in zip(loggers, before, strict=True):
        each.setLevel(level)
        each.propagate, each.handlers = propagate, handlers


def record(text: str, **extra: str) -> logging.LogRecord:
    made = logging.LogRecord("upcall.pool", logging.WARNING, "", 0, text, (), None)
    made.created, made.msecs = 0.25, 250
    made.__dict__.update(extra)
    return made


def test_a_line_for_people_has_time_level_transaction_and_place() -> None:
    line = ConsoleFormatter().format(record("full", tid="abc"))
    assert line == "[1970-01-01T00:00:00.250Z] [WARNING] [#tid_abc] [pool] full"


def test_a_line_for_machines_is_one_json_object() -> None:
    line = JsonFormatter().format(record('two\nlines "quoted"', tid="abc", activation="0" * 32))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "warning",
        "logger": "upcall.pool",
        "transid": "abc",
        "activation": "0" * 32,
        "message": 'two\nlines "quoted"',
    }


def test_nobody_can_begin_a_line_or_steer_a_terminal_by_a_name() -> None:
    line = ConsoleFormatter().format(record("topic a\n[forged]\r\x1b[2J\x9b\u2028 é", tid="a\nb"))
    assert line.endswith("[#tid_a\\nb] [pool] topic a\\n[forged]\\x0d\\x1b[2J\\x9b\\x2028 é")


def test_what_is_long_is_cut() -> None:
    made = record("x" * 1_000_000, tid="t" * 1_000_000, action="a" * 1_000_000)
    warnings = Warnings()
    warnings.emit(made)
    for text in (ConsoleFormatter().format(made), JsonFormatter().format(made), json.dumps(warnings.all())):
        assert len(text) < 13_000
        assert "(1000000 characters)" in text


def test_an_exception_is_part_of_its_line() -> None:
    try:
        raise ValueError("inner")
    except ValueError:
        made = record("outer")
        made.exc_info = sys.exc_info()
    assert "ValueError: inner" in ConsoleFormatter().format(made)
    assert "ValueError: inner" in json.loads(JsonFormatter().format(made))["exception"]


def test_the_level_holds(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("warning", "console")
    logger = logging.getLogger("upcall.test")
    logger.info("too little")
    logger.warning("enough")
    output = capsys.readouterr().err
    assert "enough" in output
    assert "too little" not in output


def test_the_http_librarys_errors_are_logged_and_its_warnings_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "console")
    logger = logging.getLogger("uvicorn.error")
    logger.warning("Invalid HTTP request received.")
    logger.error("worse")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("[ERROR] [#tid_sid_unknown] [uvicorn.error] worse")


def test_what_is_known_of_an_activation_is_part_of_its_lines() -> None:
    message = a_message()
    line = json.loads(JsonFormatter().format(record("x", **about(message, "c0ffee"))))
    known = {"transid": "tid", "activation": message.activation_id, "namespace": "guest", "action": "guest/hello"}
    assert known.items() <= line.items()
    assert line["container"] == "c0ffee"


def test_the_level_changes_while_it_runs_and_warnings_are_remembered_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = set_up_logging("error", "console")
    logger = logging.getLogger("upcall.test")
    logger.warning("first %s", "warning")
    assert capsys.readouterr().err == ""
    log.set_level("debug")
    assert log.level == "debug"
    logger.debug("detail")
    assert "detail" in capsys.readouterr().err
    log.set_level("info")
    logger.debug("detail")
    assert capsys.readouterr().err == ""
    (warning,) = log.warnings.all()
    assert isinstance(warning, dict)
    assert (warning["level"], warning["logger"], warning["message"]) == ("warning", "upcall.test", "first warning")
