"""What has to be true when it is over: every complaint says what it is about, with the stories of those concerned.

- each id that a client was told, and each message of an Invoker's topic, has one record and a free slot;
- nothing was sent twice, and code ran at most once for it unless its action is idempotent;
- what clients and controllers were told is what the record says;
- whatever failed, a fault was at work that explains it;
- groups have done all of their topics; memory and descriptors are what they were; the logs tell of no bug.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tests.system.chaos.actions import token_of
from tests.system.chaos.ledger import Call, Ledger
from tests.system.chaos.verdict import NOT_STARTED
from tests.system.fleet.evidence import Ack, Evidence, Record
from tests.system.fleet.kinds import BY_NAME
from upcall.model import texts

CONTROLLERS = frozenset({"controller-killed", "controller-drained", "controller-doubled"})
BROKER = frozenset({"broker-killed", "broker-frozen", "broker-and-invoker-killed"})
DATABASE = frozenset({"database-killed", "database-stopped", "database-frozen", "database-and-invoker-killed"})
INVOKERS = frozenset(
    {
        "invoker-killed",
        "invoker-replaced-late",
        "invoker-drained",
        "invoker-stopped",
        "invoker-doubled",
        "broker-and-invoker-killed",
        "database-and-invoker-killed",
        "all-invokers-killed",
    }
)
ABSENCES = BROKER | DATABASE | INVOKERS | {"invoker-disabled"}
ANSWERED = (200, 500, 502)
"""The record is in the answer."""
MENDING = 30.0
"""Seconds within which everybody has found everybody again."""
LATE = 150.0
"""How long after it was sent a call may still wait for its Invoker."""
WAIT = 59.0
"""A blocking call is told its id alone after a minute."""
SHOWN = 6
"""Stories a complaint."""


class Verdict:
    """`runs` counts how often code ran, by token; None where nobody counted."""

    def __init__(self, ledger: Ledger, evidence: Evidence, runs: Counter[str] | None) -> None:
        self._ledger = ledger
        self._evidence = evidence
        self._runs: Counter[str] = runs or Counter()
        self._records = evidence.records

    def complaints(self) -> Iterator[str]:
        """All of them."""
        calls, evidence = self._ledger.calls, self._evidence
        yield from self._ledger.complaints
        yield from self._of("ids that a client was told and that have no record", [c for c in calls if self._lost(c)])
        yield from self._of("answers that are not what was recorded", [c for c in calls if self._contradicted(c)])
        yield from self._of("calls whose answer nothing explains", [c for c in calls if not self._explained(c)])
        yield from self._of("outcomes that nothing explains", [c for c in calls if not self._outcome_explained(c)])
        yield from self._of("calls whose code ran more than once", [c for c in calls if self._ran_twice(c)])
        yield from self._of("calls that were answered by no code", self._silent())
        yield from self._ids("messages without a record", [s.id for s in evidence.sent if s.id not in self._records])
        yield from self._ids(
            "messages whose slot was never freed", [s.id for s in evidence.sent if not self._freed(s.id)]
        )
        yield from self._ids("messages whose acks are not what was recorded", self._misacknowledged())
        yield from self._ids(
            "records of what nobody has sent", list(set(self._records) - {s.id for s in evidence.sent})
        )
        yield from self._ids("ids that were sent more than once", _repeated(Counter(s.id for s in evidence.sent)))
        yield from self._ids("ids with several records", _repeated(evidence.copies))
        again = _repeated(Counter(s.token for s in evidence.sent if s.token))
        yield from self._ids("calls sent more than once", [s.id for s in evidence.sent if s.token in again])
        for name, left in evidence.groups.items():
            yield f"{name} has not done all: {left}"

    def _of(self, what: str, calls: Sequence[Call]) -> Iterator[str]:
        if calls:
            stories = [f"    {call.story()}\n        {self._evidence.story(call.id)}" for call in calls[:SHOWN]]
            yield "\n".join([f"{len(calls)} {what}:", *stories])

    def _ids(self, what: str, ids: Sequence[str]) -> Iterator[str]:
        if ids:
            calls = {call.id: call for call in self._ledger.calls if call.id}
            stories = [
                f"    {self._evidence.story(id)}\n        {calls[id].story() if id in calls else 'told to nobody'}"
                for id in ids[:SHOWN]
            ]
            yield "\n".join([f"{len(ids)} {what}:", *stories])

    def _lost(self, call: Call) -> bool:
        return bool(call.id) and call.id not in self._records

    def _contradicted(self, call: Call) -> bool:
        record = self._records.get(call.id)
        if call.status not in ANSWERED or record is None:
            return False
        told = call.body["response"]
        return bool(told["status"] != record.status or told["result"] != record.result)

    def _explained(self, call: Call) -> bool:
        at_work, until = self._ledger.at_work, call.answered
        if call.mode == "hasty":
            return True
        if call.status == 0:
            return at_work(CONTROLLERS, call.sent, until)
        if call.status == 503:
            return "error" in call.body and at_work(ABSENCES | {"controller-drained"}, call.sent - MENDING, until)
        if call.status == 202:
            waited = until - call.sent > WAIT and at_work(ABSENCES, call.sent - MENDING, until)
            return bool(call.id) and (call.mode != "blocking" or waited or at_work(CONTROLLERS, call.sent, until))
        return call.status in ANSWERED and bool(call.id)  # what it says is the record's (`_outcome_explained`)

    def _outcome_explained(self, call: Call) -> bool:
        record = self._records.get(call.id)
        if record is None:
            return True  # there is another complaint of it
        kind = BY_NAME[call.action]
        if record.status == kind.status and (not kind.tells or token_of(record.result) == call.token):
            return True
        says, at_work = _error(record), self._ledger.at_work
        until = call.answered if call.status in ANSWERED else call.sent + LATE
        if says in (texts.INTERRUPTED, texts.SHUTDOWN):
            return (says == texts.SHUTDOWN or not kind.idempotent) and at_work(INVOKERS, call.sent, until)
        died = says in (texts.RUN_DIED, texts.INIT_DIED) or NOT_STARTED.search(says) is not None
        return died and at_work(INVOKERS, call.sent, until, 3.0)

    def _ran_twice(self, call: Call) -> bool:
        return self._runs[call.token] > 1 and not BY_NAME[call.action].idempotent

    def _silent(self) -> list[Call]:
        """None, as long as few: what is told by UDP may get lost."""
        found = [call for call in self._ledger.calls if self._succeeded(call) and not self._runs[call.token]]
        return found if self._runs and len(found) > len(self._ledger.calls) // 50 else []

    def _succeeded(self, call: Call) -> bool:
        record = self._records.get(call.id)
        return record is not None and record.status == "success"

    def _freed(self, id: str) -> bool:
        return any(ack.free for ack in self._evidence.acks.get(id, []))

    def _misacknowledged(self) -> list[str]:
        """A slot may be freed before the record is durable (docs/adr/0003-delivery.md), and once more by the next life;
        a result may be told before, but has to become the record (docs/adr/0017-recovery.md)."""
        return [
            id
            for id, acks in self._evidence.acks.items()
            if (record := self._records.get(id)) is not None and not _agree(acks, record)
        ]


def _agree(acks: Sequence[Ack], record: Record) -> bool:
    system = record.status == "whisk internal error"
    freed = [ack.system == system for ack in acks if ack.free]
    right = any(freed) or not freed or _error(record) == texts.INTERRUPTED
    return right and all(ack.status in (None, record.status) for ack in acks)


def _error(record: Record) -> str:
    return str(record.result.get("error", "")) if isinstance(record.result, dict) else ""


def _repeated(counter: Counter[str]) -> list[str]:
    return [each for each, count in counter.items() if count > 1]


def log_complaints(lines: Sequence[dict[str, Any]], ledger: Ledger, zero: float) -> Iterator[str]:
    """Errors while no fault was at work; `zero` is the ledger's in epoch seconds."""
    found = [
        line
        for line in lines
        if line["level"] in ("error", "critical")
        and not any(fault.overlaps(line["at"] - zero, line["at"] - zero, MENDING) for fault in ledger.faults)
    ]
    if found:
        yield "\n".join([f"{len(found)} errors in logs that nothing explains:", *map(json.dumps, found[:SHOWN])])
