"""Root's way into the outer sandbox: stage what is to be seen, enter the user namespace, become bubblewrap.

Bubblewrap run by root keeps all of the host's capabilities, and its own user namespaces map a single id, so that no
container could have its own. Hence this process: in a private mount namespace it binds the sources to a fresh tmpfs
(they may lie below folders such as /root that nobody else may enter), enters a user namespace of 65,536 ids, in which
it is root without power over the host, and executes bubblewrap there.

The namespace is made the first time; the platform then keeps it by descriptor and hands it to later zygotes, so that
the network namespaces that it owns outlive a zygote. `fork` comes first because the maps must be written from outside.

Run as: python -I -S -c "…" PLAN, where PLAN is JSON: `sources` (bound to STAGE/0, STAGE/1, …), `userns` (descriptor or
null), `argv`.
"""

import contextlib
import json
import os
import sys

from upcall.runtimes.python import linux

_BOUNDS = {"max_inotify_instances": 16, "max_inotify_watches": 8192}
STAGE = "/tmp"  # noqa: S108 - in a mount namespace of our own
FIRST_ID, IDS = 100_000, 65_536
_FIRST_OF_FEW, _FEW = 4_000, 61_536
"""In a pod's own user namespace, which has 65,536 ids."""


def main() -> None:
    """Never returns: becomes `argv`."""
    plan = json.loads(sys.argv[1])
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where memory runs out, sandboxes go first; written with CAP_SYS_RESOURCE it stays
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    _stage(plan["sources"])
    _proc()
    if plan["userns"] is None:
        _new_user_namespace()
    else:
        linux.setns(plan["userns"], linux.CLONE_NEWUSER)
        os.close(plan["userns"])
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.chdir("/")
    os.execv(plan["argv"][0], plan["argv"])  # noqa: S606 - the interpreter's own files are out of reach from here on


def _stage(sources: list[str]) -> None:
    fds = [os.open(source, os.O_PATH) for source in sources]
    linux.mount("tmpfs", STAGE, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755")
    for number, fd in enumerate(fds):
        target = f"{STAGE}/{number}"
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        linux.mount(f"/proc/self/fd/{fd}", target, None, linux.MS_BIND | linux.MS_REC)
        os.close(fd)


def _proc() -> None:
    """See all of /proc: a container's runtime hides parts of it, and then the kernel lets no user namespace below have
    one of its own. Where that is refused, bubblewrap will tell."""
    with contextlib.suppress(OSError):
        linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)


def _new_user_namespace() -> None:
    """Unshare, with the maps written by a helper that stays outside.

    First this process stops being root: what the users of a namespace use up (inotify, processes, signals, locked
    memory, queues) counts for its maker, too, and root's share is needed by the host's own services.
    """
    me, (first, count) = os.getpid(), _ids()
    wait, go = os.pipe()
    helper = os.fork()
    if not helper:
        os.close(go)
        failed = 1
        try:
            os.read(wait, 1)
            for name in ("uid_map", "gid_map"):
                with open(f"/proc/{me}/{name}", "w") as file:
                    file.write(f"0 {first} {count}")
            failed = 0
        finally:
            os._exit(failed)
    os.close(wait)
    os.setresgid(first, first, first)
    os.setresuid(first, first, first)
    linux.unshare(linux.CLONE_NEWUSER)
    os.close(go)
    if os.waitpid(helper, 0)[1]:
        sys.exit("cannot map ids in a new user namespace")
    _bound()


def _ids() -> tuple[int, int]:
    """The first of the ids for sandboxes, and how many."""
    with open("/proc/self/uid_map") as file:
        there = max(int(inside) + int(count) for inside, _, count in map(str.split, file))
    return (FIRST_ID, IDS) if there >= FIRST_ID + IDS else (_FIRST_OF_FEW, _FEW)


def _bound() -> None:
    """Bound what the kernel counts per user and not per process, for each user of the namespace."""
    for name, value in _BOUNDS.items():
        with contextlib.suppress(OSError), open(f"/proc/sys/user/{name}", "w") as file:
            file.write(str(value))
