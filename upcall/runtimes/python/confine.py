"""What a fresh child does to itself before user code runs: cgroups, network, mounts, user, capabilities, seccomp.

The order is not free. Cgroups first, so that everything is accounted; then what needs capabilities (network
namespace, mounts, host name); then the user; then the parent-death signal (a change of user clears it); seccomp last.
It all happens in pid 1 of the new namespaces, which then forks the runtime (pid 2) and stays behind as init: it reaps
orphans and, where no freezer is at hand, stops and continues everybody on SIGUSR1 and SIGUSR2. When the runtime ends,
init ends, and the kernel kills what is left in the pid namespace. (A pid 1 cannot be killed from inside.)

As an ordinary user there is one uid for all sandboxes. A user namespace of its own gives each the kernel's per-user
count of processes, so that `RLIMIT_NPROC` bounds a fork bomb per sandbox where no pids controller does. The limit is
set after the namespace is made: a namespace remembers its maker's limit and holds it against all siblings together.
"""

import contextlib
import os
import resource
import signal
import socket
import threading
from typing import NamedTuple

from . import linux

WITHOUT_ISOLATION = "none"
AS_ROOT = "root"
AS_USER = "user"
PYTHON = "python"
NATIVE = "native"
NODEJS = "nodejs"
NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
_TMP, _SHM = "/tmp", "/dev/shm"  # noqa: S108 - mount points of its own
_SHM_BYTES = 64 << 20
_THREAD_STACK = 1 << 20
_SI_USER = 0
_PAUSE, _CONTINUE = signal.SIGUSR1, signal.SIGUSR2
_LOOK = 1.0
"""Seconds; a look takes some 0.1 ms."""
HANDLED = (signal.SIGCHLD, signal.SIGTERM, _PAUSE, _CONTINUE)
"""What init waits for; blocked from before its first instruction."""


class Order(NamedTuple):
    """What the platform asked for; numbers only, since a sandbox can read what is left in its zygote's memory."""

    mode: str
    uid: int
    memory: int
    """Bytes; used for the sizes of temporary files and, where `rlimits` is set, of the data segment."""
    pids: int
    rlimits: bool
    headroom: int
    """Bytes of data that the runtime takes for itself before it does anything."""
    folder: str
    code: str
    """The folder for the user's code."""
    runtime: str
    """What the child becomes: `PYTHON`, `NATIVE`, `NODEJS`."""


def confine(order: Order, cgroups: list[int], net: int | None, program: bytes) -> None:
    """Shut the calling process in; it is pid 1 of fresh namespaces unless the mode is "none"."""
    for fd in cgroups:
        os.write(fd, b"0")
        os.close(fd)
    _limit(order)
    if order.mode == WITHOUT_ISOLATION:
        os.setsid()
        os.chdir(order.folder)
        os.environ["HOME"] = os.environ["TMPDIR"] = order.folder
        linux.become_subreaper()
        linux.die_with_parent(signal.SIGTERM)
        return
    if net is not None:
        linux.setns(net, linux.CLONE_NEWNET)
        os.close(net)
    with contextlib.suppress(OSError):
        linux.unshare(linux.CLONE_NEWCGROUP)
    _mount(order)
    socket.sethostname("sandbox")
    os.setsid()
    if order.mode == AS_USER:
        _own_user_namespace()
    linux.bound_capabilities()
    if order.mode == AS_ROOT:
        os.setgroups([])
        os.setresgid(order.uid, order.uid, order.uid)
        os.setresuid(order.uid, order.uid, order.uid)
    _set(resource.RLIMIT_NPROC, order.pids)
    linux.die_with_parent(signal.SIGKILL)
    linux.drop_capabilities()
    linux.no_new_privileges()
    linux.load_filter(program)
    linux.set_dumpable(False)


def watch(runtime: int, isolated: bool, status: int) -> None:
    """Be init until the runtime ends, or somebody does not stay stopped; never returns."""
    rest: _Rest | None = None
    while True:
        if runtime in _reaped():
            break
        received = signal.sigtimedwait(HANDLED, _LOOK) if rest else signal.sigwaitinfo(HANDLED)
        if received is None:
            if rest is not None and rest.is_broken():
                break
            continue
        number = received.si_signo
        if number == signal.SIGTERM:
            break
        if isolated and not _from_outside(received):
            continue
        if number in (_PAUSE, _CONTINUE):
            _signal_all(signal.SIGSTOP if number == _PAUSE else signal.SIGCONT, isolated)
            rest = _Rest() if number == _PAUSE and isolated else None
        if number == _PAUSE:
            with contextlib.suppress(OSError):
                os.write(status, b"paused")
    if not isolated:
        _end_descendants()
    os._exit(0)


