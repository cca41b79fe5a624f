"""Pasted logs and events: which failures they show (spec: kubernetes.md §12).

Texts come from everywhere: with a journal's or a container's words before each line, quoted once more (JSON, Go's %q),
in colours, in the frames of a terminal's programs, broken where a window ended. All this is looked through.

A failure is told once, with the first line that shows it, and once more only where other words are in its place
(another path, another image). What no pattern matches is blamed on nothing.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate, islice

from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import Failure, Finding, LinePatch

LONGEST = 20_000
"""Characters of a line that are looked at."""
_MUCH = 200_000
"""Characters that nobody has pasted by hand."""
_PIECE, _OVERLAP = 3000, 500
"""Characters of it at a time: what is looked for is together, and takes its time where much is before it."""
SHOWN = 300
"""Characters of evidence."""
_WRAPPED = 6
"""Lines that a terminal may have made of one."""
_LINES = 50
_NARROW = 40
"""Columns: no window is that small."""
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]")
_FRAMES = " \t│┃║|"
_BOX = re.compile(r"[│┃║|].*[│┃║|]")
_RECORD = re.compile(
    r"\s*(?:\[?\d{4}[-/]\d\d|\[\w+\]|"
    r"[A-Z][a-z]{2} +\d+ \d\d:\d\d|time=|level=|\{|[EIWF]\d{4} |%\d\||(?:Warning|Normal)  )"
)
"""How a line begins that goes on with no other."""
_MATCHES = 20
"""Of a pattern in one text, at most."""


class Reading:
    """Lines as one text, the first of which is the text's `start`th, from 0."""

    def __init__(self, start: int, parts: Sequence[str], between: str = "") -> None:
        self.text = between.join(parts)
        self._start = start
        self._ends = list(accumulate(len(part) + len(between) for part in parts))

    def line(self, place: int) -> int:
        """Its number, from 1, of a place in the text."""
        return self._start + 1 + min(bisect_right(self._ends, place), len(self._ends) - 1)


_VOLUMES = (
    (("/usr/lib",), "apparmor", "Only runc's pause needs it, and nothing is lost without."),
    (("/run/runc", "/var/run/runc"), "runc", "Only runc's pause needs it, and nothing is lost without."),
    (("/sys/fs/cgroup",), "cgroup", "Only runc's pause needs it, and nothing is lost without."),
    (("/var/lib/docker", "/containers"), "dockerrootdir", "Logs are read over the engine's API then."),
)
"""Of the manifest of 2017: what is mounted from below which path, and what is lost without it."""


def explain(text: str) -> list[Finding]:
    """In the order of the lines that show them."""
    lines = [_COLOURS.sub("", line)[:LONGEST].strip("\r") for line in text.splitlines()]
    found: dict[tuple[str, str], Finding] = {}
    known = _likely(text) if len(text) > _MUCH else _PATTERNS
    for readings in _paragraphs(lines):
        for finding in next((shown for each in readings if (shown := [*_shown(each, known)])), ()):
            found.setdefault((finding.id, finding.cause), finding)
    if not found and len(text) <= _MUCH:
        for each in _broken([line.strip(_FRAMES) for line in lines]):
            for finding in _shown(each, _BROKEN):
                found.setdefault((finding.id, finding.cause), finding)
    return list(found.values())


def _paragraphs(lines: Sequence[str]) -> Iterator[Sequence[Reading]]:
    """Lines, together with those in which they go on, in the ways in which they may be read; the likeliest first."""
    framed = [line[1:-1].removeprefix(" ").removesuffix(" ") if _BOX.fullmatch(line) else line for line in lines]
    width = max((len(line) for line in framed if line.strip()), default=0)
    start = 0
    while start < len(framed):
        end = start + 1
        while end < len(framed) and end - start < _LINES and _goes_on(framed[end - 1], framed[end], width):
            end += 1
        part = framed[start:end]
        words = Reading(start, [line.strip(_FRAMES) for line in part], " ")
        full = [len(line) >= width - 1 for line in part[:-1]]
        yield [Reading(start, [*_cut(part, full, width)]), words] if any(full) else [words]
        start = end


def _goes_on(line: str, after: str, width: int) -> bool:
    """Whether a window, or who folds lines, had no room for the next word."""
    word = after.strip().partition(" ")[0]
    if width < _NARROW or not word or _RECORD.match(after):
        return False
    return len(line.rstrip()) >= width / 2 and len(line.rstrip()) + len(word) + 1 > width


