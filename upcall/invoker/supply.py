"""Whether the driver can make containers at all just now: Docker's engine may be away for a while. Till it is back
nothing is fetched; what has come waits, and is for the next life if this one ends."""

import logging

from upcall.invoker.gate import Gate
from upcall.ports import Containers

log = logging.getLogger(__name__)

EMPTY = "empty"
"""What keeps the gate shut."""


class Supply:
    """Of one Invoker; to be looked at each second."""

    def __init__(self, containers: Containers, gate: Gate) -> None:
        self._containers = containers
        self._gate = gate
        self._told = False

    @property
    def trouble(self) -> str | None:
        """Why it cannot, in a sentence."""
        return self._containers.trouble

    def look(self) -> bool:
        """Whether it can. A change is logged, and shuts or opens the gate."""
        trouble = self.trouble
        if trouble is not None and not self._told:
            log.error("no containers can be made: %s; nothing is fetched until they can", trouble)
            self._gate.shut(EMPTY)
        elif trouble is None and self._told:
            log.warning("containers can be made again")
            self._gate.open(EMPTY)
        self._told = trouble is not None
        return not self._told