class _Rest:
    """The time in which everybody is stopped. User code can have timers and files of its own send it SIGCONT, which
    nothing but a freezer prevents; it is found out by the processor's time that it takes."""

    def __init__(self) -> None:
        self._taken: dict[str, int] | None = None

    def is_broken(self) -> bool:
        """Whether anybody has run since this was asked first: what was under way at the stop has ended by then."""
        before, self._taken = self._taken, _times()
        return before is not None and any(before.get(pid) != taken for pid, taken in self._taken.items())


def _times() -> dict[str, int]:
    """The processor's time that each process but init has taken, in ticks."""
    found: dict[str, int] = {}
    for pid in os.listdir("/proc"):
        if pid.isdigit() and pid != "1":
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
                user, system = file.read().rpartition(") ")[2].split()[11:13]
                found[pid] = int(user) + int(system)
    return found


def _from_outside(received: signal.struct_siginfo) -> bool:
    """Whether a signal is the platform's: from outside of the namespace the sender has no number, and nobody inside
    may forge the code of `kill`. Else user code would continue itself as soon as it has been stopped."""
    return received.si_pid == 0 and received.si_code == _SI_USER


def _limit(order: Order) -> None:
    """Bound what the kernel counts per process or user. A core of one byte is none, even where the host pipes cores to
        a program, which no other limit prevents. Half of the descriptors: those in flight are counted per user, and an
        ordinary user's sandboxes share theirs with the platform, which must be able to send some still.

    The data segment counts a thread's stack whole, used or not: with glibc's 8 MiB a pool of 32 threads would not fit
    into 256 MiB. Lowering the stack's limit is no means against that: glibc reads it when a program starts, and the
    kernel would hold it against the main thread. 1 MiB is enough for Python's recursion limit, save through what is
    greedy in C (`sorted` in the key of `sorted`); an action whose threads need more says so by
    `threading.stack_size`."""
    _set(resource.RLIMIT_CORE, 1)
    _set(resource.RLIMIT_NOFILE, min(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2))
    _set(resource.RLIMIT_SIGPENDING, 1024)
    _set(resource.RLIMIT_MSGQUEUE, 1 << 18)
    _set(resource.RLIMIT_FSIZE, order.memory)
    if order.rlimits:
        _set(resource.RLIMIT_DATA, order.memory + order.headroom)
        threading.stack_size(_THREAD_STACK)


def _set(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _mount(order: Order) -> None:
    flags = linux.MS_NOSUID | linux.MS_NODEV
    linux.mount("proc", "/proc", "proc", flags | linux.MS_NOEXEC)
    linux.mount("tmpfs", _TMP, "tmpfs", flags, f"mode=1777,size={order.memory},nr_inodes=100000")
    for target in (order.code, _TMP):  # two folders, one bound for both; the last mount hides what holds them
        source = _TMP + target
        os.mkdir(source)
        os.chmod(source, 0o1777)  # noqa: S103 - as every /tmp
        linux.mount(source, target, None, linux.MS_BIND)
    shm = min(_SHM_BYTES, order.memory)
    linux.mount("tmpfs", _SHM, "tmpfs", flags | linux.MS_NOEXEC, f"mode=1777,size={shm},nr_inodes=10000")
    os.chdir(order.folder)


def _own_user_namespace() -> None:
    uid, gid = os.getuid(), os.getgid()
    linux.unshare(linux.CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    with contextlib.suppress(OSError), open("/proc/sys/user/max_inotify_instances", "w") as file:
        file.write("16")  # of the 128 that all sandboxes and the user have together


def _reaped() -> set[int]:
    ended: set[int] = set()
    with contextlib.suppress(ChildProcessError):
        while pid := os.waitpid(-1, os.WNOHANG)[0]:
            ended.add(pid)
    return ended


def _signal_all(number: int, isolated: bool) -> None:
    """Signal everybody but init: in a pid namespace `kill(-1)` reaches no further than that."""
    if isolated:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, number)
        return
    for pid in _descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _end_descendants() -> None:
    """Kill until nobody is left; orphans come to us, the subreaper."""
    while found := _descendants(os.getpid()):
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        _reaped()


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                for child in map(int, file.read().split()):
                    found += [child, *_descendants(child)]
    return found
