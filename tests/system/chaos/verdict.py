"""What has to be true when it is over: every complaint says what it is about, with the stories of the ids concerned.

- each id that a client was told has one record, and an answered call's record is what was answered;
- no token is in two records, and code ran at most once for it unless its action is idempotent;
- whatever failed, a fault was at work that explains it; in the calm at the end nothing failed;
- the journal is empty, the database whole; memory, descriptors and threads are what they were;
- the log tells of no bug.
"""

import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.system.chaos.actions import BY_NAME, Kind, token_of
from tests.system.chaos.ledger import Call, Ledger
from tests.system.chaos.lives import Sample
from upcall.model import texts
from upcall.model.activation import STATUS, Activation

DEATHS = frozenset({"platform-killed", "killed-with-guardian", "drained", "unwritable", "killed-on-full-disk"})
DISK = frozenset({"disk-full", "writes-refused", "killed-on-full-disk"})
SANDBOXES = frozenset({"zygote-killed", "sandboxes-killed"})
STOPS = frozenset({"zygote-stopped", "zygote-killed", "platform-stopped"})
ANSWERED = (200, 500, 502)
"""The record is in the answer."""
MENDING = 15.0
"""Seconds within which intake goes on after a disk that was full."""
SHOWN = 8
"""Stories a complaint."""
GROWTH, HEADROOM = 1.3, 20 << 20
"""What the resident memory may have grown by after the warm-up: a factor, and bytes."""
LATE = 100.0
"""How long after it was sent a call may still run: nobody waits for it."""
NOT_STARTED = re.compile(f"{re.escape(texts.PROVISION)}|zygote|[Tt]he (sandbox|container) (has|was|cannot|does not)")
"""What is said where a container could not be made."""
BUGS = re.compile(
    r"Traceback|CRITICAL|never retrieved|never awaited|InvalidTransition|Exception in callback|AssertionError"
)


class Book:
    """The records of a stopped platform's database, by activation id."""

    def __init__(self, database: Path) -> None:
        with sqlite3.connect(database) as connection:
            self.whole = [row[0] for row in connection.execute("PRAGMA integrity_check")] == ["ok"]
            self.journal = [row[0] for row in connection.execute("SELECT id FROM journal")]
            rows = connection.execute("SELECT doc FROM activations").fetchall()
        connection.close()
        records = [msgspec.json.decode(doc, type=Activation) for (doc,) in rows]
        self.records = {record.activation_id: record for record in records}
        self.results = {id: _result(record) for id, record in self.records.items()}
        self.status = {id: STATUS[record.response.status_code] for id, record in self.records.items()}

    def story(self, id: str) -> str:
        record = self.records.get(id)
        if record is None:
            return f"{id}: no record"
        return f"{id}: {self.status[id]}, {str(self.results[id])[:200]}, {record.start} to {record.end}"


