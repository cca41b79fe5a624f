"""Tenants that do their worst in containers, through the platform: what they do costs them, and nobody else."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.docker.evil import configured
from tests.docker.platform import on_docker, printed, recorded
from tests.system.engine import Engine
from tests.system.serving import Platform
from upcall.invoker.canary import IN_A_ROW
from upcall.model import texts

pytestmark = [pytest.mark.usefixtures("inside"), pytest.mark.timeout(180)]

CAPABILITIES = 0xA80425FB & ~(1 << 13)
"""Docker's own without NET_RAW, as upstream's containers have them (NET_ADMIN is none of Docker's)."""
LOOK = """
import ctypes, errno, os, socket, stat

libc = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, NEWNET = 0x20000, 0x10000000, 0x40000000
GROUPS = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"  # of version 1; of version 2

def tried(act, *args):
    ctypes.set_errno(0)
    try:
        result = act(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
    return errno.errorcode.get(ctypes.get_errno(), "done") if result == -1 else "done"

def device():
    os.mknod("/tmp/disk", 0o600 | stat.S_IFBLK, os.makedev(8, 0))
    os.open("/tmp/disk", os.O_RDONLY)

def main(args):
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file.read().splitlines())
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split()[4] for line in file.read().splitlines()]
    return {
        "status": {name: status[name].strip() for name in ("CapEff", "CapBnd", "Seccomp", "Uid")},
        "fifos": sorted(mount for mount in mounts if "upcall" in mount),
        "environment": sorted(os.environ),
        "sockets": [path for path in ("/var/run/docker.sock", "/run/containerd") if os.path.exists(path)],
        "tried": {
            "user namespace": tried(libc.unshare, NEWUSER),
            "mount namespace": tried(libc.unshare, NEWNS),
            "network namespace": tried(libc.unshare, NEWNET),
            "mount": tried(libc.mount, b"none", b"/tmp", b"tmpfs", 0, None),
            "raw socket": tried(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1),
            "packet socket": tried(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0),
            "kernel setting": tried(os.open, "/proc/sys/kernel/core_pattern", os.O_WRONLY),
            "control group": tried(os.mkdir, next(each for each in GROUPS if os.path.exists(each)) + "/own"),
            "host's disk": tried(device),
            "keys": tried(libc.syscall, 250, 0, 0, 0, 0),
        },
    }
"""
BOMBS = {
    "processes": """
import os, time
def main(args):
    while True:
        try:
            if os.fork() == 0:
                time.sleep(1000)
        except OSError as error:
            return {"errno": error.errno}
""",
    "memory": "def main(args):\n    kept = []\n    while True:\n        kept.append(bytearray(1 << 20))",
    "files": """
def main(args):
    kept = []
    while True:
        try:
            kept.append(open("/dev/null"))
        except OSError as error:
            return {"errno": error.errno}
""",
}
FLOOD = """
import os, subprocess, sys
SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
CHILD = '''
import os, sys
out, err = os.open("/dev/upcall.stdout", os.O_RDWR), os.open("/dev/upcall.stderr", os.O_RDWR)
while True:
    for fd in (out, err):
        os.write(fd, sys.argv[1].encode())
'''

def main(args):
    os.chmod("/dev/upcall.stdout", 0)
    os.chown("/dev/upcall.stderr", 1000, 1000)
    text = {"lines": "\\n" * 4096, "sentinels": (SENTINEL + "\\n") * 100, "parts": SENTINEL * 100}[args["what"]]
    subprocess.Popen([sys.executable, "-S", "-c", CHILD, text])
    return {"floods": True}
"""


@pytest.fixture(scope="module")
def platform(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    data = tmp_path_factory.mktemp("hostile") / "data"
    with engine.inside(), on_docker(engine, data, "--memory", "4 GB") as made:
        made.create("victim", "def main(args):\n    print('mine')\n    return {'n': args['n'] + 1}")
        assert served(made) == ({"n": 2}, ["stdout: mine"])
        yield made


def served(platform: Platform) -> tuple[Any, list[str]]:
    """What somebody else gets meanwhile, and its log."""
    record = recorded(platform, "victim", n=1)
    return record["response"]["result"], printed(record)


def test_images_that_do_not_start_close_no_gate(platform: Platform, engine: Engine) -> None:
    image = configured(engine, "gate", "USER nosuch")
    for number in range(IN_A_ROW + 1):
        action = {"exec": {"kind": "blackbox", "image": image}}
        assert platform.call("PUT", f"actions/gate{number}", action).status == 200
        response = recorded(platform, f"gate{number}")["response"]
        assert (response["status"], response["result"]) == ("whisk internal error", {"error": texts.PROVISION})
    assert "could not be made" not in platform.output.read_text()
    assert served(platform) == ({"n": 2}, ["stdout: mine"])


def test_the_kernel_grants_what_upstreams_containers_have_and_nothing_more(platform: Platform) -> None:
    platform.create("look", LOOK)
    found = recorded(platform, "look")["response"]["result"]
    status = found["status"]
    assert (int(status["CapEff"], 16), int(status["CapBnd"], 16)) == (CAPABILITIES, CAPABILITIES)
    assert (status["Seccomp"], status["Uid"].split()) == ("2", ["0"] * 4)
    assert found["fifos"] == ["/dev/upcall.stderr", "/dev/upcall.stdout"]
    assert found["sockets"] == []
    assert not [name for name in found["environment"] if "KEY" in name or "AUTH" in name or "PASS" in name]
    assert {what for what, how in found["tried"].items() if how == "done"} == set(), found["tried"]


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_goes_off_in_its_own_container(platform: Platform, bomb: str) -> None:
    platform.create(f"bomb-{bomb}", BOMBS[bomb], limits={"timeout": 20_000, "memory": 128})
    with beside(lambda: recorded(platform, f"bomb-{bomb}")) as went_off:
        for _ in range(3):
            assert served(platform) == ({"n": 2}, ["stdout: mine"])
    response = went_off[0]["response"]
    if bomb == "memory":
        assert response["result"] == {"error": texts.MEMORY_EXHAUSTED}
    else:
        assert response["status"] != "whisk internal error"
    assert served(platform) == ({"n": 2}, ["stdout: mine"])


@pytest.mark.parametrize("what", ["lines", "sentinels", "parts"])
def test_who_floods_between_activations_spoils_only_own_logs(platform: Platform, what: str) -> None:
    platform.create(f"flood-{what}", FLOOD, limits={"logs": 1})
    assert recorded(platform, f"flood-{what}", what=what)["response"]["result"] == {"floods": True}
    for _ in range(3):
        assert served(platform) == ({"n": 2}, ["stdout: mine"])
    platform.call("DELETE", f"actions/flood-{what}")


@pytest.mark.parametrize("name", ["x" * 256, "a@b .-c_d", "_.-.-@"], ids=["long", "odd", "odder"])
def test_whatever_an_action_is_called_it_has_a_container(platform: Platform, name: str) -> None:
    platform.create(quote(name), "def main(args): return {'named': True}")
    assert recorded(platform, quote(name))["response"]["result"] == {"named": True}


@contextlib.contextmanager
def beside(act: Callable[[], Any]) -> Iterator[list[Any]]:
    """Something that goes on in a thread; what has come of it is there at the end."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    yield found
    thread.join(60)
