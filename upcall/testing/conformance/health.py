"""How a controller judges one Invoker, by itself and without a clock (spec: load-balancer.md §4).

`ping`, `outcome` and `tick` take the time in seconds and say whether a probe is to be sent now.
"""

from collections import deque
from typing import Literal

State = Literal["up", "unhealthy", "unresponsive", "down"]
Outcome = Literal["success", "system error", "timeout"]

RING = 10
TOLERANCE = 3
SILENCE = 10.0
"""Seconds without a ping until an Invoker counts as gone."""
AGAIN = 60.0
"""Seconds between two probes of an Invoker that is not up."""


class Health:
    """From the first ping on; until then there is no state."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.history: list[State] = []
        self._ring: deque[Outcome] = deque(maxlen=RING)
        self._heard = 0.0
        self._probed = 0.0

    def ping(self, now: float, enabled: bool) -> bool:
        self._heard = now
        if not enabled:
            return self._to("down", now)
        return self._to("unhealthy", now) if self.state in (None, "down") else False

    def outcome(self, now: float, outcome: Outcome) -> bool:
        self._heard = now
        self._ring.append(outcome)
        if self.state in (None, "down") or (self.state == "up" and outcome == "success"):
            return False
        again = self._to(self._judged(outcome), now)
        return again or (self.state == "unhealthy" and outcome == "success" and self._probe(now))

    def tick(self, now: float) -> bool:
        if self.state in (None, "down"):
            return False
        if now - self._heard > SILENCE:
            return self._to("down", now)
        return self.state != "up" and now - self._probed >= AGAIN and self._probe(now)

    def _judged(self, outcome: Outcome) -> State:
        assert self.state is not None
        if self._ring.count("system error") > TOLERANCE:
            return "unhealthy"
        if self._ring.count("timeout") > TOLERANCE:
            return "unresponsive"
        if outcome == "success":
            return "up"
        if len(self._ring) <= TOLERANCE:
            return "unhealthy" if outcome == "system error" else "unresponsive"
        return self.state

    def _to(self, state: State, now: float) -> bool:
        if state == self.state:
            return False
        self.state = state
        self.history.append(state)
        return state in ("unhealthy", "unresponsive") and self._probe(now)

    def _probe(self, now: float) -> bool:
        self._probed = now
        return True
