"""System calls that Python 3.11 does not offer, by ctypes: namespaces, mounts, capabilities, seccomp.

Standard library only, because this file runs inside the sandbox (zygote and container init) and in the root launcher.
`PyDLL` and not `CDLL`: the lock of the interpreter is kept across the call, so `clone` gives a child whose single
thread holds it, as a plain fork would.

`clone` is called raw. glibc's fork handlers do not run, which is sound only in a single-threaded process, and the
child may do little more than set itself up and `os.fork()` the process that runs user code (that one is a proper
fork: handlers run, random state is reseeded).
"""

import contextlib
import ctypes
import fcntl
import os
import platform
import socket
import struct

CLONE_PIDFD = 0x1000
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
SIGCHLD = 17

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 4, 22, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 36, 38, 47
_PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_CLEAR_ALL = 2, 4
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_CLONE = {"x86_64": 56, "aarch64": 220}.get(platform.machine(), -1)
_CLOSE_RANGE = 436
_LAST_DESCRIPTOR = (1 << 32) - 1

_libc = ctypes.PyDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def clone(flags: int) -> tuple[int, int]:
    """Fork into the namespaces of `flags`; gives (pid, pidfd) to the parent and (0, -1) to the child."""
    pidfd = ctypes.c_int(-1)
    pid = _libc.syscall(
        ctypes.c_long(_CLONE),
        ctypes.c_ulong(flags | CLONE_PIDFD | SIGCHLD),
        ctypes.c_void_p(None),
        ctypes.byref(pidfd),
        ctypes.c_void_p(None),
        ctypes.c_void_p(None),
    )
    return _check(pid, "clone"), pidfd.value if pid else -1


def close_from(first: int) -> None:
    """Close every descriptor from `first` on, whatever their numbers are; the interpreter's own way may try each."""
    first_, last = ctypes.c_uint(first), ctypes.c_uint(_LAST_DESCRIPTOR)
    _check(_libc.syscall(ctypes.c_long(_CLOSE_RANGE), first_, last, ctypes.c_uint(0)), "close_range")


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    raw = (None if text is None else os.fsencode(text) for text in (source, target, kind))
    options = None if data is None else data.encode()
    _check(_libc.mount(*raw, ctypes.c_ulong(flags), options), f"mount {target}")


def die_with_parent(signal: int) -> None:
    """Ask for `signal` when the parent dies; a change of user clears this, so it comes after."""
    _prctl(_PR_SET_PDEATHSIG, signal)


def become_subreaper() -> None:
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def bound_capabilities() -> None:
    """Empty the bounding set: no program executed later can gain a capability. Takes capabilities itself."""
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break  # past the last one that this kernel knows


def drop_capabilities() -> None:
    """Give up every capability that the process has."""
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, bytes(24)), "capset")


def keep_capabilities() -> None:
    """Keep every capability that the process has across the execution of a program, whoever the user is."""
    header, held = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), ctypes.create_string_buffer(24)
    _check(_libc.capget(header, held), "capget")
    _, low, _, _, high, _ = struct.unpack("=6I", held.raw)
    _check(_libc.capset(header, struct.pack("=6I", low, low, low, high, high, high)), "capset")
    for capability in range(64):
        if (high << 32 | low) >> capability & 1:
            _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, ctypes.c_ulong(capability), 0, 0), "prctl")


def set_dumpable(allowed: bool) -> None:
    """Whether the process owns its /proc/self (after a change of user it does not: /dev/stdout cannot be opened) and
    may be traced by its equals."""
    _prctl(_PR_SET_DUMPABLE, int(allowed))


def no_new_privileges() -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def load_filter(program: bytes) -> None:
    """Load a seccomp filter given as BPF instructions of 8 bytes."""
    buffer = ctypes.create_string_buffer(program, len(program))
    loaded = _Program(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    _check(_libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(loaded), 0, 0), "seccomp")


def loopback_up() -> None:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")
