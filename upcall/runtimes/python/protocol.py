"""What every runtime says and is told in the same way (spec: container.md §2, §8)."""

import json
import os
from typing import Any, Protocol

_NO_CODE = "Missing main/no code to execute."
TWICE = "Cannot initialize the action more than once."
UNINITIALISED = "Cannot invoke an uninitialized action."
EXHAUSTED = "The action exhausted its memory and was aborted."
"""Upstream's text where the kernel kills; here also where it refuses memory, and the code could not do without."""
_COMPACT = (",", ":")
_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=_COMPACT).encode  # `dumps` makes one each time
_ascii = json.JSONEncoder(allow_nan=False, separators=_COMPACT).encode


class Refused(Exception):
    """An answer other than 200, with its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Action(Protocol):
    """The user's code, behind the HTTP server."""

    def init(self, body: dict[str, Any]) -> None:
        """Load the code; raises Refused."""

    def run(self, body: dict[str, Any]) -> bytes:
        """Call the code; its result as JSON. Raises Refused, and SystemExit to end the process."""


def encode(value: Any) -> bytes:
    """Compact JSON in UTF-8; what UTF-8 cannot hold (lone surrogates) is escaped."""
    text = _json(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _ascii(value).encode()


def check_code(code: str | None) -> None:
    """Raises Refused where /init brings none."""
    if not code or code.isspace():
        raise Refused(403, _NO_CODE)


def context(body: dict[str, Any]) -> dict[str, Any]:
    """The environment that a request of /run brings."""
    return {"__OW_" + name.upper(): text for name, text in body.items() if name != "value"}


def set_environment(values: dict[str, Any]) -> None:
    """Raises Refused, which names the variable."""
    for name, text in values.items():
        try:
            os.environ[name] = text if isinstance(text, str) else json.dumps(text)
        except (ValueError, OSError) as error:
            raise Refused(502, f"The environment variable {name!r} cannot be set: {error}") from error
