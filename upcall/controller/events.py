"""Metric events of the throttles, for whoever reads the topic of user events (spec: load-balancer.md §7, bus.md §9.1).

Each attempt that the throttles let pass tells how many activations its namespace has in flight with it, each that they
refuse which throttle it was. Nobody waits for a send, and nothing comes of its failure.
"""

import time
from collections.abc import Callable

from upcall.errors import Throttled
from upcall.model.entities import Identity
from upcall.model.messages import EventMessage, Topic
from upcall.ports import Bus


class Events:
    """Of one controller. `clock` is in epoch seconds."""

    def __init__(self, bus: Bus, controller: str, topic: Topic, clock: Callable[[], float] = time.time) -> None:
        self._bus = bus
        self._source = f"controller{controller}"
        self._topic = topic
        self._clock = clock

    def passed(self, identity: Identity, running: int) -> None:
        """`running` counts the new one too."""
        self._send(identity, "ConcurrentInvocations", running)

    def refused(self, identity: Identity, refusal: Throttled) -> None:
        self._send(identity, refusal.metric, 1)

    def _send(self, identity: Identity, metric: str, value: int) -> None:
        space = identity.namespace
        body = {"metricName": metric, "metricValue": value}
        event = EventMessage(
            self._source, "Metric", identity.subject, space.name, space.uuid, int(self._clock() * 1000), body
        )
        self._bus.send(self._topic, event)
