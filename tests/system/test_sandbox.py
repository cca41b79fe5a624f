"""The walls of the sandbox, and what is left when the platform dies (docs/adr/0002-sandbox.md).

Run by root everything is tried as root; `ordinary` runs this file again as an ordinary user.
"""

import asyncio
import base64
import io
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.system.ordinary.user import REPOSITORY, as_root
from tests.unit.containers.calls import exhausted, init, result, run, spec
from upcall.containers.process import ProcessContainers
from upcall.containers.sandbox import cgroups
from upcall.model import texts

with_memory = pytest.mark.skipif("memory" not in cgroups.detect(), reason="no memory controller may be used here")

LOOK = """
import os
def main(args):
    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
    return {
        "uid": os.getuid(), "pid": os.getpid(), "status": status,
        "namespaces": {name: os.readlink("/proc/self/ns/" + name) for name in os.listdir("/proc/self/ns")},
        "pids": [int(name) for name in os.listdir("/proc") if name.isdigit()],
    }
"""


async def look(driver: ProcessContainers, code: str, value: Any = None, tenant: str = "guest") -> Any:
    return await result(await driver.create(spec(tenant)), code, value)


async def test_namespaces_are_its_own_and_the_network_is_its_tenants(driver: ProcessContainers) -> None:
    one, two, other = [await look(driver, LOOK, tenant=tenant) for tenant in ("a", "a", "b")]
    for name in ("pid", "mnt", "ipc", "uts", "net", "user"):
        assert one["namespaces"][name] != os.readlink(f"/proc/self/ns/{name}"), name
    for name in ("pid", "mnt", "ipc", "uts"):
        assert len({seen["namespaces"][name] for seen in (one, two, other)}) == 3, name
    assert one["namespaces"]["net"] == two["namespaces"]["net"] != other["namespaces"]["net"]
    assert one["pids"] == [1, 2]


async def test_it_has_no_capabilities_no_way_to_new_ones_and_a_filter(driver: ProcessContainers) -> None:
    status = (await look(driver, LOOK))["status"]
    assert {name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd")} == {
        "CapEff": 0, "CapPrm": 0, "CapInh": 0, "CapAmb": 0, "CapBnd": 0,
    }  # fmt: skip
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@as_root
async def test_every_container_of_roots_platform_has_its_own_user(driver: ProcessContainers) -> None:
    seen = [await look(driver, LOOK) for _ in range(2)]
    assert len({one["uid"] for one in seen}) == 2
    assert all(one["uid"] >= 1000 and one["status"]["Groups"].strip() == "" for one in seen)


async def test_the_host_is_not_to_be_seen(driver: ProcessContainers, folder: Path) -> None:
    (folder / "secret").write_text("x")
    code = """
import os
def main(args):
    found = {path: os.listdir(path) if os.path.isdir(path) else None for path in args["paths"] if os.path.exists(path)}
    writable = [path for path, _, _ in os.walk("/") if os.access(path, os.W_OK) and not path.startswith("/proc")]
    return {"found": found, "writable": writable, "users": open("/etc/passwd").read()}
"""
    paths = ["/home", "/root", "/sys", "/etc/shadow", "/boot", "/mnt", "/srv", "/var/lib", str(folder), str(REPOSITORY)]
    seen = await look(driver, code, {"paths": paths})
    way = Path(sys.base_prefix).parts  # of the interpreter, which has to be there
    assert seen["found"] == ({"/" + way[1]: [way[2]]} if way[1] in ("root", "home") else {})
    assert set(seen["writable"]) == {"/tmp", "/dev/shm", "/action"}
    assert [line.split(":")[0] for line in seen["users"].splitlines()] == ["root", "action", "nobody"]


ATTEMPTS = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def attempt(number, *args):
    ctypes.set_errno(0)
    return 0 if libc.syscall(number, *args) >= 0 else ctypes.get_errno()
def raised(what):
    try:
        what()
    except OSError as error:
        return error.errno
    return 0
def main(args):
    return {
        "mount": attempt(165, b"none", b"/tmp", b"tmpfs", 0, None),
        "unshare user": attempt(272, 0x10000000),
        "keyctl": attempt(250, 0, -3, 0, 0, 0),
        "bpf": attempt(321, 0, 0, 0),
        "perf": attempt(298, 0, 0, 0, 0, 0),
        "syslog": attempt(103, 3, ctypes.create_string_buffer(16), 16),
        "io_uring": attempt(425, 1, 0),
        "clone3": attempt(435, 0, 0),
        "raw socket": raised(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
        "packet socket": raised(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)),
        "device": raised(lambda: os.mknod("/tmp/d", 0o20666, os.makedev(1, 1))),
        "kill init": raised(lambda: os.kill(1, 9)),
        "host loopback": raised(lambda: socket.create_connection(("127.0.0.1", args["port"]), 1)),
        "metadata": raised(lambda: socket.create_connection(("169.254.169.254", 80), 1)),
        "setuid": raised(lambda: os.setuid(0)),
    }
