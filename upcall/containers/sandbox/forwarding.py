"""The kernel's switch that lets a host forward packets, per link: set where it is off, put back in the end.

Not the one switch for all links: that is how others (Docker, Kubernetes) ask for forwarding, and while they do,
nothing is put back. Which links were switched is noted in a file until they are switched back, also by a later life.
"""

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

_ALL = Path("/proc/sys/net/ipv4/ip_forward")
_LINKS = Path("/proc/sys/net/ipv4/conf")


def switch_on(links: Iterable[str], note: Path) -> list[str]:
    """Let these links forward; gives those that did not. Raises OSError where the switches cannot be written."""
    off = [name for name in links if _read(_switch(name)) == "0"]
    note.write_text(json.dumps(off))
    for name in off:
        _switch(name).write_text("1")
    return off


def switch_back(note: Path, *, needed: bool) -> None:
    """Undo what the note says, unless somebody else needs forwarding, and remove the note."""
    with contextlib.suppress(OSError, ValueError):
        noted = json.loads(note.read_text())
        for name in noted if not needed and _read(_ALL) == "0" else ():
            with contextlib.suppress(OSError):  # a link that is gone
                _switch(name).write_text("0")
    note.unlink(missing_ok=True)


def _switch(link: str) -> Path:
    return _LINKS / link / "forwarding"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
