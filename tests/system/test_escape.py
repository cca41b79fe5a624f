"""Hostile actions: what they try to see, to change and to use up of others (docs/adr/0002-sandbox.md).

What more ordinary code meets is in test_sandbox.py. Run by root, the last test there runs this file as an ordinary
user, too.
"""

import asyncio
import ctypes
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.unit.containers.calls import collected, exhausted, init, result, run, spec
from upcall.containers.process import ProcessContainers
from upcall.containers.sandbox import cgroups
from upcall.errors import Misconfigured

ROOT = os.geteuid() == 0
OK = "def main(args):\n    return {'ok': 1}\n"


@pytest.fixture
async def driver(folder: Path) -> AsyncIterator[ProcessContainers]:
    """One that was started by a process with many open descriptors: those of its zygote have high numbers, too."""
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(open("/dev/null"))
        made = ProcessContainers(folder, pids=64)
        await made.start()
        yield made
        await made.close()


async def hostile(driver: ProcessContainers, code: str, value: Any = None, tenant: str = "evil") -> Any:
    return await result(await driver.create(spec(tenant)), code, value)


async def test_no_descriptor_is_inherited_but_streams_and_socket(driver: ProcessContainers) -> None:
    code = """
import os, subprocess
def main(args):
    files = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    held = [os.readlink(file) for file in files if os.path.lexists(file)]
    ran = subprocess.run(["ls", "/proc/self/fd"], capture_output=True, text=True, close_fds=False).stdout.split()
    return {"held": sorted(name.partition(":")[0] for name in held), "ran": len(ran)}
"""
    seen = await hostile(driver, code)
    # its own listing of the folder is closed; pipes: the outputs, and a copy of one for the order; sockets: listening,
    # and the connection of this request
    held = [name for name in seen["held"] if not name.startswith("/proc/")]
    assert held == ["/dev/null", "pipe", "pipe", "pipe", "socket", "socket"]
    assert seen["ran"] == 4  # three streams, and the folder that `ls` reads


INIT = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
def attempt(number, *args):
    args = [ctypes.c_long(value) if isinstance(value, int) else value for value in args]
    return 0 if libc.syscall(ctypes.c_long(number), *args) >= 0 else ctypes.get_errno()
def raised(what):
    try:
        what()
    except OSError as error:
        return error.errno
    return 0
def main(args):
    there = int(open("/proc/self/maps").readline().partition("-")[0], 16)
    buffer = ctypes.create_string_buffer(8)
    mine, its = Part(ctypes.addressof(buffer), 8), Part(there, 8)
    return {
        "ptrace": attempt(101, 16, 1, 0, 0),
        "process_vm_readv": attempt(310, 1, ctypes.byref(mine), 1, ctypes.byref(its), 1, 0),
        "memory": raised(lambda: open("/proc/1/mem", "rb")),
        "descriptors": raised(lambda: os.listdir("/proc/1/fd")),
        "namespaces": raised(lambda: os.open("/proc/1/ns/net", os.O_RDONLY)),
    }
"""


async def test_init_cannot_be_read_or_traced(driver: ProcessContainers) -> None:
    assert set((await hostile(driver, INIT)).values()) == {1, 13}  # EPERM, EACCES


CALLS = """
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
def attempt(number, *args):
    args = [ctypes.c_long(value) if isinstance(value, int) else value for value in args]
    return 0 if libc.syscall(ctypes.c_long(number), *args) >= 0 else ctypes.get_errno()
def died_of(what):
    pid = os.fork()
    if pid == 0:
        what()
        os._exit(0)
    return os.waitpid(pid, 0)[1] & 127
def compatible():
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))  # mov eax, getpid; int 0x80; ret
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
def main(args):
    refused = {number: attempt(number, *values) for number, values in {
        155: (b"/tmp", b"/tmp"), 161: (b"/tmp",), 166: (b"/tmp", 2), 163: (0,), 167: (b"/tmp", 0), 169: (0, 0, 0, 0),
        172: (3,), 173: (0, 1, 1), 175: (0, 0, 0), 179: (0, 0, 0, 0), 248: (b"user", b"a", b"b", 1, -3),
        249: (b"user", b"a", 0, -3), 300: (0, 0), 304: (-100, 0, 0), 308: (0, 0), 312: (1, 2, 0, 0, 0), 323: (0,),
        428: (-100, b"/", 1), 429: (0, b"", 0, b"", 0), 430: (b"tmpfs", 0), 438: (3, 0, 0), 442: (-100, b"/", 0, 0, 32),
    }.items()}
    refused |= {f"unshare {flag:x}": attempt(272, flag) for flag in (1 << 17, 1 << 25, 1 << 26, 1 << 29, 1 << 30, 128)}
    refused["clone"] = attempt(56, 0x10000011, 0, 0, 0, 0)
    foreign = [died_of(compatible), died_of(lambda: libc.syscall(0x40000000 + 39))]
    return {"refused": refused, "foreign": foreign}
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls of this architecture")
async def test_calls_that_need_power_are_refused_in_every_calling_convention(driver: ProcessContainers) -> None:
    seen = await hostile(driver, CALLS)
    assert {name: errno for name, errno in seen["refused"].items() if errno != 1} == {}
    assert seen["foreign"] == [31, 31]  # SIGSYS