"""


async def test_attempts_to_get_out_fail(driver: ProcessContainers) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        seen = await look(driver, ATTEMPTS, {"port": server.sockets[0].getsockname()[1]})
    # 1 EPERM, 38 ENOSYS, 101 network unreachable, 111 refused, 22 EINVAL (an id that is not mapped)
    assert seen.pop("kill init") in (0, 1)  # accepted and without effect: init is still there, we got an answer
    assert seen.pop("clone3") == 38
    assert seen.pop("host loopback") == 111
    assert seen.pop("metadata") == 101
    assert seen.pop("setuid") in (1, 22)
    assert set(seen.values()) == {1}, seen


async def test_files_of_one_container_are_not_seen_in_another(driver: ProcessContainers) -> None:
    code = """
import os
def main(args):
    seen = [name for folder in ("/tmp", "/dev/shm") for name in os.listdir(folder)]
    for folder in ("/tmp", "/dev/shm"):
        open(os.path.join(folder, "mine"), "w").close()
    return {"seen": seen}
"""
    assert [(await look(driver, code))["seen"] for _ in range(2)] == [[], []]


async def test_a_full_tmp_is_the_actions_problem_alone(driver: ProcessContainers) -> None:
    code = """
def main(args):
    try:
        with open("/tmp/big", "wb") as file:
            for _ in range(args["mb"]):
                file.write(bytes(1 << 20))
    except OSError as error:
        return {"errno": error.errno}
    return {"errno": 0}
"""
    container = await driver.create(spec(memory=64))
    await init(container, code)
    try:
        assert (await run(container, {"mb": 80}))[1]["errno"] in (27, 28)  # too large, or no space
    except (asyncio.IncompleteReadError, ConnectionError):
        assert await exhausted(container)  # temporary files count as memory
    assert await look(driver, "def main(args):\n    return {'ok': 1}\n") == {"ok": 1}


async def test_a_zip_bomb_is_refused(driver: ProcessContainers) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("__main__.py", "def main(args):\n    return {}\n")
        archive.writestr("bomb", bytes(80 << 20))
    status, answer = await init(
        await driver.create(spec(memory=64)), base64.b64encode(buffer.getvalue()).decode(), binary=True
    )
    assert status == 502
    assert answer["error"].startswith("The action's zip file is too large")


EAT = "def main(args):\n    eaten = bytearray(args['mb'] << 20)\n    return {'n': len(eaten)}\n"


@with_memory
async def test_more_memory_than_promised_kills_and_says_so(driver: ProcessContainers) -> None:
    container = await driver.create(spec(memory=64))
    await init(container, EAT)
    assert (await run(container, {"mb": 16}))[0] == 200
    assert not await exhausted(container)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await run(container, {"mb": 200})
    assert await exhausted(container)
    await container.destroy()
    assert await exhausted(container)


@pytest.mark.skipif("memory" in cgroups.detect(), reason="a memory controller does this here")
async def test_more_memory_than_promised_is_refused_where_no_cgroup_may_be_used(driver: ProcessContainers) -> None:
    container = await driver.create(spec(memory=64))
    await init(container, EAT)
    status, answer = await run(container, {"mb": 200})
    assert (status, answer) == (502, {"error": texts.MEMORY_EXHAUSTED})
    assert (await run(container, {"mb": 1}))[0] == 200


async def test_a_fork_bomb_is_bounded_and_hurts_nobody_else(driver: ProcessContainers) -> None:
    code = """
import os, time
def main(args):
    made = 0
    for _ in range(1000):
        try:
            if os.fork() == 0:
                time.sleep(1000)
        except BlockingIOError:
            break
        made += 1
    return {"made": made}
"""
    bomb = await driver.create(spec())
    assert 50 <= (await result(bomb, code))["made"] <= 64
    code = "import subprocess\ndef main(args):\n    return {'code': subprocess.run(['true']).returncode}\n"
    assert await look(driver, code) == {"code": 0}
    await bomb.destroy()


THREADS = """
import sys, threading
def down(n):
    return 0 if n == 0 else 1 + down(n - 1)
def depth(value, seen):
    try:
        seen.append(down(sys.getrecursionlimit()))
    except RecursionError:
        seen.append("RecursionError")
    seen.append(down(sys.getrecursionlimit() - 100))
def main(args):
    seen = []
    depth(args, seen)
    one = threading.Thread(target=depth, args=(args, seen))
    one.start()
    one.join()
    go, threads = threading.Event(), []
    for _ in range(args["n"]):
        threads.append(threading.Thread(target=go.wait))
        threads[-1].start()
    go.set()
    for thread in threads:
        thread.join()
    def greedy(_):  # of the main thread's stack: more than 2 MiB until the limit
        return sorted([1], key=greedy)
    try:
        greedy(1)
    except RecursionError:
        return {"seen": seen, "threads": len(threads)}
"""


async def test_many_threads_fit_and_recursion_ends_by_its_own_limit(folder: Path) -> None:
    driver = ProcessContainers(folder)
    await driver.start()
    try:
        answer = await result(await driver.create(spec(memory=256)), THREADS, {"n": 200})
    finally:
        await driver.close()
    assert answer == {"seen": ["RecursionError", 900] * 2, "threads": 200}


async def test_random_numbers_differ_between_containers(driver: ProcessContainers) -> None:
    code = "import random\ndef main(args):\n    return {'r': [random.random(), random.SystemRandom().random()]}\n"
    seen = [(await look(driver, code))["r"] for _ in range(3)]
    assert len({value for pair in seen for value in pair}) == 6
