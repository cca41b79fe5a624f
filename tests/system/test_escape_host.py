"""Ways to what is the host's or a neighbour's, one a test, by code of every sort of container (`attacks`).

Ways through the kernel are in test_escape_kernel.py, what is used up of others in test_escape.py. Run by root,
`ordinary` runs this file again as an ordinary user.
"""

import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator
from errno import EACCES, EADDRNOTAVAIL, ECONNREFUSED, ENETUNREACH, ENOENT, EPERM
from pathlib import Path

import pytest

from tests.system.attacks import SORTS, all_refused, container, everywhere
from tests.system.ordinary.user import REPOSITORY
from tests.unit.containers.calls import init, run
from upcall.containers.process import ProcessContainers


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """Known to the platform's process and to whoever asks for its environment."""
    made = secrets.token_hex(16)
    monkeypatch.setenv("UPCALL_TEST_SECRET", made)
    return made


@pytest.fixture
async def driver(secret: str, folder: Path) -> AsyncIterator[ProcessContainers]:
    made = ProcessContainers(folder, pids=64)
    await made.start()
    yield made
    await made.close()


async def test_host_files_are_not_there_by_any_way(driver: ProcessContainers, folder: Path) -> None:
    (folder / "secret").write_text("x")
    (folder / "secret").chmod(0o644)
    code = """
def main(args):
    os.makedirs("/tmp/links", exist_ok=True)
    seen = {}
    for number, path in enumerate(args["paths"]):
        link = f"/tmp/links/{number}"
        os.symlink(path, link)
        ways = [path, link, "/proc/self/root" + path, "/proc/self/cwd/../../.." + path, "/proc/1/root" + path]
        ways += [f"/proc/self/fd/{name}{path}" for name in os.listdir("/proc/self/fd")]
        seen[path] = [way for way in ways if raised(os.stat, way) == 0]
    return {"found": {path: ways for path, ways in seen.items() if ways}}
"""
    paths = [str(folder / "secret"), "/etc/shadow", "/etc/hostname", "/etc/machine-id", "/boot", "/lost+found"]
    paths += ["/var/log", "/var/lib", "/sys/kernel", "/root/.ssh", "/home/user", str(REPOSITORY / "pyproject.toml")]
    seen = await everywhere(driver, code, {"paths": paths})
    assert seen == {sort: {"found": {}} for sort in SORTS}


async def test_what_is_mounted_can_be_written_in_its_own_folders_alone(driver: ProcessContainers) -> None:
    code = """
def main(args):
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split() for line in file]
    def write(path):
        os.close(os.open(path, os.O_WRONLY))
    knobs = ("sysrq-trigger", "sys/kernel/core_pattern", "sys/kernel/hostname", "sys/vm/drop_caches", "1/oom_score_adj",
        "sys/user/max_inotify_instances", "sys/net/ipv4/ip_forward", "1/uid_map", "irq/default_smp_affinity")
    return {
        "open": sorted({mount[4] for mount in mounts if "ro" not in mount[5].split(",")}),
        "privileged": [mount[4] for mount in mounts if "nosuid" not in mount[5].split(",")],
        "devices": [mount[4] for mount in mounts if "nodev" not in mount[5].split(",")],
        "knobs": [name for name in knobs if raised(write, "/proc/" + name) == 0],
    }
"""
    devices = [f"/dev/{name}" for name in ("full", "null", "random", "urandom", "zero")]
    for sort, seen in (await everywhere(driver, code)).items():
        assert seen["open"] == sorted([*devices, "/action", "/dev/shm", "/proc", "/tmp"]), sort
        assert sorted(seen["devices"]) == devices, sort
        assert (seen["privileged"], seen["knobs"]) == ([], []), sort


async def test_proc_shows_the_containers_own_processes_and_no_others(driver: ProcessContainers) -> None:
    code = """
def main(args):
    def read(path):
        with open(path, "rb") as file:
            return file.read()
    numbers = [name for name in os.listdir("/proc") if name.isdigit()]
    own = os.readlink("/proc/self/ns/pid")
    foreign = [name for name in numbers if name != "1" and os.readlink(f"/proc/{name}/ns/pid") != own]
    closed = [raised(read, f"/proc/1/{name}") for name in ("environ", "mem", "maps", "auxv", "stack", "syscall")]
    ways = [raised(os.listdir, f"/proc/1/{name}") for name in ("root", "cwd", "fd", "map_files")]
    reach = [raised(os.kill, number, 0) for number in args["pids"]]
    return {"count": len(numbers), "foreign": foreign, "closed": closed + ways, "reach": reach}
"""
    beside = await container(driver, "forked", "beside")
    assert await init(beside, "def main(args):\n    return {}\n") == (200, {"ok": True})
    for sort, seen in (await everywhere(driver, code, {"pids": [os.getpid(), driver.zygote_pid()]})).items():
        assert seen["count"] <= 3, sort  # init, the runtime, and what it has started
        assert (seen["foreign"], seen["reach"]) == ([], [3, 3]), sort  # ESRCH
        assert set(seen["closed"]) <= {EPERM, EACCES}, (sort, seen)


