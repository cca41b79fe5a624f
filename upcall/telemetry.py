"""The platform's own log: one line per event, on stderr, for people or as JSON.

Nothing is logged at info per activation (docs/DESIGN.md); what is logged of a transaction or an activation carries in
`extra` what is known of it (`about`). Credentials never get here: whoever has them does not log them.

The level can be changed while the platform runs. Warnings are remembered whatever it is: `upcall status` shows them.
"""

import logging
import sys
import time
from collections import deque
from typing import Literal

import msgspec

from upcall.model.messages import ActivationMessage
from upcall.model.names import Json, Transid

FIELDS = {
    "tid": "transid",
    "activation": "activation",
    "namespace": "namespace",
    "action": "action",
    "container": "container",
}
"""Members of `extra`, and what they are called in JSON."""
REMEMBERED = 50
"""Warnings and errors."""
LONGEST = 4096
"""Characters of a message: names in it may be a stranger's."""
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}
_ESCAPES[ord("\n")] = "\\n"


def about(message: ActivationMessage, container: str | None = None) -> dict[str, str]:
    """`extra` of what is logged of an activation; `namespace` is the one that invokes."""
    known = marks(message.transid, message.activation_id, message.user.namespace.name, message.action.id)
    return known if container is None else {**known, "container": container}


def marks(transid: Transid, activation: str, namespace: str, action: str) -> dict[str, str]:
    """The same of what is left of an activation."""
    tid = str(transid[0]) if transid else "sid_unknown"
    return {"tid": tid, "activation": activation, "namespace": namespace, "action": action}


class ConsoleFormatter(logging.Formatter):
    """`[2026-01-02T03:04:05.123Z] [INFO] [#tid_…] [pool] text` (spec: metrics.md §4). What could begin a line, or tell
    a terminal what to do, is escaped; a trace has its own lines."""

    def format(self, record: logging.LogRecord) -> str:
        tid = str(getattr(record, "tid", None) or "sid_unknown")[:LONGEST].translate(_ESCAPES)
        name = record.name.removeprefix("upcall.")
        text = _text(record).translate(_ESCAPES)
        line = f"[{_time(record)}] [{record.levelname}] [#tid_{tid}] [{name}] {text}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        known = {shown: getattr(record, field) for field, shown in FIELDS.items() if hasattr(record, field)}
        entry |= {shown: str(value)[:LONGEST] for shown, value in known.items()}
        entry["message"] = _text(record)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


def _text(record: logging.LogRecord) -> str:
    text = record.getMessage()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


class Warnings(logging.Handler):
    """The last warnings and errors, without their traces."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._kept: deque[dict[str, Json]] = deque(maxlen=REMEMBERED)

    def emit(self, record: logging.LogRecord) -> None:
        level, text = record.levelname.lower(), _text(record)
        self._kept.append({"time": _time(record), "level": level, "logger": record.name, "message": text})

    def all(self) -> list[Json]:
        """The newest last: time, level, logger and message of each."""
        return list(self._kept)


class Log:
    """What `set_up_logging` has set up."""

    def __init__(self, shown: logging.Handler, warnings: Warnings) -> None:
        self._shown = shown
        self.warnings = warnings

    @property
    def level(self) -> str:
        return logging.getLevelName(self._shown.level).lower()

    def set_level(self, level: str) -> None:
        """One of `upcall.model.forms.LEVELS`."""
        number: int = getattr(logging, level.upper())
        self._shown.setLevel(number)
        logging.getLogger("upcall").setLevel(min(number, logging.WARNING))


def set_up_logging(level: str, form: Literal["console", "json"]) -> Log:
    """Send everything of the package at `level` and above to stderr; of the HTTP library only errors, since its
    warnings are about what strangers send."""
    formatter = JsonFormatter() if form == "json" else ConsoleFormatter()
    shown, others = (logging.StreamHandler(sys.stderr) for _ in range(2))
    warnings = Warnings()
    for name, handlers in (("upcall", [shown, warnings]), ("uvicorn", [others])):
        logger = logging.getLogger(name)
        logger.handlers = [*handlers]
        logger.propagate = False
    shown.setFormatter(formatter)
    others.setFormatter(formatter)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    log = Log(shown, warnings)
    log.set_level(level)
    return log
