"""What every driver of containers owes its caller (`upcall.ports.Containers`).

Run by root it tries the driver as root; `tests/system/test_sandbox.py` runs this file again as an ordinary user.
"""

import asyncio
import base64
import io
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.containers.calls import MB, collected, connected, init, result, run, spec
from upcall.containers.process import ProcessContainers
from upcall.errors import StartFailed
from upcall.ports import Container, Containers, ContainerSpec

HELLO = "def main(args):\n    print('hello', args)\n    return {'got': args}\n"
COUNT = """
import threading, time
n = 0
def count():
    global n
    while True:
        n += 1
        time.sleep(0.001)
threading.Thread(target=count, daemon=True).start()
def main(args):
    return {"n": n}
"""
NOT_STARTED = "The action failed to generate or locate a binary. See logs for details."


@pytest.fixture(params=["process", "process without isolation"])
async def driver(request: pytest.FixtureRequest) -> AsyncIterator[Containers]:
    if shutil.which("bwrap") is None and request.param == "process":
        pytest.skip("bubblewrap is not installed")
    folder = Path(tempfile.mkdtemp(prefix="up"))
    made = ProcessContainers(
        folder, isolation="none" if "without" in request.param else "full", api_host="http://api.test"
    )
    await made.start()
    yield made
    await made.close()
    assert [path.name for path in folder.iterdir()] == ["lock"]
    shutil.rmtree(folder)


@pytest.fixture
async def container(driver: Containers) -> Container:
    return await driver.create(spec())


async def test_an_action_gives_its_result_and_its_log(container: Container) -> None:
    assert await result(container, HELLO, {"a": "☃"}) == {"got": {"a": "☃"}}
    assert await collected(container) == ["stdout: hello {'a': '☃'}"]
    assert await collected(container) == []


async def test_a_second_activation_on_the_same_connection_runs_warm(container: Container) -> None:
    async with connected(container) as call:
        code = "n = 0\ndef main(args):\n    global n\n    n += 1\n    return {'n': n}\n"
        await call.post("/init", {"value": {"code": code}})
        assert [(await call.post("/run", {"value": {}}))[1] for _ in range(3)] == [{"n": 1}, {"n": 2}, {"n": 3}]


async def test_a_second_connection_is_served_while_the_first_stays_open(container: Container) -> None:
    async with connected(container) as first, connected(container) as second:
        await first.post("/init", {"value": {"code": HELLO}})
        assert (await second.post("/run", {"value": {"b": 1}}))[0] == 200
        assert (await first.post("/run", {"value": {"b": 2}}))[0] == 200


async def test_the_environment_of_init_and_of_run_reaches_the_code(container: Container) -> None:
    code = "import os\nseen = os.environ['GREETING']\ndef main(args):\n    return {'seen': seen, **os.environ}\n"
    assert (await init(container, code, env={"GREETING": "hi", "__OW_NAMESPACE": "old"}))[0] == 200
    _, answer = await run(container, {}, namespace="guest", deadline="17")
    assert (answer["seen"], answer["__OW_NAMESPACE"], answer["__OW_DEADLINE"]) == ("hi", "guest", "17")
    assert answer["__OW_API_HOST"] == "http://api.test"


async def test_nothing_of_the_platforms_environment_reaches_the_code(driver: Containers) -> None:
    os.environ["UPCALL_SECRET"] = "x"
    try:
        answer = await result(await driver.create(spec()), "import os\ndef main(args):\n    return dict(os.environ)\n")
    finally:
        del os.environ["UPCALL_SECRET"]
    assert set(answer) <= {"PATH", "LANG", "HOME", "PWD", "TMPDIR", "__OW_API_HOST"}


async def test_functions_may_be_async_named_otherwise_without_argument_and_give_or_take_arrays(
    driver: Containers,
) -> None:
    async def one(code: str, value: object, main: str = "main") -> object:
        container = await driver.create(spec())
        assert (await init(container, code, main=main))[0] == 200
        return (await run(container, value))[1]

    source = "import asyncio\nasync def main(args):\n    await asyncio.sleep(0)\n    return args\n"
    assert await one(source, {"x": 1}) == {"x": 1}
    assert await one("def other(args):\n    return {'o': 1}\n", {}, "other") == {"o": 1}
    assert await one("def main():\n    return {'z': 1}\n", {}) == {"z": 1}
    assert await one("def main(args):\n    return args[::-1]\n", [1, 2]) == [2, 1]


