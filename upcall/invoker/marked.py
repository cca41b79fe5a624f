"""An activation that tells the log how far it is (`upcall.markers`; spec: metrics.md §3, §4). The Invoker makes these
where markers are on, so that without them nobody asks for them.
"""

from time import perf_counter

from upcall.core.events import SlotId, Start
from upcall.core.outcome import ANSWERED, Outcome, initialised
from upcall.core.record import Times
from upcall.invoker.activate import Work
from upcall.invoker.desk import Box, Desk
from upcall.invoker.known import Known
from upcall.markers import mark
from upcall.model.activation import Response
from upcall.model.entities import Action
from upcall.model.messages import ActivationMessage, Message
from upcall.ports import Deliver, Lines
from upcall.telemetry import about


def marked(deliver: Deliver) -> Deliver:
    """The same, and each message that is taken is marked."""

    def delivered(offset: int, message: Message, started: bool) -> None:
        if isinstance(message, ActivationMessage):
            _mark("invoker_activation_start", "taken from the feed", message)
        deliver(offset, message, started)

    return delivered


class MarkedWork(Work):
    """Its texts name the action and the container, and nothing that the action was given or has said."""

    __slots__ = ("_marked_at", "_start")

    def __init__(self, desk: Desk, offset: int, message: ActivationMessage, known: Known, action: Action) -> None:
        super().__init__(desk, offset, message, known, action)
        self._start: Start = "warmed"

    def found(self, start: Start) -> None:
        super().found(start)
        self._start = start

    def run(self, slot: SlotId, box: Box, init: bool, fresh: bool) -> None:
        start, self._start = self._start, "warmed"
        text = f"containerStart containerState: {start} container: {box.container.id}"
        message = self.message
        names = f"action: {self.recipe.name} namespace: {message.user.namespace.name}"
        ids = f"activationId: {message.activation_id}"
        _mark(f"invoker_containerStart.{start}_counter", f"{text} {names} {ids}", message)
        super().run(slot, box, init, fresh)

    def _call(self) -> None:
        if self._init and self._abandoned is None:
            self._begins("activationInit", "sending initialization to")
        super()._call()

    def _post(self, now: int) -> None:
        self._begins("activationRun", "sending arguments to")
        super()._post(now)

    def _inited(self, outcome: Outcome) -> None:
        self._ends("activationInit", "initialization result", initialised(outcome))
        super()._inited(outcome)

    def _ran(self, outcome: Outcome) -> None:
        self._ends("activationRun", "running result", outcome.ending is ANSWERED)
        super()._ran(outcome)

    def _respond(self, response: Response, times: Times, cause: Response | None = None) -> None:
        if self.recipe.log_limit and not self._desk.over:
            self._begins("collectLogs", "collecting logs of")
        super()._respond(response, times, cause)

    def _collected(self, found: Lines) -> None:
        self._ends("collectLogs", "logs collected", not found.failed)
        super()._collected(found)

    def _begins(self, what: str, text: str) -> None:
        self._marked_at = perf_counter()
        _mark(f"invoker_{what}_start", f"{text} {self.message.action.id} in {self._box.container.id}", self.message)

    def _ends(self, what: str, text: str, well: bool) -> None:
        took, state = perf_counter() - self._marked_at, "finish" if well else "error"
        _mark(f"invoker_{what}_{state}", f"{text}: {'ok' if well else 'error'}", self.message, took)


def _mark(name: str, text: str, message: ActivationMessage, took: float | None = None) -> None:
    mark(name, text, message.transid, took, **about(message))
