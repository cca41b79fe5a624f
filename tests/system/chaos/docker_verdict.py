"""What a fault of the engine explains: an activation that was under way in a container that went, and nothing else.

A container that cannot be made because the engine is away costs no activation: that waits. Where containers outlive
their engine not even one that is under way is lost.
"""

from tests.system.chaos.actions import Kind
from tests.system.chaos.ledger import Call
from tests.system.chaos.verdict import DEATHS, Verdict
from upcall.model import texts

ENGINE_DEATHS = frozenset({"killed-without-engine", "killed-as-engine-hangs"})
"""The platform dies, too."""
ABSENCES = frozenset({"engine-killed", "engine-ended", "engine-stopped", "containerd-killed"}) | ENGINE_DEATHS
ENDS = frozenset({"engine-killed", "engine-ended"})
MEDDLING = frozenset({"containers-killed", "containers-shot", "containers-removed", "containers-stopped"})
RETURN = 6.0
"""Seconds after which it is known that the engine is back, and calls are taken."""


class DockerVerdict(Verdict):
    """Of an engine whose containers die with it."""

    ends = ENDS
    """Faults in which all containers go."""

    def _explained(self, call: Call) -> bool:
        at_work = self._ledger.at_work
        if call.status == 0 and at_work(ENGINE_DEATHS, call.sent, call.answered):
            return True
        if call.status == 503 and at_work(ABSENCES, call.sent, call.answered, RETURN):
            return "error" in call.body
        if call.status == 202 and call.id and at_work(ABSENCES, call.sent, call.answered, RETURN):
            return True
        return super()._explained(call)

    def _failure_explained(self, kind: Kind, call: Call, until: float, says: str) -> bool:
        at_work = self._ledger.at_work
        if says in (texts.INTERRUPTED, texts.SHUTDOWN):
            return not kind.idempotent and at_work(DEATHS | ENGINE_DEATHS, call.sent, until)
        if says in (texts.RUN_DIED, texts.INIT_DIED):
            return at_work(MEDDLING | self.ends | DEATHS | ENGINE_DEATHS, call.sent, until)
        if says == texts.PROVISION:
            return at_work(MEDDLING, call.sent, until, 3.0)
        return False


class SurvivorsVerdict(DockerVerdict):
    """Of an engine whose containers outlive it."""

    ends = frozenset()