SEARCH = """
import os
def holds(path, secret):
    with open(path, "rb") as file:
        return secret in file.read()
def in_memory(pid, secret):
    parts = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            if "r" in line.split()[1] and not line.split()[-1].startswith(("[v", "/")) and end - begin < 1 << 28:
                memory.seek(begin)
                found = memory.read(end - begin)
                parts += 1
                if secret in found:
                    return -parts
    return parts
def main(args):
    secret = bytes(byte ^ 1 for byte in bytes.fromhex(args["masked"]))
    numbers = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
    return {
        "environments": [name for name in numbers if holds(f"/proc/{name}/environ", secret)],
        "names": sorted(os.environ),
        "memory": in_memory(2, secret) if os.getpid() != 2 else 1,
    }
"""


async def test_the_platforms_environment_is_not_there(driver: ProcessContainers, secret: str) -> None:
    """Nor is what it holds in the memory of the runtime, which is a copy of the zygote's."""
    masked = bytes(byte ^ 1 for byte in secret.encode()).hex()
    allowed = {"PATH", "LANG", "LC_CTYPE", "HOME", "PWD", "__OW_API_HOST", "__OW_ALLOW_CONCURRENT"}
    for sort, seen in (await everywhere(driver, SEARCH, {"masked": masked})).items():
        assert (seen["environments"], set(seen["names"]) - allowed) == ([], set()), sort
        assert seen["memory"] > 0, sort


async def test_sockets_of_the_host_and_of_other_containers_are_out_of_reach(
    driver: ProcessContainers, folder: Path
) -> None:
    code = """
def reach(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
def main(args):
    here = [os.path.join(top, name) for top in ("/run", "/var", "/tmp", "/dev", "/action")
        for top, _, names in os.walk(top) for name in names]
    with open("/proc/net/unix") as file:
        named = [line.split()[7] for line in file.readlines()[1:] if len(line.split()) > 7]
    return {
        "reach": {path.lstrip(chr(0)): raised(reach, path) for path in args["paths"]},
        "sockets": [path for path in here if os.lstat(path).st_mode & 0o170000 == 0o140000], "named": named,
    }
"""
    beside = await container(driver, "forked", "beside")
    abstract = f"\0upcall-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as named:
        listening.bind(str(folder / "host.sock"))
        named.bind(abstract)
        for each in (listening, named):
            each.listen()
        paths = [
            str(folder / "host.sock"),
            abstract,
            beside.address.path or "",
            "/run/docker.sock",
            "/var/run/nscd/socket",
        ]
        for sort, seen in (await everywhere(driver, code, {"paths": paths})).items():
            errors = {path: error for path, error in seen["reach"].items() if error not in (ENOENT, ECONNREFUSED)}
            assert errors == {}, sort
            assert (seen["sockets"], seen["named"]) == ([], []), sort


async def test_the_hosts_loopback_is_not_the_containers(driver: ProcessContainers) -> None:
    code = """
def main(args):
    def reach(address, port):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
            client.settimeout(5)
            client.connect((address, port))
    return {address: raised(reach, address, port) for address, port in args["servers"]}
"""
    with contextlib.ExitStack() as stack:
        servers = []
        for address, family in (
            ("127.0.0.1", socket.AF_INET),
            ("127.0.0.53", socket.AF_INET),
            ("::1", socket.AF_INET6),
        ):
            server = stack.enter_context(socket.create_server((address, 0), family=family))
            servers.append((address, server.getsockname()[1]))
        all_refused(await everywhere(driver, code, {"servers": servers}), ECONNREFUSED, EADDRNOTAVAIL)


async def test_the_metadata_of_clouds_is_out_of_reach(folder: Path) -> None:
    """Without a network; by rule, where there is one, in test_outbound.py."""
    code = """
def main(args):
    def reach(address):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
            client.settimeout(5)
            client.connect((address, 80))
    return {address: raised(reach, address) for address in ("169.254.169.254", "169.254.170.2", "fd00:ec2::254")}
"""
    driver = ProcessContainers(folder, network="none")
    await driver.start()
    try:
        all_refused(await everywhere(driver, code), ENETUNREACH, EADDRNOTAVAIL)
    finally:
        await driver.close()


LEAVE = """
import socket
kept = []
def main(args):
    for folder in ("/tmp", "/dev/shm", "/action"):
        with open(f"{folder}/left-by-a-neighbour", "w") as file:
            file.write("x")
    for family, address in ((socket.AF_INET, ("0.0.0.0", 7777)), (socket.AF_INET6, ("::", 7778))):
        kept.append(socket.create_server(address, family=family))
    return {}
"""
LOOK = """
def main(args):
    def reach(address, port):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
            client.settimeout(5)
            client.connect((address, port))
    files = [name for folder in ("/tmp", "/dev/shm", "/action") for name in os.listdir(folder)]
    return {
        "files": [name for name in files if name.startswith("left")],
        "ports": [raised(reach, address, port) for address, port in (("127.0.0.1", 7777), ("::1", 7778))],
    }
"""


async def test_files_and_ports_of_a_neighbour_are_not_there(driver: ProcessContainers) -> None:
    """Nor by a container that waited for its tenant while the neighbour was about."""
    beside = await container(driver, "forked", "beside")
    assert await init(beside, LEAVE) == (200, {"ok": True})
    assert (await run(beside))[0] == 200
    for sort, seen in (await everywhere(driver, LOOK)).items():
        assert seen["files"] == [], sort
        assert set(seen["ports"]) <= {ECONNREFUSED, EADDRNOTAVAIL}, sort
