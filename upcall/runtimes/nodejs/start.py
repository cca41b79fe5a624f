"""A confined process becomes Node.js (spec: container.md §2).

Without a bound V8 takes the machine's memory for its heap's and collects too late. Where cgroups bound the memory, all
of it is the heap's: the kernel's bound is reached first, and it tells. Where only resource limits do, the heap must be
full before they are: V8 then ends at once, while one that cannot grow tries for seconds (13 were seen).
"""

import os
from pathlib import Path
from typing import NoReturn

from ..python.confine import Order

_MAIN = Path(__file__).with_name("main.cjs")
_LISTENING, _STATUS = 3, 4
_SPARE = 32 << 20


def become(node: str, order: Order) -> NoReturn:
    """Execute `node` on the runtime; a failure is told on the status pipe."""
    heap = max(order.memory // 2, order.memory - _SPARE) if order.rlimits else order.memory
    argv = [node, f"--max-old-space-size={heap >> 20}", str(_MAIN), order.code, str(order.memory)]
    for fd in (_LISTENING, _STATUS):
        os.set_inheritable(fd, True)
    try:
        os.execve(node, argv, {**os.environ, "__OW_ALLOW_CONCURRENT": "true"})  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(_STATUS, f"cannot execute {node}: {error.strerror}".encode())
    os._exit(1)
