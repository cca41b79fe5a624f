"""What the doctor says: failures that it knows, and those that it found (spec: kubernetes.md §10, §12).

A failure is knowledge: what it looks like, why it happens, what helps. A finding is a failure seen somewhere, with
what shows it. A patch is the part of a fix that a machine can apply.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

_UNSEEN = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")


def plain(text: str) -> str:
    """In one line, without control characters."""
    return _UNSEEN.sub(" ", text) if _UNSEEN.search(text) else text


Severity = Literal["error", "warning"]
Source = Literal["node", "cluster", "text", "configuration", "dependency", "canary"]
"""Where it can be seen: on a node (N), in the API's answers (A), in logs and events (L), in settings alone (C)."""


Operations = Sequence[Mapping[str, Any]]
"""A JSON patch (RFC 6902)."""


class ObjectPatch(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="object"):
    """An object of Kubernetes and the JSON patch (RFC 6902) that mends it."""

    kind: str
    name: str
    operations: Operations
    namespace: str = ""
    """Empty for what is in none."""


class LinePatch(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="lines"):
    """Lines of a manifest to delete; `file` as operators name it."""

    file: str
    delete: Sequence[str]


class CommandPatch(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="command"):
    """A command for a shell, to be run on the machine that `where` of the finding names, or by whoever has kubectl."""

    argv: Sequence[str]


Patch = ObjectPatch | LinePatch | CommandPatch


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """`cause` and `fix` may have places, as in "{path}", that findings fill."""

    id: str
    severity: Severity
    symptom: str
    cause: str
    fix: str
    sources: Sequence[Source]
    see: Sequence[str] = ()
    """Reports of others."""
    words: Mapping[str, str] = {}
    """What stands in a place that a finding does not fill."""
    patterns: Sequence[str] = ()
    """Regular expressions of logs and events that show it, for any case of letters; named groups fill places."""

    def found(
        self, where: str, evidence: str, patch: Patch | None = None, words: Mapping[str, object] = {}
    ) -> "Finding":
        """`where`: "node a", "pod ns/b", "this machine". `evidence`: what was read, as it was read."""
        filled = {**self.words, **words}
        return Finding(
            id=self.id,
            severity=self.severity,
            where=where,
            evidence=evidence,
            cause=self.cause.format_map(filled),
            fix=self.fix.format_map(filled),
            patch=patch,
        )


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the table, one object of the JSON."""

    id: str
    severity: Severity
    where: str
    evidence: str
    cause: str
    fix: str
    patch: Patch | None = None

    def __post_init__(self) -> None:
        """Others' words are shown on terminals: nothing of them moves a cursor there, or turns text around."""
        for name in ("where", "evidence", "cause", "fix"):
            msgspec.structs.force_setattr(self, name, plain(getattr(self, name)))

    def but(self, **changes: Any) -> "Finding":
        """The same with other words."""
        return msgspec.structs.replace(self, **changes)