LEAVE = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
kept = []
def main(args):
    made = [libc.shmget(77, 4096, 0o1666), libc.semget(77, 1, 0o1666), libc.msgget(77, 0o1666)]
    made.append(libc.mq_open(b"/left", 0o102, 0o666, None))
    for path in ("/tmp/left", "/dev/shm/left"):
        os.close(os.open(path, os.O_CREAT))
    for family, address in ((socket.AF_UNIX, "\\0left"), (socket.AF_INET, ("127.0.0.1", 7777))):
        kept.append(socket.socket(family))
        kept[-1].bind(address)
        kept[-1].listen()
    __import__("json").left = os.environ["LEFT"] = "1"
    return {"uid": os.getuid(), "made": min(made)}
"""
LOOK = """
import ctypes, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def reached(family, address):
    return socket.socket(family).connect_ex(address) == 0
def main(args):
    found = [libc.shmget(77, 0, 0), libc.semget(77, 0, 0), libc.msgget(77, 0), libc.mq_open(b"/left", 0)]
    found += [name for folder in ("/tmp", "/dev/shm") for name in os.listdir(folder)]
    found += [reached(socket.AF_UNIX, "\\0left"), reached(socket.AF_INET, ("127.0.0.1", 7777))]
    return {"uid": os.getuid(), "found": [*found, hasattr(json, "left"), os.environ.get("LEFT")]}
"""


async def test_nothing_of_one_tenant_is_left_for_the_next_with_the_same_user(driver: ProcessContainers) -> None:
    first = await driver.create(spec("first"))
    left = await result(first, LEAVE)
    assert left["made"] >= 0
    beside = await hostile(driver, LOOK, tenant="beside")
    await first.destroy()
    driver._count = first._number - 1
    after = await hostile(driver, LOOK, tenant="after")
    assert after["uid"] == left["uid"]
    assert beside["found"] == after["found"] == [-1, -1, -1, -1, False, False, False, None]


async def test_a_paused_container_cannot_wake_itself(driver: ProcessContainers) -> None:
    code = """
import os, signal
def main(args):
    if os.fork() == 0:
        while True:
            os.kill(1, signal.SIGUSR2)
            os.write(1, b"alive\\n")
    return {}
"""
    container = await driver.create(spec("evil"))
    await result(container, code)
    await container.pause()
    await asyncio.sleep(0.05)
    await collected(container)
    await asyncio.sleep(0.2)
    assert await collected(container) == []
    await container.resume()
    async with asyncio.timeout(30):
        while not await collected(container):
            await asyncio.sleep(0.01)


@pytest.mark.skipif("freezer" in cgroups.detect(), reason="a freezer holds everybody here")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls of this architecture")
async def test_a_paused_container_that_has_itself_woken_by_a_timer_ends(driver: ProcessContainers) -> None:
    """A timer whose signal is pending when SIGSTOP comes never fires again, so there are three."""
    code = """
import ctypes, os, signal, struct
libc = ctypes.CDLL(None, use_errno=True)
def main(args):
    signal.signal(signal.SIGCONT, lambda *_: None)
    if os.fork() == 0:
        armed = 0
        for often in (10_000_000, 70_000_000, 300_000_000):
            timer = ctypes.c_int()
            made = libc.syscall(222, 1, struct.pack("qii48x", 0, signal.SIGCONT, 0), ctypes.byref(timer))
            armed += made == 0 and libc.syscall(223, timer, 0, struct.pack("4q", 0, often, 0, often), None) == 0
        if armed == 3:
            os.write(1, b"armed\\n")
        while True:
            pass
    return {}
"""
    container = await driver.create(spec("evil"))
    lost = asyncio.Event()
    container.lost = lost.set
    await result(container, code)
    while await collected(container) != ["stdout: armed"]:
        await asyncio.sleep(0.01)
    await container.pause()
    async with asyncio.timeout(20):
        await lost.wait()


@pytest.mark.skipif("freezer" in cgroups.detect(), reason="a freezer holds everybody here")
async def test_a_container_that_stays_stopped_is_left_alone(driver: ProcessContainers) -> None:
    code = """
