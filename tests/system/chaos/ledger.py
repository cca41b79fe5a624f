"""What the clients were told, each call's story, and when which fault was at work.

All times are seconds since the load began. Lists are appended to by several threads and read at the end.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec

Mode = Literal["blocking", "non-blocking", "impatient", "hasty"]
"""impatient: does not wait to the end; hasty: goes away without reading the answer."""


class Call(msgspec.Struct):
    """One request. `answered` is when the answer was read or the connection broke; `status` 0: it broke."""

    token: str
    action: str
    mode: Mode
    sent: float
    answered: float = 0.0
    status: int = 0
    id: str = ""
    body: Any = None
    why: str = ""

    def story(self) -> str:
        told = f"{self.status} {self.why or str(self.body)[:300]}" if self.answered else "no answer"
        return f"{self.mode} call {self.token} of {self.action}, sent {self.sent:.2f}, at {self.answered:.2f}: {told}"


class Fault(msgspec.Struct):
    """`ended`: when all was as before again."""

    deed: str
    amount: float
    began: float
    ended: float = float("inf")
    note: str = ""

    def overlaps(self, since: float, until: float, slack: float) -> bool:
        return self.began - slack <= until and since <= self.ended + slack

    def line(self) -> str:
        return f"{self.began:7.2f} to {self.ended:7.2f}  {self.deed} {self.amount} {self.note}"


class Ledger:
    """Of one trial."""

    def __init__(self) -> None:
        self._zero = time.monotonic()
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.complaints: list[str] = []
        """What was seen to be wrong at once."""

    def restart(self) -> None:
        """The load begins now."""
        self._zero = time.monotonic()

    def now(self) -> float:
        return time.monotonic() - self._zero

    @contextmanager
    def fault(self, deed: str, amount: float = 0.0) -> Iterator[Fault]:
        fault = Fault(deed, amount, self.now())
        self.faults.append(fault)
        try:
            yield fault
        finally:
            fault.ended = self.now()

    def at_work(self, deeds: frozenset[str], since: float, until: float, slack: float = 1.0) -> bool:
        """Whether one of these faults was at work then."""
        return any(fault.deed in deeds and fault.overlaps(since, until, slack) for fault in self.faults)
