"""Which kinds this host runs, and what is to be installed for those that it does not.

Python is the interpreter that the platform runs on. Node.js is looked for once, on PATH, and asked itself where and
what it is, since what PATH has may be a shim (nvm, asdf, snap). Its major version is the kind's. Versions before 16
are not offered: the runtime is not written for them.
"""

import functools
import os
import shutil
import subprocess
import sys
from typing import NamedTuple

from upcall.errors import StartFailed
from upcall.model.entities import BLACKBOX
from upcall.runtimes.python import confine

_OLDEST = 16
_PATIENCE = 10.0
_ASK = (
    "const data = /VmData:\\s*(\\d+)/.exec(require('fs').readFileSync('/proc/self/status', 'utf8'))[1];"
    "[process.execPath, process.versions.node, data].join('\\n')"
)
_SLACK = 16 << 20
_HOW = "Node.js 16 or later on PATH, as from apt-get install nodejs"


class Node(NamedTuple):
    """An executable of Node.js."""

    program: str
    major: int
    data: int = 0
    """Bytes that it maps for itself as writable and mostly never touches: stacks of threads, from version 24 on 512 MiB
    for code. Where `RLIMIT_DATA` bounds an action's memory they come on top."""


def python_kinds() -> tuple[str, ...]:
    return ("python:3", f"python:3.{sys.version_info.minor}")


def node_kinds(node: Node | None) -> tuple[str, ...]:
    return (f"nodejs:{node.major}",) if node else ()


def runtime_of(kind: str) -> str:
    """What a container of a kind becomes: one of those that `confine.Order` names."""
    if kind == BLACKBOX:
        return confine.NATIVE
    return confine.NODEJS if kind.startswith("nodejs:") else confine.PYTHON


def find_node() -> Node | None:
    """Blocks for some 50 ms, the first time."""
    found = shutil.which("node") or shutil.which("nodejs")
    return _ask(found) if found else None


@functools.cache
def _ask(path: str) -> Node | None:
    environment = {name: value for name, value in os.environ.items() if name != "NODE_OPTIONS"}
    try:
        answer = subprocess.run(
            [path, "-p", _ASK],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
        program, version, data = answer.stdout.strip().split("\n")
        found = Node(program, int(version.partition(".")[0]), (int(data) << 10) + _SLACK)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return found if found.major >= _OLDEST else None


def refusal(kind: str, node: Node | None) -> StartFailed:
    """Why a kind does not run here, with what it takes."""
    text = f"The process driver does not run actions of kind {kind}."
    family = kind.partition(":")[0]
    if family == "nodejs":
        here = f"The Node.js of this host is version {node.major}" if node else "This host has no usable Node.js"
        text += f" {here}: it takes {_HOW}, and a new start of upcall."
    elif family == "python":
        text += f" The Python of this platform is version 3.{sys.version_info.minor}."
    return StartFailed(text, developer=True)


def remark(node: Node | None) -> str:
    """What an operator should know of kinds that are missing; empty if there is nothing."""
    return "" if node else f"actions of the kinds nodejs:… are not run here: that takes {_HOW}"