import os
def main(args):
    if args and os.fork() == 0:
        while True:
            pass
    return {"ok": 1}
"""
    container = await driver.create(spec())
    await result(container, code, {"busy": True})
    await container.pause()
    await asyncio.sleep(3.5)
    await container.resume()
    assert await run(container) == (200, {"ok": 1})


async def test_descriptors_in_flight_do_not_keep_others_from_starting(driver: ProcessContainers) -> None:
    code = """
import array, os, socket
kept = []
def main(args):
    file = os.open("/dev/null", os.O_RDONLY)
    while True:
        kept.extend(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
        kept[-1].setblocking(False)
        try:
            for _ in range(8):
                kept[-1].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file] * 250))])
        except BlockingIOError:
            continue
        except OSError as error:
            return {"errno": error.errno}
"""
    assert (await hostile(driver, code))["errno"] == 109  # ETOOMANYREFS
    assert await hostile(driver, OK, tenant="other") == {"ok": 1}


@pytest.mark.skipif("memory" not in cgroups.detect(), reason="no memory controller may be used here")
async def test_what_sockets_buffer_is_the_containers_memory(driver: ProcessContainers) -> None:
    code = """
import socket
kept = []
def main(args):
    server, held = socket.create_server(("127.0.0.1", 0)), 0
    for _ in range(80):
        kept.extend((socket.create_connection(server.getsockname()), server.accept()[0]))
        for end in kept[-2:]:
            end.setblocking(False)
            try:
                while True:
                    held += end.send(bytes(1 << 20))
            except BlockingIOError:
                continue
    return {"held": held}
"""
    container = await driver.create(spec("evil", memory=64))
    try:
        assert (await result(container, code))["held"] < 160 << 20  # 580 MB where nothing bounds it
    except (asyncio.IncompleteReadError, ConnectionError):
        assert await exhausted(container)


@pytest.mark.skipif("cpu" not in cgroups.detect(), reason="no cpu controller may be used here")
async def test_busy_processes_share_the_part_of_one_container(driver: ProcessContainers) -> None:
    code = """
import os
def main(args):
    for _ in range(50):
        if os.fork() == 0:
            os.setsid()
            while True:
                pass
    return {}
"""
    other = await driver.create(spec("other"))
    await init(other, OK)
    evil = await driver.create(spec("evil"))
    await result(evil, code)
    times = []
    for _ in range(9):
        begin = asyncio.get_running_loop().time()
        await run(other)
        times.append(asyncio.get_running_loop().time() - begin)
    assert sorted(times)[4] < 0.02  # 0.5 ms here; 40 ms where every process counts for itself
    await evil.destroy()


async def test_what_the_kernel_counts_per_user_is_bounded_and_no_core_goes_anywhere(driver: ProcessContainers) -> None:
    code = """
import resource
def main(args):
    return {name: resource.getrlimit(getattr(resource, "RLIMIT_" + name))[1] for name in args["names"]}
"""
    bounds = {"CORE": 1, "SIGPENDING": 1024, "NPROC": 64, "NOFILE": 1024, "MSGQUEUE": 1 << 18}
    seen = await hostile(driver, code, {"names": list(bounds)})
    assert {name: value for name, value in seen.items() if value > bounds[name]} == {}
    assert seen["CORE"] == 1  # and not 0, which a core_pattern with a pipe does not heed


async def test_watchers_of_files_are_left_for_the_host_and_for_others(driver: ProcessContainers) -> None:
    code = """
import ctypes
def main(args):
    libc, made = ctypes.CDLL(None), 0
    while made < 1000 and libc.inotify_init() >= 0:
        made += 1
    return {"made": made}
"""
    evil = await hostile(driver, code)
    host = ctypes.CDLL(None).inotify_init()
    assert host >= 0
    os.close(host)
    assert await hostile(driver, code, tenant="other") == evil == {"made": 16}


@pytest.mark.skipif(not ROOT, reason="a user's code could take it back")
async def test_the_host_sacrifices_sandboxes_first(driver: ProcessContainers) -> None:
    code = "def main(args):\n    return {'is': open('/proc/self/oom_score_adj').read().strip()}\n"
    assert await hostile(driver, code) == {"is": "1000"}


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
async def test_a_run_folder_that_somebody_else_has_made_is_refused(folder: Path) -> None:
    theirs = folder / "upcall-0"
    (theirs / "run").mkdir(parents=True)
    os.chown(theirs, 4711, 4711)
    with pytest.raises(Misconfigured, match="others may change"):
        await ProcessContainers(theirs / "run").start()
    os.chown(theirs / "run", 4711, 4711)
    with pytest.raises(Misconfigured, match="belongs to somebody else"):
        await ProcessContainers(theirs / "run").start()
