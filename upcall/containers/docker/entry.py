"""How a container of an image begins: by the image's own entry point, or by a shell that puts two FIFOs in the place of
stdout and stderr and then is that entry point (`exec`: same process, same signals, same exit status).

The shell says on the FIFO of stdout whether there is such a program, before it gives way to it: so that a missing one
is a failed creation, as it is without a shell, and so that FIFOs which do not connect the two of us are found out.
They lie in the container's /dev, a file system in memory that each container has, whatever its image and though its
root cannot be written to.

Which shell an image has is learnt by trying, once for each image: `sh` on its PATH, then `/bin/sh` where that is none
of its places; without one its output comes by the engine's stream. So it does where a shell would spoil the
environment: it drops variables whose names it could not use.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

OUT, ERR = "/dev/upcall.stdout", "/dev/upcall.stderr"
"""Where the container finds its FIFOs."""
BEGUN, MISSING, FORBIDDEN = b"upcall: begun", b"upcall: missing", b"upcall: forbidden"
"""What the shell says, as a line."""
_SHELL, _FOLDER = "sh", "/bin"
_SCRIPT = f"""exec >{OUT} 2>{ERR}
case $1 in
*/*) [ -e "$1" ];;
*) command -v -- "$1" >/dev/null 2>&1;;
esac || {{ echo "{MISSING.decode()}"; exit 127; }}
case $1 in
*/*) [ -x "$1" ] && [ ! -d "$1" ] || {{ echo "{FORBIDDEN.decode()}"; exit 126; }};;
esac
echo "{BEGUN.decode()}"
exec "$@"
"""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IMAGES = 1024


class Entry(msgspec.Struct, frozen=True):
    """What of the body of POST /containers/create is said here: nothing, or a shell first."""

    entrypoint: tuple[str, ...] | None = None
    """In the place of the image's."""
    command: tuple[str, ...] | None = None
    """In the place of the image's."""
    mounts: tuple[Mapping[str, Any], ...] = ()
    """`HostConfig.Mounts`."""


class Program(msgspec.Struct, frozen=True):
    """What a container is to run: what its image says, less what the operator has replaced (`--entrypoint`)."""

    image: str
    """Its id, by which its shell is remembered."""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    """`name=value`, the image's and ours."""


def wrapped(shell: str, program: Program, out: str, err: str) -> Entry:
    """The program behind a shell; `out` and `err` are the paths of FIFOs on the host."""
    return Entry(
        entrypoint=(shell, "-c", _SCRIPT, "sh"),
        command=(*program.entrypoint, *program.command),
        mounts=tuple(
            {"Type": "bind", "Source": source, "Target": target} for source, target in ((out, OUT), (err, ERR))
        ),
    )


def spoils(environment: Iterable[str]) -> bool:
    """Whether a shell would drop one of these variables."""
    return not all(_NAME.fullmatch(variable.partition("=")[0]) for variable in environment)


def shells(environment: Iterable[str]) -> Sequence[str]:
    """What may be one, the likeliest first."""
    path = _FOLDER
    for variable in environment:
        path = variable.removeprefix("PATH=") if variable.startswith("PATH=") else path
    return (_SHELL,) if _FOLDER in path.split(":") else (_SHELL, f"{_FOLDER}/{_SHELL}")


class Shells:
    """Which shells images have, as far as that has been tried."""

    def __init__(self) -> None:
        self._refused: OrderedDict[str, set[str]] = OrderedDict()

    def of(self, program: Program) -> str | None:
        """The one to try; None: there is none, or it would do harm, or there is nothing to wrap."""
        if not (program.entrypoint or program.command) or spoils(program.environment):
            return None
        refused = self._refused.get(program.image, set())
        return next((shell for shell in shells(program.environment) if shell not in refused), None)

    def refuse(self, program: Program, shell: str | None = None) -> None:
        """The image does not run this shell, or any."""
        refused = shells(program.environment) if shell is None else (shell,)
        self._refused.setdefault(program.image, set()).update(refused)
        self._refused.move_to_end(program.image)
        while len(self._refused) > _IMAGES:
            self._refused.popitem(last=False)
