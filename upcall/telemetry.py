"""The platform's own log: one line per event, on stderr, for people or as JSON.

Nothing is logged at info per activation (docs/DESIGN.md); what is logged of a transaction carries its id in `extra`:
`tid`, `activation`, `container`. Credentials never get here: whoever has them does not log them.
"""

import logging
import sys
import time
from typing import Literal

import msgspec

FIELDS = ("tid", "activation", "container")


class ConsoleFormatter(logging.Formatter):
    """`[2026-01-02T03:04:05.123Z] [INFO] [#tid_…] [pool] text` (spec: metrics.md §4)."""

    def format(self, record: logging.LogRecord) -> str:
        tid = getattr(record, "tid", None)
        name = record.name.removeprefix("upcall.")
        line = f"[{_time(record)}] [{record.levelname}] [#tid_{tid or 'sid_unknown'}] [{name}] {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        entry |= {field: str(getattr(record, field)) for field in FIELDS if hasattr(record, field)}
        entry["message"] = record.getMessage()
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def set_up_logging(level: str, form: Literal["console", "json"]) -> None:
    """Send everything of the package at `level` and above to stderr; of the HTTP library only errors, since its
    warnings are about what strangers send."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else ConsoleFormatter())
    for name, least in (("upcall", level.upper()), ("uvicorn", "ERROR")):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(least)
        logger.propagate = False
