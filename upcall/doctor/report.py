"""How findings are told: a line for people, JSON for programs, an exit code for scripts (spec: kubernetes.md §12)."""

from collections.abc import Sequence

import msgspec

from upcall.doctor.finding import Finding

WELL, WARNINGS, ERRORS = 0, 1, 2
"""Exit codes."""


def code(findings: Sequence[Finding]) -> int:
    if any(each.severity == "error" for each in findings):
        return ERRORS
    return WARNINGS if findings else WELL


def line(finding: Finding) -> str:
    """All that has to be known, in one line."""
    return f"{finding.id} {finding.severity} ({finding.where}): {finding.cause} {finding.fix}"


def as_json(findings: Sequence[Finding]) -> str:
    """`{"findings": […]}`, indented."""
    return msgspec.json.format(msgspec.json.encode({"findings": findings}), indent=4).decode()
