"""How findings are told: lines for people, JSON for programs, an exit code for scripts (spec: kubernetes.md §12)."""

import textwrap
from collections.abc import Iterator, Sequence

import msgspec

from upcall.doctor.examine import Report
from upcall.doctor.finding import CommandPatch, Finding, LinePatch, ObjectPatch, Patch, plain

WELL, WARNINGS, ERRORS = 0, 1, 2
"""Exit codes."""
_WIDTH = 110


def code(findings: Sequence[Finding]) -> int:
    if any(each.severity == "error" for each in findings):
        return ERRORS
    return WARNINGS if findings else WELL


def line(finding: Finding) -> str:
    """All that has to be known, in one line."""
    return f"{finding.id} {finding.severity} ({finding.where}): {finding.cause} {finding.fix}"


def sentence(finding: Finding) -> str:
    """For a pod's status."""
    return f"{finding.id}: {finding.cause} {finding.fix}"


def table(report: Report) -> str:
    """For people: a block for each finding, and what could not be seen."""
    lines = [f"Looked at {plain(report.looked_at)}."]
    for each in report.findings:
        lines += ["", f"{each.id}  {each.severity:<7}  {each.where}"]
        lines += [*_cell("seen", each.evidence), *_cell("cause", each.cause), *_cell("fix", each.fix)]
        if each.patch is not None:
            lines += _cell("patch", _described(each.patch))
    lines += ["", *(f"Not seen: {plain(each)}" for each in report.unseen)]
    if report.left:
        lines.append(f"Not looked at: {', '.join(report.left)}.")
    errors = sum(each.severity == "error" for each in report.findings)
    warnings = len(report.findings) - errors
    lines.append(f"{errors} errors, {warnings} warnings." if report.findings else "Nothing is wrong.")
    return "\n".join(lines) + "\n"


def as_json(findings: Sequence[Finding], report: Report | None = None) -> str:
    """`{"findings": […]}`, with what was looked at where something was."""
    about = {"looked_at": report.looked_at, "unseen": report.unseen, "left": report.left} if report else {}
    found = msgspec.json.encode({**about, "findings": findings})
    return msgspec.json.format(found, indent=4).decode() + "\n"


def commands(findings: Sequence[Finding]) -> Iterator[Sequence[str]]:
    """Of the patches that are commands, or are applied by one."""
    for each in findings:
        if isinstance(each.patch, ObjectPatch):
            yield _kubectl(each.patch)
        elif isinstance(each.patch, CommandPatch):
            yield each.patch.argv


def _kubectl(patch: ObjectPatch) -> Sequence[str]:
    where = ("-n", patch.namespace) if patch.namespace else ()
    operations = msgspec.json.encode(patch.operations).decode()
    return ("kubectl", *where, "patch", patch.kind.lower(), patch.name, "--type=json", "-p", operations)


def _described(patch: Patch) -> str:
    match patch:
        case ObjectPatch():
            return f"--fix changes {patch.kind} {patch.name}, --patch-out writes how"
        case LinePatch():
            return f"{patch.file} without {', '.join(patch.delete)}"
        case CommandPatch():
            return " ".join(patch.argv)


def _cell(name: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=f"    {name:<6} ", subsequent_indent=" " * 11)
