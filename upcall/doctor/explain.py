"""Pasted logs and events: which failures they show (spec: kubernetes.md §12).

A failure is told once, with the first line that shows it, and once more only where other words are in its place
(another path, another image). What no pattern matches is blamed on nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import Failure, Finding, LinePatch

LONGEST = 20_000
"""Characters of a line that are looked at."""
SHOWN = 300
"""Characters of evidence."""
_WRAPPED = 4
"""Lines that a terminal may have made of one."""
_VOLUMES = (
    (("/usr/lib",), "apparmor", "Only runc's pause needs it, and nothing is lost without."),
    (("/run/runc", "/var/run/runc"), "runc", "Only runc's pause needs it, and nothing is lost without."),
    (("/sys/fs/cgroup",), "cgroup", "Only runc's pause needs it, and nothing is lost without."),
    (("/var/lib/docker", "/containers"), "dockerrootdir", "Logs are read over the engine's API then."),
)
"""Of the manifest of 2017: what is mounted from below which path, and what is lost without it."""


def explain(text: str) -> list[Finding]:
    """In the order of the lines that show them."""
    lines = [line.strip()[:LONGEST] for line in text.splitlines()]
    found: dict[tuple[str, str], Finding] = {}
    for number, line in enumerate(lines):
        for finding in _shown(line, f"line {number + 1}"):
            found.setdefault((finding.id, finding.cause), finding)
    if not found:
        for finding in _unwrapped(lines):
            found.setdefault((finding.id, finding.cause), finding)
    return list(found.values())


def _unwrapped(lines: Sequence[str]) -> Iterator[Finding]:
    """A terminal breaks long lines, and so does who copies them."""
    for number in range(len(lines)):
        joined = "\n".join(lines[number : number + _WRAPPED])
        yield from _shown(joined, f"line {number + 1}", _BROKEN)


def _shown(line: str, where: str, known: "Patterns | None" = None) -> Iterator[Finding]:
    for failure, patterns in known or _PATTERNS:
        for pattern in patterns:
            if match := pattern.search(line):
                yield _finding(failure, match, where)
                break


def _finding(failure: Failure, match: re.Match[str], where: str) -> Finding:
    words: dict[str, str] = {
        name: value.strip() for name, value in match.groupdict().items() if value and value.strip()
    }
    evidence = _around(match)
    if failure.id == "HOST-01" and (more := _volume(words["path"])):
        return failure.found(where, evidence, more[1], {**words, **more[0]})
    return failure.found(where, evidence, None, words)


def _volume(path: str) -> tuple[Mapping[str, str], LinePatch] | None:
    for roots, name, loss in _VOLUMES:
        if any(path == root or path.startswith(f"{root}/") for root in roots):
            line = f"- name: {name}"
            words = {
                "volume": f"{name} mount",
                "lines": f": `{line}` and what belongs to it, under volumeMounts and under volumes",
                "loss": loss,
            }
            return words, LinePatch(file="invoker.yml", delete=[line])
    return None


def _around(match: re.Match[str]) -> str:
    """The line, or where it is long what is around the place."""
    line = match.string.replace("\n", " ")
    if len(line) <= SHOWN:
        return line
    start = max(0, min(match.start() - 20, len(line) - SHOWN))
    return f"{'…' if start else ''}{line[start : start + SHOWN]}…"


Patterns = Sequence[tuple[Failure, Sequence[re.Pattern[str]]]]


def _compiled(space: str) -> Patterns:
    """`space`: what a blank in a pattern stands for."""
    return [
        (failure, [re.compile(pattern.replace(" ", space), re.IGNORECASE) for pattern in failure.patterns])
        for failure in FAILURES.values()
        if failure.patterns
    ]


_PATTERNS = _compiled(" ")
_BROKEN = _compiled(r"\s")
"""A line may end where a blank is, and nowhere else: what is between two words of a pattern is in one line."""