def _cut(part: Sequence[str], full: Sequence[bool], width: int) -> Iterator[str]:
    """Full lines go on at once, in the middle of a word. A blank at the end of one may have been lost."""
    for line, begins, ends in zip(part, (False, *full), (*full, False), strict=True):
        own = line if begins else line.lstrip(_FRAMES)
        yield own.ljust(len(own) + width - len(line)) if ends else f"{own} "


def _broken(lines: Sequence[str]) -> Iterator[Reading]:
    """Who copies breaks lines where there is a blank."""
    return (Reading(number, lines[number : number + _WRAPPED], "\n") for number in range(len(lines)))


def _shown(reading: Reading, known: "Patterns") -> Iterator[Finding]:
    if not reading.text.strip():
        return
    for start in range(0, max(len(reading.text) - _OVERLAP, 1), _PIECE - _OVERLAP):
        piece = reading.text[start : start + _PIECE]
        small = piece.lower()
        for failure, patterns in known:
            for pattern, needles in patterns:
                if needles and not any(needle in small for needle in needles):
                    continue
                if matches := [*islice(pattern.finditer(piece), _MATCHES)]:
                    places = [reading.line(start + match.start()) for match in matches]
                    yield from map(partial(_finding, failure), matches, places)
                    break


def _finding(failure: Failure, match: re.Match[str], line: int) -> Finding:
    where = f"line {line}"
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


Patterns = Sequence[tuple[Failure, Sequence[tuple[re.Pattern[str], Sequence[str]]]]]
"""Each with words of which one is in all that it matches: to look for them is a hundred times faster."""


_QUOTE = re.compile(r'(\[(?:\\.|[^\]\\])*\])|(?:\\\\\?)?\\?"')
"""In a pattern: a set of characters, or a quotation mark."""


def _compiled(space: str) -> Patterns:
    """`space`: what a blank in a pattern stands for. A quotation mark may have been quoted again, and again."""
    return [
        (failure, [(re.compile(_loose(each, space), re.IGNORECASE), _needles(each)) for each in failure.patterns])
        for failure in FAILURES.values()
        if failure.patterns
    ]


def _loose(pattern: str, space: str) -> str:
    return _QUOTE.sub(lambda match: match[1] or r'\\*"', pattern).replace(" ", space)


_TOKEN = re.compile(
    r"(?P<set>\[(?:\\.|[^\]\\])*\])|\\(?P<escape>.)|(?P<open>\()|(?P<close>\))|(?P<bar>\|)|(?P<count>[?*{])"
    r"|(?P<end>[+^$. ])|(?P<plain>.)"
)
_NAMED = re.compile(r"\(\?P<\w+>((?:[^()\\]|\\.)*)\)")
"""A pattern that is one group."""
_SHORTEST = 4
"""Letters of a word worth looking for."""


def _likely(text: str) -> Patterns:
    """Those of whose words one is in the text: of a large one few are."""
    small = text.lower()
    there = [
        (failure, [each for each in patterns if not each[1] or any(needle in small for needle in each[1])])
        for failure, patterns in _PATTERNS
    ]
    return [each for each in there if each[1]]


def _needles(pattern: str) -> list[str]:
    """A literal word of each alternative; none where one has no such word."""
    runs: list[list[str]] = [[""]]
    depth = 0
    if match := _NAMED.fullmatch(pattern):
        return _needles(match[1])
    for token in _TOKEN.finditer(pattern):
        kind, text = token.lastgroup, token[0]
        depth += (kind == "open") - (kind == "close")
        if depth == 0 and kind == "bar":
            runs.append([""])
        elif depth == 0 and (kind == "plain" or (kind == "escape" and text[1] in ".-/#")):
            runs[-1][-1] += text[-1]
        else:
            if depth == 0 and kind == "count":
                runs[-1][-1] = runs[-1][-1][:-1]
            runs[-1].append("")
    longest = [max(words, key=len).lower() for words in runs]
    return longest if all(len(word) >= _SHORTEST for word in longest) else []


_PATTERNS = _compiled(" ")
_BROKEN = _compiled(r"\s")
"""A line may end where a blank is, and nowhere else: what is between two words of a pattern is in one line."""
