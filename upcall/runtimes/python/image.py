"""The runtime in a container of its own image, for any Invoker: HTTP on port 8080, and a mark where an activation's
output ends (spec: container.md §2, §8; logs.md §1). The argument says what it runs: `python` or `native`.

A shell is process 1 and reaps orphans; it has made this process ignore some signals. The port is open before all the
rest is loaded, so that who wants it waits for an answer, and not until it tries again.
"""

import os
import signal
import socket
import struct
import sys
from typing import NoReturn

PORT = 8080
_FOLDER = "/action"
_PATIENCE = struct.pack("ll", 5, 0)
"""Seconds (and µs) in which the next bytes of a request have to come: meanwhile nobody else is served."""
_OURS = "/dev/upcall."
"""Where a platform of ours has led the output to; any other has a pipe there."""


def main() -> NoReturn:
    """Answer until killed."""
    listening = socket.create_server(("", PORT), backlog=1024)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # all that are accepted have these
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    from .order import OUTPUT
    from .protocol import Action
    from .server import serve

    action: Action
    native = sys.argv[1:] == ["native"]
    del sys.argv[1:]
    if native:
        from ..native.program import Program

        action = Program(_FOLDER)
    else:
        from .action import Code

        action = Code(_FOLDER)
    OUTPUT.follow()
    ours = os.readlink("/proc/self/fd/2").startswith(_OURS)
    OUTPUT.begin(marks=not ours)
    if ours:
        OUTPUT.promise()
    serve(listening, action)
