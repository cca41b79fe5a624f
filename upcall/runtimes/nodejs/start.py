"""A confined process becomes Node.js (spec: container.md §2).

Sizes of V8's heap: without a bound it takes the machine's memory for its own and collects too late. The bound is the
container's whole memory, so that the kernel's, where there are cgroups, is reached first and tells of it.
"""

import os
from pathlib import Path
from typing import NoReturn

_MAIN = Path(__file__).with_name("main.cjs")
_LISTENING, _STATUS = 3, 4


def become(node: str, code: str, memory: int) -> NoReturn:
    """Execute `node` on the runtime; a failure is told on the status pipe. `memory` in bytes."""
    argv = [node, f"--max-old-space-size={memory >> 20}", str(_MAIN), code, str(memory)]
    for fd in (_LISTENING, _STATUS):
        os.set_inheritable(fd, True)
    try:
        os.execve(node, argv, {**os.environ, "__OW_ALLOW_CONCURRENT": "true"})  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(_STATUS, f"cannot execute {node}: {error.strerror}".encode())
    os._exit(1)
