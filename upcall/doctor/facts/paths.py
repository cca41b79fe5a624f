"""Paths of a host whose root is somewhere else: links are followed as that host follows them, and never lead out."""

import errno
import os
from collections import deque
from pathlib import Path

import msgspec

LINKS = 40
"""As many as the kernel follows."""


class Mounts(msgspec.Struct, frozen=True):
    """Mount points and whether nothing can be written there; of those that are over one another, the last counts."""

    found: list[tuple[str, bool]]

    def read_only(self, path: str) -> bool:
        point, fixed = "", False
        for mount, ro in self.found:
            inside = mount in ("/", path) or path.startswith(f"{mount}/")
            if inside and len(mount) >= len(point):
                point, fixed = mount, ro
        return fixed


def resolve(root: Path, path: str) -> str:
    """The path within `root` to which links lead, the last one too. Raises OSError where they go round."""
    parts, here, links = deque(path.split("/")), list[str](), 0
    while parts:
        part = parts.popleft()
        if part in ("", "."):
            continue
        if part == "..":
            here = here[:-1]
            continue
        try:
            target = os.readlink(root.joinpath(*here, part))
        except OSError:  # no link, or nothing
            here.append(part)
            continue
        links += 1
        if links > LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if target.startswith("/"):
            here = []
        parts.extendleft(reversed(target.split("/")))
    return "/" + "/".join(here)


def read(root: Path, path: str) -> str:
    """A file's text without blanks around it; empty where it cannot be read."""
    try:
        return (root / resolve(root, path)[1:]).read_text(errors="replace").strip()
    except (OSError, ValueError):
        return ""


def mounts(text: str) -> Mounts:
    """Of /proc/PID/mountinfo."""
    found = []
    for line in text.splitlines():
        before, _, behind = line.partition(" - ")
        fields, rest = before.split(), behind.split()
        if len(fields) >= 6 and len(rest) >= 2:
            options = {*fields[5].split(","), *(rest[2].split(",") if len(rest) > 2 else ())}
            found.append((_plain(fields[4]), "ro" in options))
    return Mounts(found)


def _plain(point: str) -> str:
    for code, letter in ((r"\040", " "), (r"\011", "\t"), (r"\134", "\\")):
        point = point.replace(code, letter)
    return point
