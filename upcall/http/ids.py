"""Random ids in bulk: one `os.urandom` serves many of them (docs/DESIGN.md, rule 9).

A transaction id is 32 characters of `[A-Za-z0-9]`. An activation id is 32 lower-case hexadecimal ones: 12 of the time
in ms, then 20 at random, so that records are stored in the order of their ids (docs/adr/0005-activation-ids.md). The
process must not fork after the first id: the children would share what is left of the block.
"""

import os
import time

_BLOCK = 4096
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TABLE = bytes(_ALPHABET[byte % 62] for byte in range(256))
_UNEVEN = bytes(range(248, 256))
"""248 is the last multiple of 62: bytes from there on would make some letters likelier."""


class Ids:
    """A source of both kinds."""

    def __init__(self) -> None:
        self._letters = ""
        self._letter = 0
        self._digits = ""
        self._digit = 0

    def transaction(self) -> str:
        start = self._letter
        if start + 32 > len(self._letters):
            self._letters = os.urandom(_BLOCK).translate(_TABLE, _UNEVEN).decode("ascii")
            start = 0
        self._letter = start + 32
        return self._letters[start : start + 32]

    def activation(self, ms: int | None = None) -> str:
        """`ms` is the time, where it is at hand."""
        start = self._digit
        if start + 20 > len(self._digits):
            self._digits = os.urandom(_BLOCK).hex()
            start = 0
        self._digit = start + 20
        return f"{time.time_ns() // 1_000_000 if ms is None else ms:012x}{self._digits[start : start + 20]}"


ids = Ids()
