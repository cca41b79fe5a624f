"""How the Python runtime treats the user's code, in the sandbox in which it runs (spec: container.md §2, §8)."""

import asyncio
import base64
import io
import zipfile
from collections.abc import Mapping

import pytest

from tests.unit.containers.calls import collected, connected, init, result, run, spec
from upcall.containers.process import ProcessContainers
from upcall.ports import Container

HELLO = "def main(args):\n    return {'got': args}\n"


@pytest.fixture
async def container(driver: ProcessContainers) -> Container:
    return await driver.create(spec())


NOT_STARTED = "The action failed to generate or locate a binary. See logs for details."


async def test_functions_may_be_async_named_otherwise_without_argument_and_give_or_take_arrays(
    driver: ProcessContainers,
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
        (
            "return type('D', (dict,), {'items': lambda self: 1 / 0})(a=1)",
            "The action returned a value that is not JSON",
        ),
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


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("raise asyncio.CancelledError('x')", "CancelledError: x"),
        ("raise Shy()", "Shy: it cannot be shown"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt: "),
        ("f = lambda: f(); f()", "RecursionError: maximum recursion depth exceeded"),
    ],
)
async def test_whatever_is_raised_is_an_error_of_the_action(container: Container, body: str, text: str) -> None:
    head = "import asyncio\nclass Shy(Exception):\n    def __str__(self):\n        raise ValueError\n"
    await init(container, f"{head}def main(args):\n    {body}\n")
    error = f"An error has occurred while invoking the action (see logs for details): {text}"
    assert await run(container) == (502, {"error": error})


async def test_deep_json_and_lone_surrogates_do_no_harm(container: Container) -> None:
    code = """
def main(args):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    return {"x": deep} if args.get("deep") else {"x": chr(0xd800)}
"""
    await init(container, code)
    status, answer = await run(container, {"deep": True})
    assert status == 502
    assert answer["error"].startswith("The action returned a value that is not JSON: maximum recursion depth")
    assert await run(container) == (200, {"x": "\ud800"})
    async with connected(container) as call:
        status, answer = await call.send("/run", b'{"value":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    assert status == 400
    assert "not valid JSON" in answer["error"]


async def test_an_environment_that_cannot_be_set_is_named(container: Container) -> None:
    text = "The environment variable 'A=' cannot be set: illegal environment variable name"
    status, answer = await init(container, HELLO, env={"A=": "x"})
    assert (status, answer["error"].partition(":")[0]) == (502, text.partition(":")[0])


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


def zipped(files: Mapping[str, str | bytes]) -> str:
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
    ("source", "got"),
    [
        (b"# -*- coding: latin-1 -*-\ndef main(args):\n    return {'x': '\xe9'}\n", "\xe9"),
        (b"\xef\xbb\xbfdef main(args):\n    return {'x': '\xc3\xa9'}\n", "\xe9"),
        (b"x = '\xe9'\n", None),
    ],
)
async def test_a_zips_code_may_say_its_encoding(container: Container, source: bytes, got: str | None) -> None:
    status, answer = await init(container, zipped({"__main__.py": source}), binary=True)
    if got is None:
        assert (status, answer) == (502, {"error": NOT_STARTED})
    else:
        assert await run(container) == (200, {"x": got})


async def test_a_zip_that_cannot_be_decompressed_is_refused(container: Container) -> None:
    whole = bytearray(base64.b64decode(zipped({"__main__.py": "x = 1\n" * 100})))
    whole[41:51] = b"\xff" * 10  # the first of them says a kind of block that there is not
    status, answer = await init(container, base64.b64encode(whole).decode(), binary=True)
    assert status == 502
    assert answer["error"].startswith("The action's zip file cannot be unpacked: ")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (zipped({"other.py": "x = 1"}), "Zip file does not include __main__.py."),
        (zipped({"__main__.py": "", "../up.py": "x"}), "The action's zip file holds a path outside of it: ../up.py"),
        (zipped({"__main__.py": "", "/etc/up": "x"}), "The action's zip file holds a path outside of it: /etc/up"),
        ("\xe9", "The action's code is not base64: string argument should contain only ASCII characters"),
        ("bm90IGEgemlw", "The action's code is not a zip file in base64: File is not a zip file"),
    ],
)
async def test_a_bad_zip_is_refused(container: Container, code: str, text: str) -> None:
    assert await init(container, code, binary=True) == (502, {"error": text})


async def test_the_code_finds_ordinary_signals_and_the_main_thread(container: Container) -> None:
    code = """
import signal, threading
def main(args):
    blocked = list(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    default = [signal.getsignal(number) == signal.SIG_DFL for number in (signal.SIGCHLD, signal.SIGTERM)]
    return {"blocked": blocked, "default": default, "main": threading.current_thread() is threading.main_thread()}
"""
    assert await result(container, code) == {"blocked": [], "default": [True, True], "main": True}


async def test_sys_exit_ends_the_container_whatever_threads_it_has_left(container: Container) -> None:
    code = """
import sys, threading, time
def main(args):
    threading.Thread(target=time.sleep, args=(1000,)).start()
    sys.exit(0)
"""
    await init(container, code)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await run(container)
