"""The platform's own log lines."""

import json
import logging
import sys

import pytest

from upcall.telemetry import ConsoleFormatter, JsonFormatter, set_up_logging


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
        "tid": "abc",
        "activation": "0" * 32,
        "message": 'two\nlines "quoted"',
    }


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
