"""The part of a container that tells of its death (`upcall.ports.Container.lost`)."""

import asyncio
from collections.abc import Callable


class Mortal:
    """Whoever sets `lost` is told once: at the death, or soon after having come too late for it."""

    _lost: Callable[[], None] | None = None
    _dead = False

    @property
    def lost(self) -> Callable[[], None] | None:
        return self._lost

    @lost.setter
    def lost(self, callback: Callable[[], None] | None) -> None:
        self._lost = callback
        if self._dead:
            asyncio.get_running_loop().call_soon(self._report)

    def died(self) -> None:
        """It is dead, whoever did it."""
        self._dead = True
        self._report()

    def _unwatch(self) -> None:
        """From here on its death is its owner's will."""
        self._lost = None

    def _report(self) -> None:
        lost, self._lost = self._lost, None
        if lost is not None:
            lost()
