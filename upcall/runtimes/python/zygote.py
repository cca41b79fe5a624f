"""The process from which every Python sandbox is forked: modules loaded, heap frozen, a single thread.

It speaks to the platform over a unix socket of packets: one JSON object per packet, file descriptors alongside.
`hello` brings the mode and the seccomp filter, and gives the user namespace; `preload` names a module to be loaded,
and is told why it is not (`preload`); `net` makes a network namespace and gives it back with the sockets in it that
the platform serves; `link` and `gateway` are parts of its way out; `spawn` forks a container from listening socket,
output pipes, status pipe, network namespace and cgroups, and gives back its pidfd. The status pipe then reads "ok"
when the runtime listens, or the reason why it never will, and "paused" each time that init has stopped everybody.

Its end of the socket closing is the end of the platform: it exits, and as pid 1 of the outer pid namespace takes every
container with it. Children are reaped by the kernel (SIGCHLD ignored); the platform watches pidfds. What is
preloaded here costs nothing per container but is shared by all tenants, so no secret may ever enter this process; the
seed of `hash()` is shared, too.
"""

import fcntl
import gc
import json
import os
import signal
import site
import socket
import sys
from collections.abc import Callable
from typing import Any

from ..native.program import Program
from ..nodejs import start
from . import confine, link, linux, server
from .action import Code
from .modules import load
from .net import network
from .order import OUTPUT
from .preload import preload
from .protocol import Action
from .seeds import Seeds

_KEPT = 5
"""In a child: 0, 1, 2, then the listening socket and the status pipe."""
_HIGH = 64
_RUNTIMES: dict[str, Callable[[str], Action]] = {confine.PYTHON: Code, confine.NATIVE: Program}
"""Each makes its action from the folder for the code."""


def main() -> None:
    """Serve the control socket until it closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    _complete()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, confine.HANDLED)  # inherited by each init, which waits for them
    zygote = Zygote(control)
    while True:
        packet, fds, _, _ = socket.recv_fds(control, 1 << 17, 16)
        if not packet:
            os._exit(0)
        zygote.answer(json.loads(packet), fds)


class Zygote:
    """The control socket and what `hello` said."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._mode = confine.WITHOUT_ISOLATION
        self._program = b""
        self._node = ""
        self._seeds = Seeds()

    def answer(self, request: dict[str, Any], fds: list[int]) -> None:
        """Carry out one request; every request gets exactly one reply."""
        reply: dict[str, Any] = {}
        given: list[int] = []
        try:
            match request["op"]:
                case "hello":
                    reply = self._begin(request)
                    given = [os.open("/proc/self/ns/user", os.O_RDONLY)]
                case "preload":
                    reply = {"refused": preload(request["module"])}
                    self._settle()
                case "net":
                    given = network()
                case "link":
                    reply = {"set": link.set_up(request, fds[0])}
                case "gateway":
                    given = [link.make_gateway(request, fds[0])]
                case "spawn":
                    given = [self._spawn(request, fds)]
        except OSError as error:
            reply = {"error": str(error)}
        reply["id"] = request["id"]
        socket.send_fds(self._control, [json.dumps(reply).encode()], given)
        for fd in (*given, *fds):
            os.close(fd)

    def _begin(self, request: dict[str, Any]) -> dict[str, Any]:
        self._mode, self._program = request["mode"], bytes.fromhex(request["filter"])
        self._node = request["node"]
        if request["common"]:
            load()
        self._settle()
        return {"version": list(sys.version_info[:3])}

    def _settle(self) -> None:
        """What is loaded now is what children share."""
        gc.unfreeze()
        gc.collect()
        self._seeds = Seeds()
        gc.freeze()

    def _spawn(self, request: dict[str, Any], fds: list[int]) -> int:
        isolated = self._mode != confine.WITHOUT_ISOLATION
        pid, pidfd = linux.clone(confine.NAMESPACES if isolated else 0)
        if pid:
            return pidfd
        try:
            self._child(request, fds, isolated)
        finally:
            os._exit(1)

    def _child(self, request: dict[str, Any], fds: list[int], isolated: bool) -> None:
        listening, out, err, status, *rest = [_high(fd) for fd in fds]
        net = rest.pop(0) if request["net"] else None
        for target, fd in enumerate((os.open("/dev/null", os.O_RDONLY), out, err, listening, status)):
            os.dup2(fd, target, inheritable=target < 3)
        order = confine.Order(self._mode, *(request[name] for name in confine.Order._fields[1:]))
        try:
            confine.confine(order, rest, net, self._program)
            linux.close_from(_KEPT)  # the control socket, too, whatever number the platform had for it
        except OSError as error:
            os.write(4, f"cannot confine the sandbox: {error}".encode())
            os._exit(1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        runtime = os.fork()
        if not runtime:
            linux.set_dumpable(True)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            if order.runtime == confine.NODEJS:
                start.become(self._node, order)
            self._seeds.renew()
            action = _RUNTIMES[order.runtime](order.code)
            OUTPUT.begin()
            os.write(4, b"ok")
            os.close(4)
            server.serve(socket.socket(fileno=3), action)
        for fd in (0, 3):
            os.close(fd)
        confine.watch(runtime, isolated, 4)


def _high(fd: int) -> int:
    """A copy out of the way of the numbers that the child puts its own on."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD, _HIGH)


def _complete() -> None:
    """Have what `site` would have given actions."""
    site.setquit()
    site.sethelper()
    for path in site.getsitepackages():  # Debian's has the folder of its packages, which sysconfig does not name
        if path not in sys.path and os.path.isdir(path):
            sys.path.append(path)
    OUTPUT.follow()
