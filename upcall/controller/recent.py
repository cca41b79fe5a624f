"""Activations whose result was told a moment ago: their records may be on their way to the store still.

An Invoker tells a result before its record is stored (docs/adr/0017-recovery.md), so who reads the record at once could
be told that there is none. Ids only, so that a result costs half a microsecond and no memory to speak of.
"""

from collections.abc import Callable

SPAN = 5.0
"""Seconds that are a moment."""
MOST = 4096
"""Ids of the newer half of what is held."""


class Recent:
    """`time` in seconds, never backwards."""

    __slots__ = ("_newer", "_older", "_time")

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._newer: dict[str, float] = {}
        self._older: dict[str, float] = {}

    def add(self, id: str) -> None:
        """Its result is told now."""
        if len(self._newer) >= MOST:
            self._older, self._newer = self._newer, {}
        self._newer[id] = self._time()

    def __contains__(self, id: object) -> bool:
        told = self._newer.get(id) or self._older.get(id)  # type: ignore[call-overload]
        return told is not None and self._time() - told <= SPAN
