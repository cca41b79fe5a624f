"""Acknowledgements: their shapes, and what happens when one is too large (spec: bus.md §7).

For a caller that does not wait a full record is replaced by the activation's id (*shrunk*), and so is one that the bus
refuses for its size. Its controller then asks the store for the record, so that is durable before (`settle`). `then` is
called when the bus has the ack for good, or has refused it for good: there is nobody else to tell, the controller frees
the slot by its own timer.
"""

import logging
from collections.abc import Callable
from functools import partial

from upcall.errors import TooLarge
from upcall.model.activation import WHISK_ERROR, Activation
from upcall.model.messages import (
    Ack,
    ActivationMessage,
    CombinedMessage,
    CompletionMessage,
    ResultMessage,
    Topic,
    completed_topic,
)
from upcall.model.names import InvokerId
from upcall.ports import Bus
from upcall.telemetry import about

Then = Callable[[], None]
Tell = Callable[[ActivationMessage, Activation], None]
"""Hears of each acknowledgement that frees a slot."""
log = logging.getLogger(__name__)

CONTROLLERS = 1024
"""Topics that are kept at hand; past that the table is begun anew."""


class Acks:
    """Sends acks of one Invoker. `settle` calls back when all records that were kept are durable."""

    def __init__(
        self,
        bus: Bus,
        instance: InvokerId,
        settle: Callable[[Then], None],
        prefix: str = "",
        tell: Tell | None = None,
    ) -> None:
        self._bus = bus
        self._prefix = prefix
        self._settle = settle
        self._topics: dict[str, Topic] = {}
        self._tell = tell
        self.instance = instance
        self.failed = 0

    def result(self, message: ActivationMessage, response: Activation | str, then: Then, large: Then) -> None:
        """The result alone: the slot stays taken until `completion`. Where the bus refuses it for its size `large` is
        called in place of `then`: its record is not kept yet, so that its id would be of no use."""
        self._send(message, ResultMessage(message.transid, response), then, large)

    def completion(self, message: ActivationMessage, record: Activation, then: Then) -> None:
        """The slot is free."""
        if self._tell is not None:
            self._tell(message, record)
        system = record.response.status_code == WHISK_ERROR
        self._send(message, CompletionMessage(message.transid, message.activation_id, system, self.instance), then)

    def freed(self, message: ActivationMessage, then: Then) -> None:
        """The slot is free; an earlier life has told the result."""
        self._send(message, CompletionMessage(message.transid, message.activation_id, False, self.instance), then)

    def combined(self, message: ActivationMessage, record: Activation, then: Then) -> None:
        """Both at once; shrunk where nobody waits."""
        if self._tell is not None:
            self._tell(message, record)
        system = record.response.status_code == WHISK_ERROR
        response = record if message.blocking else message.activation_id
        ack = CombinedMessage(message.transid, response, system, self.instance)

        def shrink() -> None:
            small = CombinedMessage(message.transid, message.activation_id, system, self.instance)
            self._send(message, small, then)

        self._send(message, ack, then, lambda: self._settle(shrink))

    def _send(self, message: ActivationMessage, ack: Ack, then: Then, large: Then | None = None) -> None:
        controller = message.root_controller_index.as_string
        topic = self._topics.get(controller) or self._topic(controller)
        self._bus.send(topic, ack, partial(self._sent, message, topic, then, large))

    def _sent(
        self, message: ActivationMessage, topic: Topic, then: Then, large: Then | None, error: BaseException | None
    ) -> None:
        if error is None:
            then()
        elif isinstance(error, TooLarge) and large is not None:
            large()
        else:
            self.failed += 1
            log.error("ack to %s lost: %s", topic.name, error, extra=about(message))
            then()

    def _topic(self, controller: str) -> Topic:
        if len(self._topics) >= CONTROLLERS:
            self._topics.clear()
        topic = self._topics[controller] = completed_topic(controller, self._prefix)
        return topic
