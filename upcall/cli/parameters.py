"""Parameters and annotations of the command line: `-p NAME VALUE`, `-P FILE`, `-a NAME VALUE`, `-A FILE`.

A value that is JSON is taken as JSON, any other as text; a file holds one JSON object. What is named on the command
line wins over files, later over earlier.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from upcall.cli.refusal import Refused

Pairs = tuple[tuple[str, str], ...]


def options(short: str, name: str, what: str) -> Callable[[Any], Any]:
    """`-p/--param` and `-P/--param-file`, or the like."""

    def decorate(function: Any) -> Any:
        function = click.option(
            f"-{short.upper()}", f"--{name}-file", multiple=True, metavar="FILE", help=f"{what}s from a JSON object."
        )(function)
        return click.option(
            f"-{short}", f"--{name}", nargs=2, multiple=True, metavar="NAME VALUE", help=f"{what}; may be repeated."
        )(function)

    return decorate


def merged(pairs: Pairs, files: Iterable[str]) -> dict[str, Any]:
    """All of them by name. Raises Refused for a file that is no JSON object."""
    values: dict[str, Any] = {}
    for file in files:
        values.update(_object(file))
    return values | {name: value(text) for name, text in pairs}


def value(text: str) -> Any:
    """`5` is a number, `{"a": 1}` an object, `Ada` a text."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return text


def key_values(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """As entities hold them."""
    return [{"key": key, "value": held} for key, held in values.items()]


def _object(file: str) -> dict[str, Any]:
    try:
        held = json.loads(Path(file).read_bytes(), parse_constant=_refuse, parse_float=_finite)
    except OSError as error:
        raise Refused(f"the file '{file}' cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise Refused(f"the file '{file}' is no JSON: {error}") from None
    if not isinstance(held, dict):
        raise Refused(f"the file '{file}' is not one JSON object")
    return held


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large a number")
    return number