@pytest.mark.parametrize(
    ("code", "status", "text"),
    [
        ("", 403, "Missing main/no code to execute."),
        ("def main(:", 502, NOT_STARTED),
        ("1/0", 502, NOT_STARTED),
        ("x = 1", 502, "The action's code has no function `main` to call."),
    ],
)
async def test_code_that_does_not_load_is_told_apart(container: Container, code: str, status: int, text: str) -> None:
    assert await init(container, code) == (status, {"error": text})


async def test_a_syntax_error_shows_its_line_in_the_log(container: Container) -> None:
    await init(container, "def main(:\n")
    log = await collected(container)
    assert "stderr:     def main(:" in log
    assert any("SyntaxError" in line for line in log)


async def test_a_second_init_is_refused(container: Container) -> None:
    await init(container, HELLO)
    assert await init(container, HELLO) == (403, {"error": "Cannot initialize the action more than once."})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("1/0", "An error has occurred while invoking the action (see logs for details): ZeroDivisionError: division"),
        ("return 5", "The action did not return a dictionary or array."),
        ("return {'x': object()}", "The action returned a value that is not JSON: Object of type object"),
        ("return {'x': float('nan')}", "The action returned a value that is not JSON: Out of range float"),
        ("x = []; x.append(x); return x", "The action returned a value that is not JSON: Circular reference"),
    ],
)
async def test_a_failed_run_is_a_developer_error_and_the_next_one_works(
    container: Container, body: str, text: str
) -> None:
    await init(container, f"def main(args):\n    if args: return args\n    {body}\n")
    status, answer = await run(container)
    assert status == 502
    assert answer["error"].startswith(text)
    assert await run(container, {"ok": 1}) == (200, {"ok": 1})


async def test_a_traceback_goes_to_the_log_without_the_runtimes_frames(container: Container) -> None:
    await init(container, "def main(args):\n    print('before')\n    return {'x': 1 / 0}\n")
    await run(container)
    assert await collected(container) == [
        "stdout: before",
        "stderr: Traceback (most recent call last):",
        """stderr:   File "main__.py", line 3, in main""",
        "stderr:     return {'x': 1 / 0}",
        "stderr:                  ~~^~~",
        "stderr: ZeroDivisionError: division by zero",
    ]


def zipped(files: dict[str, str]) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return base64.b64encode(buffer.getvalue()).decode()


async def test_a_zip_brings_modules_data_and_a_virtual_environment(container: Container) -> None:
    code = zipped(
        {
            "__main__.py": "import own, dep\ndef main(args):\n    return [own.x, dep.y, open('d').read()]\n",
            "own.py": "x = 1\n",
            "d": "data",
            "virtualenv/lib/python3.9/site-packages/dep.py": "y = 2\n",
        }
    )
    assert await init(container, code, binary=True) == (200, {"ok": True})
    assert await run(container) == (200, [1, 2, "data"])


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (zipped({"other.py": "x = 1"}), "Zip file does not include __main__.py."),
        (zipped({"__main__.py": "", "../up.py": "x"}), "The action's zip file holds a path outside of it: ../up.py"),
        (zipped({"__main__.py": "", "/etc/up": "x"}), "The action's zip file holds a path outside of it: /etc/up"),
        ("bm90IGEgemlw", "The action's code is not a zip file in base64: File is not a zip file"),
    ],
)
async def test_a_bad_zip_is_refused(container: Container, code: str, text: str) -> None:
    assert await init(container, code, binary=True) == (502, {"error": text})


async def test_a_prewarmed_container_runs_after_its_claim(driver: Containers) -> None:
    container = await driver.create(spec(tenant=""))
    await container.claim("guest")
    assert await result(container, HELLO, {}) == {"got": {}}
    with pytest.raises(StartFailed):
        await container.claim("other")


async def test_a_prewarmed_container_can_be_destroyed_unclaimed(driver: Containers) -> None:
    container = await driver.create(spec(tenant=""))
    await container.destroy()
    assert await collected(container) == []


async def test_an_unknown_kind_is_refused_by_name(driver: Containers) -> None:
    with pytest.raises(StartFailed, match="cobol:68") as raised:
        await driver.create(ContainerSpec(kind="cobol:68", memory=128, name="x", tenant="guest"))
    assert raised.value.developer


async def test_a_paused_container_stands_still_and_goes_on_after(container: Container) -> None:
    before = (await result(container, COUNT))["n"]
    await container.pause()
    asking = asyncio.ensure_future(run(container))
    done, _ = await asyncio.wait([asking], timeout=0.5)
    assert not done, "a paused container answered"
    await container.resume()
    first = (await asking)[1]["n"]
    assert first - before < 400, "it went on counting while paused"
    async with asyncio.timeout(10):
        while (await run(container))[1]["n"] <= first + 5:
            await asyncio.sleep(0.001)


