"""What stands between the feed and the Invoker while it is disabled (spec: invoker.md §8).

The feed may bring what it was allowed to bring before: that waits here, in order, neither started nor done, so that it
is for the next life if this one ends. Its units, and those of what ends meanwhile, go back when the gate is opened: so
never more waits here than the feed has units.
"""

from upcall.model.messages import Message

Delivery = tuple[int, Message, bool]
"""Offset, message, whether an earlier life has started it."""


class Gate:
    """Closed from the start."""

    def __init__(self) -> None:
        self._kept: list[Delivery] = []
        self._owed = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, delivery: Delivery) -> None:
        self._kept.append(delivery)

    def owe(self, units: int) -> None:
        self._owed += units

    def opened(self) -> tuple[list[Delivery], int]:
        """What has waited, and the units that the feed gets back."""
        return self._kept, self._owed
