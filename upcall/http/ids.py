"""Random ids in bulk: one `os.urandom` serves many of them (docs/DESIGN.md, rule 9).

A transaction id is 32 characters of `[A-Za-z0-9]`. An activation id is 32 lower-case hexadecimal ones: 12 of the time
in ms, then 20 at random, so that records are stored in the order of their ids (docs/adr/0005-activation-ids.md). The
process must not fork after the first id: the children would share what is left of the block.
"""

import os
import time
from collections.abc import Callable
from itertools import chain

_BLOCK = 4096
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TABLE = bytes(_ALPHABET[byte % 62] for byte in range(256))
_UNEVEN = bytes(range(248, 256))
"""248 is the last multiple of 62: bytes from there on would make some letters likelier."""


class Ids:
    """A source of both kinds. What is random comes from iterators in C: an activation takes one of each."""

    def __init__(self) -> None:
        self.transaction: Callable[[], str] = chain.from_iterable(iter(_transactions, None)).__next__
        self._random: Callable[[], str] = chain.from_iterable(iter(_digits, None)).__next__
        self._ms = -1
        self._time = ""

    def activation(self, ms: int | None = None) -> str:
        """`ms` is the time, where it is at hand."""
        if ms is None:
            ms = time.time_ns() // 1_000_000
        if ms != self._ms:
            self._ms = ms
            self._time = f"{ms:012x}"
        return self._time + self._random()


def _transactions() -> list[str]:
    """A block of them."""
    letters = os.urandom(_BLOCK).translate(_TABLE, _UNEVEN).decode("ascii")
    return [letters[start : start + 32] for start in range(0, len(letters) - 31, 32)]


def _digits() -> list[str]:
    """The random ends of activation ids."""
    digits = os.urandom(_BLOCK).hex()
    return [digits[start : start + 20] for start in range(0, len(digits) - 19, 20)]


ids = Ids()