class Verdict:
    """`runs` counts how often code ran, by token; None where nobody counted. `kinds` are what was called, by name."""

    def __init__(
        self, ledger: Ledger, book: Book, runs: Counter[str] | None, kinds: Mapping[str, Kind] = BY_NAME
    ) -> None:
        self._ledger = ledger
        self._book = book
        self._runs = runs
        self._kinds = kinds

    def complaints(self) -> Iterator[str]:
        """All of them."""
        yield from self._ledger.complaints
        yield from self._of("ids that a client was told and that have no record", self._lost())
        yield from self._of("answers that are not what was recorded", self._contradicted())
        yield from self._of("calls whose answer nothing explains", self._unexplained_answers())
        yield from self._of("activations whose outcome nothing explains", self._unexplained_outcomes())
        yield from self._of("activations that end before they begin", self._backwards())
        yield from self._twice()
        if self._book.journal:
            yield f"{len(self._book.journal)} rows are left in the journal: {self._book.journal[:SHOWN]}"
        if not self._book.whole:
            yield "the database is damaged"

    def _of(self, what: str, calls: Sequence[Call]) -> Iterator[str]:
        if calls:
            stories = [f"    {call.story()}\n        {self._book.story(call.id)}" for call in calls[:SHOWN]]
            yield "\n".join([f"{len(calls)} {what}:", *stories])

    def _lost(self) -> list[Call]:
        nested = [
            Call(
                f"{call.token}+", "echo", "blocking", call.sent, call.answered, id=self._book.results[call.id]["nested"]
            )
            for call in self._ledger.calls
            if call.action == "nested" and self._answered(call.id) and self._book.results[call.id].get("nested")
        ]
        return [call for call in (*self._ledger.calls, *nested) if call.id and call.id not in self._book.records]

    def _answered(self, id: str) -> bool:
        return self._book.status.get(id) == "success"

    def _contradicted(self) -> list[Call]:
        return [
            call
            for call in self._ledger.calls
            if call.status in ANSWERED
            and call.id in self._book.records
            and call.body["response"] != {**call.body["response"], **_response(self._book, call.id)}
        ]

    def _unexplained_answers(self) -> list[Call]:
        return [call for call in self._ledger.calls if call.mode != "hasty" and not self._explained(call)]

    def _explained(self, call: Call) -> bool:
        at_work, until = self._ledger.at_work, call.answered
        if call.status == 0:
            return at_work(DEATHS, call.sent, until)
        if call.status == 503:
            mended = at_work(DISK, call.sent - MENDING, until)
            return "error" in call.body and (mended or at_work(frozenset({"drained"}), call.sent, until))
        if call.status == 202:
            return bool(call.id) and (call.mode != "blocking" or at_work(frozenset({"drained"}), call.sent, until))
        return call.status in ANSWERED and bool(call.id)  # what it says is the record's (`_unexplained_outcomes`)

    def _unexplained_outcomes(self) -> list[Call]:
        return [
            call for call in self._ledger.calls if call.id in self._book.records and not self._outcome_explained(call)
        ]

    def _outcome_explained(self, call: Call) -> bool:
        kind, status = self._kinds[call.action], self._book.status[call.id]
        token = token_of(self._book.results[call.id])
        if status == kind.status and (status == "action developer error" or token == call.token):
            return True
        says = str(self._book.results[call.id].get("error", ""))
        until = call.answered if call.status in ANSWERED else call.sent + LATE
        return self._failure_explained(kind, call, until, says)

    def _failure_explained(self, kind: Kind, call: Call, until: float, says: str) -> bool:
        at_work = self._ledger.at_work
        if says in (texts.INTERRUPTED, texts.SHUTDOWN):
            return not kind.idempotent and at_work(DEATHS, call.sent, until)
        if says in (texts.RUN_DIED, texts.INIT_DIED):
            return at_work(SANDBOXES | DEATHS, call.sent, until)
        if NOT_STARTED.search(says):
            return at_work(SANDBOXES | STOPS | DISK | DEATHS, call.sent, until, 3.0)
        return False

    def _backwards(self) -> list[Call]:
        found = []
        for call in self._ledger.calls:
            record = self._book.records.get(call.id)
            if record and (record.end < record.start or (record.duration or 0) < 0):
                found.append(call)
        return found

    def _twice(self) -> Iterator[str]:
        """Tokens in more than one record; code that ran more than once."""
        by_token: dict[str, list[str]] = defaultdict(list)
        for id, result in self._book.results.items():
            if token := token_of(result):
                by_token[token].append(id)
        sent = {call.token: call for call in self._ledger.calls}
        for token, ids in by_token.items():
            if len(ids) > 1 and token.removesuffix("+") in sent:
                yield f"token {token} has {len(ids)} records: {[self._book.story(id) for id in ids]}"
        ran: Counter[str] = self._runs or Counter()
        again = [
            call
            for call in self._ledger.calls
            if ran.get(call.token, 0) > 1 and not self._kinds[call.action].idempotent
        ]
        yield from self._of("calls whose code ran more than once", again)
        silent = [call for call in self._ledger.calls if ran and self._answered(call.id) and not ran.get(call.token)]
        if len(silent) > len(self._ledger.calls) // 20:  # what is told by UDP may get lost
            yield from self._of("calls that were answered by no code", silent)


def memory_complaints(samples: Sequence[Sample]) -> Iterator[str]:
    """Of one life: the last third compared with the third after the warm-up."""
    third = len(samples) // 3
    if third < 3:
        yield f"the last life was too short to look at its memory: {len(samples)} samples"
        return
    warm, last = samples[third : 2 * third], samples[-third:]
    before, after = max(each.memory for each in warm), min(each.memory for each in last)
    if after > before * GROWTH + HEADROOM:
        yield f"resident memory grew from {before >> 20} to {after >> 20} MB: {[each.memory >> 20 for each in samples]}"
    for what in ("descriptors", "threads"):
        most, least = max(getattr(each, what) for each in warm), min(getattr(each, what) for each in last)
        if least > most + 20:
            yield f"{what} grew from {most} to {least}: {[getattr(each, what) for each in samples]}"


def log_complaints(outputs: Sequence[Path]) -> Iterator[str]:
    for output in outputs:
        text = output.read_text(errors="replace")
        if found := BUGS.search(text):
            yield f"the log tells of a bug:\n{text[max(0, found.start() - 600) : found.end() + 2500]}"


def _result(record: Activation) -> dict[str, Any]:
    result = record.response.result
    decoded = msgspec.json.decode(result) if isinstance(result, msgspec.Raw) else result
    return decoded if isinstance(decoded, dict) else {}


def _response(book: Book, id: str) -> dict[str, Any]:
    return {"status": book.status[id], "result": book.results[id]}
