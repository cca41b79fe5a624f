"""A tiny action on a running platform: is it put, started, answered, recorded, and are its lines there? The first step
that fails names the failure (spec: kubernetes.md §10: HOST-07, K8S-12, K8S-13, K8S-17).

It is called without waiting, and its record is asked for: so no request is longer than a moment. Where lines are
missing it is called once more: a container that has been thrown away after its first run is HOST-07.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from uuid import uuid4

from upcall.doctor.examine import Report
from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import Finding

PATIENCE = 6.0
"""Seconds for a record: a cold start is in it."""
LATE = 1.5
"""Seconds for its lines, behind the record."""
AGAIN = 2.0
"""Seconds for the second record."""
PAUSE = 0.1
LINE = "the canary sings"
CODES = {
    "nodejs": f'function main(args) {{ console.log("{LINE}"); return {{sung: args.song}}; }}',
    "python": f'def main(args):\n    print("{LINE}")\n    return {{"sung": args["song"]}}\n',
}
"""By family of kinds."""
_REFUSED, _BROKEN = 400, 500


class Answer(Protocol):
    @property
    def status(self) -> int: ...

    @property
    def document(self) -> Any:
        """Of JSON; None of what is none."""


class Platform(Protocol):
    """Who asks as a subject of it."""

    def ask(self, method: str, *segments: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Answer: ...

    def operate(self, method: str, path: str) -> Answer: ...


def sing(platform: Platform, where: str) -> Report:
    """`where`: the platform's address. Raises what `platform` raises."""
    kind = _kind(platform.operate("GET", "/").document)
    if kind is None:
        return _unseen(where, f"the platform at {where} offers no kind of {' or '.join(CODES)}")
    name = f"upcall-doctor-{uuid4().hex[:8]}"
    action = {
        "exec": {"kind": kind, "code": CODES[kind.partition(":")[0]]},
        "limits": {"timeout": int(PATIENCE * 1000)},
    }
    put = platform.ask("PUT", "_", "actions", name, body=action)
    if put.status >= _REFUSED:
        return _unseen(where, f"the platform at {where} does not take an action: {_why(put)}")
    began = time.monotonic()
    try:
        found = [*_judged(platform, name, f"the platform at {where}")]
    finally:
        platform.ask("DELETE", "_", "actions", name)
    how = "" if found else f", which answered in {time.monotonic() - began:.1f} s"
    return Report(looked_at=f"the platform at {where} by a canary of {kind}{how}", findings=found)


def _judged(platform: Platform, name: str, where: str) -> Iterator[Finding]:
    song = uuid4().hex
    started = platform.ask("POST", "_", "actions", name, body={"song": song})
    if started.status >= _REFUSED:
        why = _why(started)
        yield FAILURES["K8S-12"].found(where, f"{started.status}: {why}", None, {"why": why})
        return
    id = str(started.document["activationId"])
    record = _record(platform, id, PATIENCE)
    if record is None:
        why = f"the activation {id} was accepted and has not ended in {PATIENCE:g} s"
        yield FAILURES["K8S-13"].found(where, why, None, {"why": why}).but(severity="error")
    elif (record.get("response") or {}).get("result") != {"sung": song}:
        response = record.get("response") or {}
        why = f"{response.get('status')}: {str(response.get('result'))[:200]}"
        yield FAILURES["K8S-13"].found(where, why, None, {"why": why}).but(severity="error")
    elif not _printed(platform, id, record):
        yield from _mute(platform, name, id, where)


def _mute(platform: Platform, name: str, id: str, where: str) -> Iterator[Finding]:
    """It ran, and its line is nowhere."""
    again = platform.ask("POST", "_", "actions", name, body={"song": id})
    record = _record(platform, str((again.document or {}).get("activationId", "")), AGAIN) or {}
    times = [each.get("key") for each in record.get("annotations") or ()]
    evidence = f"the activation {id} has printed a line, and no log has it"
    if "initTime" in times:
        evidence += "; the next one was cold again"
        yield FAILURES["HOST-07"].found(where, evidence, None, {"path": "the place where it looks for them"})
    else:
        yield FAILURES["K8S-17"].found(where, evidence)


def _record(platform: Platform, id: str, patience: float) -> dict[str, Any] | None:
    deadline = time.monotonic() + patience
    while id and time.monotonic() < deadline:
        answer = platform.ask("GET", "_", "activations", id)
        if answer.status < _REFUSED and isinstance(answer.document, dict):
            return answer.document
        time.sleep(PAUSE)
    return None


def _printed(platform: Platform, id: str, record: Mapping[str, Any]) -> bool:
    deadline, lines = time.monotonic() + LATE, record.get("logs") or []
    while not any(LINE in str(line) for line in lines):
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE)
        answer = platform.ask("GET", "_", "activations", id, "logs")
        lines = (answer.document or {}).get("logs") or [] if answer.status < _BROKEN else []
    return True


def _kind(described: Any) -> str | None:
    families = described.get("runtimes") if isinstance(described, dict) else None
    for family in CODES:
        kinds = [each for each in (families or {}).get(family) or () if not each.get("deprecated")]
        for each in sorted(kinds, key=lambda each: not each.get("default")):
            return str(each["kind"])
    return None


def _why(answer: Answer) -> str:
    told = answer.document
    return str(told["error"]) if isinstance(told, dict) and "error" in told else f"HTTP {answer.status}"


def _unseen(where: str, why: str) -> Report:
    return Report(looked_at=f"the platform at {where}", findings=(), unseen=[f"The canary did not run: {why}"])
