"""Acknowledgements: their shapes, and what happens when one is too large (spec: bus.md §7).

For a caller that does not wait a full record is replaced by the activation's id (*shrunk*), and so is one that the bus
refuses for its size. Its controller then asks the store for the record, so that is durable before (`settle`).

An ack that no broker takes is sent again for as long as its controller counts on it; controllers do not mind one that
comes twice. `then` is called when the bus has the ack for good, or has refused it for good: there is nobody else to
tell, the controller has freed the slot by its own timer.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from time import monotonic

from upcall.errors import TooLarge, Unavailable
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

AGAIN = 1.0
"""Seconds until an ack that was not taken is sent again."""
PATIENCE = 180.0
"""Seconds for which it is: after them controllers free most slots by force (spec: load-balancer.md §3)."""
QUIET = 10.0
"""Seconds between two warnings of that."""
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
        self._warned = float("-inf")
        self._tell = tell
        self.instance = instance
        self.over = False
        """Others say how activations ended: nothing is sent again."""
        self.failed = 0

    def result(self, message: ActivationMessage, response: Activation | str, then: Then, large: Then) -> None:
        """The result alone: the slot stays taken until `completion`. Where the bus refuses it for its size `large` is
        called in place of `then`: its record is not kept yet, so that its id would be of no use."""
        self._send(message, ResultMessage(message.transid, response), then, large)

    def completion(self, message: ActivationMessage, record: Activation, then: Then, excused: bool = False) -> None:
        """The slot is free. `excused`: a failure of the system, by its status, is none of this Invoker's."""
        if self._tell is not None:
            self._tell(message, record)
        system = record.response.status_code == WHISK_ERROR and not excused
        self._send(message, CompletionMessage(message.transid, message.activation_id, system, self.instance), then)

    def freed(self, message: ActivationMessage, record: Activation | None, then: Then) -> None:
        """The slot is free; an earlier life has told the result, which may not be known here."""
        if record is not None:
            self.completion(message, record, then)
            return
        self._send(message, CompletionMessage(message.transid, message.activation_id, False, self.instance), then)

    def combined(self, message: ActivationMessage, record: Activation, then: Then, excused: bool = False) -> None:
        """Both at once; shrunk where nobody waits."""
        if self._tell is not None:
            self._tell(message, record)
        system = record.response.status_code == WHISK_ERROR and not excused
        response = record if message.blocking else message.activation_id
        self._send(message, CombinedMessage(message.transid, response, system, self.instance), then)

    def _send(self, message: ActivationMessage, ack: Ack, then: Then, large: Then | None = None) -> None:
        topic = self._topics.get(message.root_controller_index.as_string) or self._topic(message)
        self._bus.send(topic, ack, partial(self._sent, message, ack, then, large))

    def _sent(
        self,
        message: ActivationMessage,
        ack: Ack,
        then: Then,
        large: Then | None,
        error: BaseException | None,
        *,
        since: float | None = None,
    ) -> None:
        """`since` is when it was not taken first, on the monotonic clock."""
        if error is None:
            then()
        elif isinstance(error, TooLarge) and large is not None:
            large()
        elif isinstance(error, TooLarge) and isinstance(ack, CombinedMessage) and isinstance(ack.response, Activation):
            small = CombinedMessage(ack.transid, message.activation_id, ack.is_system_error, ack.instance)
            self._settle(partial(self._send, message, small, then))
        elif isinstance(error, Unavailable) and not self.over and (since is None or monotonic() - since < PATIENCE):
            self._warn(message, error)
            sent = partial(self._sent, message, ack, then, large, since=since or monotonic())
            asyncio.get_running_loop().call_later(AGAIN, self._bus.send, self._topic(message), ack, sent)
        else:
            self.failed += 1
            log.error("an ack to %s is lost: %s", self._topic(message).name, error, extra=about(message))
            then()

    def _warn(self, message: ActivationMessage, error: Unavailable) -> None:
        """In a while once: all acks may meet with it, each second."""
        now = monotonic()
        if now >= self._warned + QUIET:
            self._warned = now
            text = "acks to %s, and maybe others, are not taken and are sent again: %s"
            log.warning(text, self._topic(message).name, error, extra=about(message))

    def _topic(self, message: ActivationMessage) -> Topic:
        controller = message.root_controller_index.as_string
        topic = self._topics.get(controller)
        if topic is None:
            if len(self._topics) >= CONTROLLERS:
                self._topics.clear()
            topic = self._topics[controller] = completed_topic(controller, self._prefix)
        return topic
