"""Becomes the program that speaks for an ordinary user's namespaces: pasta or slirp4netns.

Such a program needs the capabilities of the user namespace that owns the network, and sockets of the host's network.
They could enter by themselves, but pasta closes descriptors that it does not know, slirp4netns demands an id of 0, and
with either the wish to die with the platform would be lost on the way. So this process enters the user namespace,
binds the network's descriptor to a file in a mount namespace of its own (where AppArmor's profile for pasta lets it
look), keeps the capabilities across the execution, and executes the program in its place.

Run as: python -I -S -c "…" PLAN, where PLAN is JSON: `userns` and `netns` (descriptors), `parent`, `argv`.
"""

import json
import os
import signal
import sys

from upcall.runtimes.python import linux

_MOUNT = "/run"


def place() -> str:
    """The file that stands for the network; named as `argv` has to name it."""
    return f"{_MOUNT}/user/{os.getuid()}/netns/upcall"


def main() -> None:
    """Never returns: becomes `argv`."""
    plan = json.loads(sys.argv[1])
    file = plan["place"]
    linux.setns(plan["userns"], linux.CLONE_NEWUSER)
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", _MOUNT, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755")
    os.makedirs(os.path.dirname(file))
    os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
    linux.mount(f"/proc/self/fd/{plan['netns']}", file, None, linux.MS_BIND)
    for fd in (plan["userns"], plan["netns"]):
        os.close(fd)
    linux.keep_capabilities()
    linux.die_with_parent(signal.SIGKILL)
    if os.getppid() != plan["parent"]:
        sys.exit("the platform has ended")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # pasta refuses to start where it is ignored, as Python does
    os.execv(plan["argv"][0], plan["argv"])  # noqa: S606 - all there is to it
