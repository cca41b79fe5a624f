"""What has become of the documents of a transfer: counts by kind, and what is wrong with which."""

from collections import Counter
from collections.abc import Callable
from typing import Literal

import msgspec

Fate = Literal["copied", "replaced", "equal", "different"]
WORDS: dict[Fate, str] = {
    "copied": "copied",
    "replaced": "replaced",
    "equal": "there already",
    "different": "there with other content, and left so",
}
PLURALS = {
    "limits": "limits",
    "package": "packages",
    "action": "actions",
    "trigger": "triggers",
    "rule": "rules",
    "subject": "subjects",
    "activation": "activations",
}


class Problem(msgspec.Struct, frozen=True):
    """A document that is not copied, by the database and the id that it has where it comes from."""

    database: str
    id: str
    why: str

    def __str__(self) -> str:
        return f"{self.database} {shown(self.id)}: {self.why}"


class Report:
    """`on_problem` hears of each as it is found, `on_seen` how many documents there were so far."""

    def __init__(self, on_problem: Callable[[Problem], None], on_seen: Callable[[int], None]) -> None:
        self._on_problem, self._on_seen = on_problem, on_seen
        self._fates: Counter[tuple[str, Fate]] = Counter()
        self.problems = 0
        self.seen = 0

    def count(self, kind: str, fate: Fate) -> None:
        self._fates[kind, fate] += 1
        self._see()

    def problem(self, database: str, id: str, why: str) -> None:
        self.problems += 1
        self._on_problem(Problem(database, id, why))
        self._see()

    def _see(self) -> None:
        self.seen += 1
        self._on_seen(self.seen)

    @property
    def whole(self) -> bool:
        """Everything is in the target, as it is in the source."""
        return self.problems == 0 and not any(fate == "different" for _, fate in self._fates)

    def of(self, kind: str, fate: Fate) -> int:
        return self._fates[kind, fate]

    def lines(self, dry: bool = False) -> list[str]:
        """For people; a dry run tells what would be."""
        told = []
        for kind, plural in PLURALS.items():
            counts = [(fate, self.of(kind, fate)) for fate in WORDS]
            parts = [f"{number} {_word(fate, dry)}" for fate, number in counts if number]
            if parts:
                told.append(f"{plural:<12} {', '.join(parts)}")
        if self.problems:
            told.append(f"{'problems':<12} {self.problems}, each named above")
        return told or ["There is nothing to copy."]


def shown(id: str) -> str:
    """An id that somebody else chose, in one line of a terminal."""
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in id)
    return text if len(text) <= 600 else f"{text[:600]}…"


def _word(fate: Fate, dry: bool) -> str:
    return f"would be {fate}" if dry and fate in ("copied", "replaced") else WORDS[fate]
