"""Whether the driver can make containers at all just now: Docker's engine may be away for a while. Till it is back
nothing is fetched; what has come waits, and is for the next life if this one ends. The driver has it in the log."""

from upcall.invoker.gate import Gate
from upcall.ports import Containers

EMPTY = "empty"
"""What keeps the gate shut."""


class Supply:
    """Of one Invoker; to be looked at each second."""

    def __init__(self, containers: Containers, gate: Gate) -> None:
        self._containers = containers
        self._gate = gate

    @property
    def trouble(self) -> str | None:
        """Why it cannot, in a sentence."""
        return self._containers.trouble

    def look(self) -> bool:
        """Whether it can. The gate is shut or open accordingly."""
        if self.trouble is None:
            self._gate.open(EMPTY)
        else:
            self._gate.shut(EMPTY)
        return self.trouble is None