async def test_a_container_that_dies_is_reported_lost_once_and_its_last_words_are_kept(container: Container) -> None:
    lost: list[int] = []
    container.lost = lambda: lost.append(1)
    await init(container, "import os\ndef main(args):\n    print('last words')\n    os._exit(3)\n")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await run(container)
    async with asyncio.timeout(10):
        while not lost:
            await asyncio.sleep(0.001)
    assert await collected(container) == ["stdout: last words"]
    assert not container.exhausted()
    await container.destroy()
    assert lost == [1]


async def test_the_code_finds_ordinary_signals_and_the_main_thread(container: Container) -> None:
    code = """
import signal, threading
def main(args):
    blocked = list(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    default = [signal.getsignal(number) == signal.SIG_DFL for number in (signal.SIGCHLD, signal.SIGTERM)]
    return {"blocked": blocked, "default": default, "main": threading.current_thread() is threading.main_thread()}
"""
    assert await result(container, code) == {"blocked": [], "default": [True, True], "main": True}


async def test_sys_exit_ends_the_container(container: Container) -> None:
    await init(container, "import sys\ndef main(args):\n    sys.exit(0)\n")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await run(container)


async def test_destroy_is_idempotent_removes_the_address_and_reports_no_loss(driver: Containers) -> None:
    for paused in (False, True):
        container = await driver.create(spec())
        lost: list[int] = []
        container.lost = lambda lost=lost: lost.append(1)
        await init(container, HELLO)
        if paused:
            await container.pause()
        async with asyncio.timeout(8):
            await asyncio.gather(container.destroy(), container.destroy())
            await container.destroy()
        assert not Path(container.address.path).exists()
        assert lost == []


async def test_children_left_behind_go_with_the_container(driver: Containers) -> None:
    code = """
import subprocess
def main(args):
    for _ in range(3):
        subprocess.Popen(["/bin/sh", "-c", f"sleep {args['token']} & sleep {args['token']}"], start_new_session=True)
    return {}
"""
    token = str(time.time_ns())

    def left() -> list[Path]:
        return [path for path in Path("/proc").glob("[0-9]*/cmdline") if token.encode() in read(path)]

    container = await driver.create(spec())
    await result(container, code, {"token": token})
    assert len(left()) >= 3
    await container.destroy()
    assert left() == []


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


async def test_output_without_newline_and_of_a_child_is_collected(container: Container) -> None:
    code = """
import subprocess
def main(args):
    subprocess.run(['echo', 'child'])
    print('end', end='')
    return {}
"""
    await result(container, code)
    assert await collected(container) == ["stdout: child", "stdout: end"]


async def test_100_mb_of_output_is_cut_with_a_line_and_the_next_activation_is_whole(container: Container) -> None:
    code = """
def main(args):
    line = "x" * 999
    for _ in range(args.get("lines", 0)):
        print(line)
    return {}
"""
    assert await init(container, code) == (200, {"ok": True})
    before = resident()
    assert (await run(container, {"lines": 100_000}))[0] == 200
    lines = await collected(container, 10 * MB)
    assert lines[-1] == "stderr: Logs were truncated because the total bytes size exceeds the limit of 10485760 bytes."
    assert 9_000 < len(lines) < 10_486
    assert resident() - before < 60 * MB
    await run(container, {"lines": 2})
    assert await collected(container) == ["stdout: " + "x" * 999] * 2


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def test_an_action_that_closes_its_output_goes_on(container: Container) -> None:
    code = "import os, sys\ndef main(args):\n    os.close(1)\n    sys.stderr.close()\n    return {'ok': 1}\n"
    assert await result(container, code) == {"ok": 1}
    assert await run(container) == (502, {"error": ANY_OS_ERROR})


ANY_OS_ERROR = (
    "An error has occurred while invoking the action (see logs for details): OSError: [Errno 9] Bad file descriptor"
)


async def test_a_large_body_goes_both_ways(container: Container) -> None:
    await init(container, "def main(args):\n    return args\n")
    value = {"x": "☃" * 1_000_000}
    assert await run(container, value) == (200, value)


async def test_many_containers_start_at_once(driver: Containers) -> None:
    made = await asyncio.gather(*(driver.create(spec(f"t{n % 3}")) for n in range(12)))
    answers = await asyncio.gather(*(result(container, HELLO, {"n": n}) for n, container in enumerate(made)))
    assert [answer["got"]["n"] for answer in answers] == list(range(12))
    assert len({container.id for container in made}) == 12
