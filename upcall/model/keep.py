"""How long activation records are kept (`--keep`): by age, by the size of the database, by both, or for ever."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from upcall.model.sizes import MB, parse_duration, parse_size

N = TypeVar("N", int, float)
_FORM = "write a time of at least 1 s, a size of at least 1 MB, or both, as in 7d,10GB; or forever"


class Keep(msgspec.Struct, frozen=True):
    """Records go when they are older than `age` seconds, and, the oldest first, while the database is larger than
    `size` bytes. None is no bound."""

    age: float | None = None
    size: int | None = None
    text: str = "forever"
    """As it was written."""


def parse_keep(text: str) -> Keep:
    """Of `7d`, `10 GB`, `7d,10GB` or `forever`; `d`, `h`, `m` and `s` are units of time, units of size end in B. Raises
    ValueError."""
    age: float | None = None
    size: int | None = None
    if text.strip().lower() == "forever":
        return Keep()
    for part in text.split(","):
        is_size = part.strip().lower().endswith("b")
        if is_size and size is None:
            size = _checked(parse_size, part, text, MB)
        elif not is_size and age is None and not part.strip().isdigit():
            age = _checked(parse_duration, part, text, 1)
        else:
            raise ValueError(f"'{text}': {_FORM}")
    return Keep(age, size, text.strip())


def _checked(parse: Callable[[str], N], part: str, text: str, least: int) -> N:
    try:
        value = parse(part)
    except ValueError as error:
        raise ValueError(f"'{text}': {_FORM}") from error
    if not least <= value < float("inf"):
        raise ValueError(f"'{text}': {_FORM}")
    return value


USUAL = parse_keep("30d,10GB")
