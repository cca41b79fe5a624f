"""Ways out through the kernel, one a test, by code of every sort of container (`attacks`).

Ways to what is the host's or a neighbour's are in test_escape_host.py. Run by root, the last test of test_sandbox.py
runs this file again as an ordinary user.
"""

import os
from errno import EACCES, EINVAL, ENOENT, ENOSYS, EPERM, EROFS

import pytest

from tests.system.attacks import SORTS, all_refused, everywhere
from upcall.containers.process import ProcessContainers

on_x86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls of this architecture")


@on_x86
async def test_nothing_is_mounted_and_no_root_is_changed(driver: ProcessContainers) -> None:
    code = """
def main(args):
    return {
        "mount": call(165, b"none", b"/tmp", b"tmpfs", 0, 0), "bind": call(165, b"/", b"/tmp", 0, 4096, 0),
        "remount": call(165, b"none", b"/", 0, 32, 0), "umount2": call(166, b"/tmp", 2),
        "pivot_root": call(155, b"/tmp", b"/tmp"), "chroot": call(161, b"/tmp"), "open_tree": call(428, -100, b"/", 1),
        "move_mount": call(429, 3, b"", -100, b"/tmp", 4), "fsopen": call(430, b"tmpfs", 0),
        "fsmount": call(432, 3, 0, 0), "mount_setattr": call(442, -100, b"/", 0, 0, 32), "swapon": call(167, b"/s", 0),
    }
"""
    all_refused(await everywhere(driver, code), EPERM)


@on_x86
async def test_init_is_not_traced_nor_its_memory_read(driver: ProcessContainers) -> None:
    """One's own children may be: a debugger is nobody's trouble."""
    code = """
class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
def main(args):
    there = int(open("/proc/self/maps").readline().partition("-")[0], 16)
    buffer = ctypes.create_string_buffer(8)
    mine, its = ctypes.byref(Part(ctypes.addressof(buffer), 8)), ctypes.byref(Part(there, 8))
    return {
        "attach": call(101, 16, 1, 0, 0), "seize": call(101, 0x4206, 1, 0, 0), "kcmp": call(312, 1, 2, 0, 0, 0),
        "read": call(310, 1, mine, 1, its, 1, 0), "write": call(311, 1, mine, 1, its, 1, 0),
        "memory": raised(open, "/proc/1/mem", "rb"), "pidfd_getfd": call(438, 3, 0, 0),
    }
"""
    all_refused(await everywhere(driver, code), EPERM, EACCES)


@on_x86
async def test_there_is_no_keyring(driver: ProcessContainers) -> None:
    code = """
def main(args):
    with open("/proc/keys") as file:
        seen = len(file.readlines())
    return {"add_key": call(248, b"user", b"a", b"b", 1, -4), "request_key": call(249, b"user", b"a", 0, -4),
        "keyctl": call(250, 0, -3, 0, 0, 0), "join": call(250, 1, 0), "keys": seen or 1}
"""
    all_refused(await everywhere(driver, code), EPERM)


@on_x86
async def test_no_namespace_is_made_or_entered(driver: ProcessContainers) -> None:
    """So nobody gets capabilities in one of his own; clone3, whose flags no filter sees, is not there."""
    code = """
def main(args):
    kinds = {"time": 1 << 7, "mount": 1 << 17, "cgroup": 1 << 25, "uts": 1 << 26, "ipc": 1 << 27, "user": 1 << 28,
        "pid": 1 << 29, "net": 1 << 30}
    seen = {"unshare " + name: call(272, flag) for name, flag in kinds.items()}
    seen |= {"clone " + name: call(56, flag | 17, 0, 0, 0, 0) for name, flag in kinds.items() if flag > 1 << 7}
    entered = os.open("/proc/self/ns/user", os.O_RDONLY)
    return {**seen, "setns": call(308, entered, 0), "clone3": call(435, 0, 0)}
"""
    seen = await everywhere(driver, code)
    assert {answers.pop("clone3") for answers in seen.values()} == {ENOSYS}
    all_refused(seen, EPERM)


async def test_there_are_no_raw_sockets(driver: ProcessContainers) -> None:
    code = """
def main(args):
    kinds = {"icmp": (2, 3, 1), "ip": (2, 3, 255), "udp": (2, 3, 17), "icmp6": (10, 3, 58), "packet": (17, 3, 768),
        "cooked": (17, 2, 768), "vsock": (40, 1, 0), "ping": (2, 2, 1), "audit": (16, 3, 9)}
    seen = {name: raised(socket.socket, *kind) for name, kind in kinds.items()}
    with socket.socket() as plain:
        seen["transparent"] = raised(plain.setsockopt, 0, 19, 1)
        seen["mark"] = raised(plain.setsockopt, 1, 36, 1)
    return seen
"""
    seen = await everywhere(driver, code)
    for answers in seen.values():
        answers.pop("audit")  # its messages need capabilities, not the socket
    all_refused(seen, EPERM, EACCES)


async def test_devices_are_those_that_hold_nothing(driver: ProcessContainers) -> None:
    code = """
import stat
def main(args):
    nodes = {"m": (0o020666, os.makedev(1, 1)), "n": (0o020666, os.makedev(1, 3)),
        "c": (0o020666, os.makedev(5, 1)), "d": (0o060666, os.makedev(254, 0))}
    found = {name: os.lstat("/dev/" + name).st_mode for name in os.listdir("/dev")}
    return {
        "made": {f"{folder}/{name}": raised(os.mknod, f"{folder}/{name}", *node)
            for folder in ("/tmp", "/dev/shm", "/action", "/dev") for name, node in nodes.items()},
        "devices": sorted(name for name, mode in found.items() if stat.S_ISCHR(mode) or stat.S_ISBLK(mode)),
        "terminal": raised(os.open, "/dev/tty", os.O_RDWR),
    }
"""
    for sort, seen in (await everywhere(driver, code)).items():
        assert set(seen["made"].values()) <= {EPERM, EROFS}, (sort, seen["made"])
        assert seen["devices"] == ["full", "null", "random", "urandom", "zero"], sort
        assert seen["terminal"] == ENOENT, sort


@on_x86
async def test_the_kernels_log_is_closed(driver: ProcessContainers) -> None:
    code = """
def main(args):
    buffer = ctypes.create_string_buffer(64)
    seen = {f"syslog {action}": call(103, action, buffer, 64) for action in (2, 3, 4, 5, 9, 10)}
    for path in ("/dev/kmsg", "/proc/kmsg", "/sys/kernel/debug", "/var/log/dmesg", "/proc/kcore", "/dev/mem"):
        seen[path] = raised(open, path, "rb")
    return seen
"""
    all_refused(await everywhere(driver, code), EPERM, EACCES, ENOENT)


async def test_no_process_has_a_capability_or_may_get_one(driver: ProcessContainers) -> None:
    """Nor runs without a filter, or as the host's root, or as a neighbour's user where root has users to give."""
    code = """
def status(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.split(":\\t", 1) for line in file)
def main(args):
    seen = [status(name) for name in os.listdir("/proc") if name.isdigit()]
    return {
        "held": sum(int(one[name], 16) for one in seen for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd")),
        "walls": sorted({(one["NoNewPrivs"][0], one["Seccomp"][0], one["Groups"].strip() == "") for one in seen}),
        "users": sorted({number for one in seen for number in (one["Uid"] + " " + one["Gid"]).split()}),
        "identity": [raised(os.setuid, 0), raised(os.setgid, 0), raised(os.setgroups, [0])],
        "given": raised(os.chown, "/tmp", 0, 0),
    }
"""
    users = []
    for sort, seen in (await everywhere(driver, code)).items():
        assert (seen["held"], seen["walls"][0][:2], len(seen["walls"])) == (0, ["1", "2"], 1), sort
        assert len(seen["users"]) == 1, sort
        assert seen["users"] != ["0"], sort
        assert set(seen["identity"]) <= {EPERM, EINVAL}, sort  # EINVAL: an id that is not mapped
        assert seen["given"] in (EPERM, EINVAL), sort
        users += seen["users"]
    assert len(set(users)) == (len(users) if os.geteuid() == 0 else 1)


async def test_a_runtime_holds_its_own_descriptors_and_no_others(driver: ProcessContainers) -> None:
    """Streams, copies of them, its listening socket and the connection of this request; Node.js has its loop's, too."""
    code = """
def main(args):
    held = {}
    for name in os.listdir("/proc/2/fd"):
        try:
            held[name] = os.readlink("/proc/2/fd/" + name)
        except FileNotFoundError:
            continue  # the listing's own
    return {"held": held}
"""
    harmless = ("/dev/null", "anon_inode:[", "pipe:[", "/proc/2/fd", "/memfd:arguments")
    for sort, seen in (await everywhere(driver, code)).items():
        others = [file for file in seen["held"].values() if not file.startswith(harmless)]
        assert {file.partition(":")[0] for file in others} <= {"socket"}, (sort, others)
        assert len(others) <= (2 if sort in ("forked", "native") else 5), (sort, others)
        assert (seen["held"]["0"], seen["held"]["3"][:7]) == ("/dev/null", "socket:"), sort


async def test_nobody_flushes_the_hosts_disk(driver: ProcessContainers) -> None:
    """The kernel is not asked: it would say that there is no such file."""
    code = """
def main(args):
    with open("/tmp/mine", "w") as file:
        file.write("x")
        os.fsync(file)
    return {name: getattr(libc, name)(-1) for name in ("fsync", "fdatasync", "syncfs")}
"""
    assert await everywhere(driver, code) == {sort: {"fsync": 0, "fdatasync": 0, "syncfs": 0} for sort in SORTS}
