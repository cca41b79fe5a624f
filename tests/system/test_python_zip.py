"""Zips and other forms in which Python code comes (spec: container.md §2, §8).

Run by root, `ordinary` runs some of this file again as an ordinary user.
"""

import base64
import io
import os
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.system.test_python_action import NOT_STARTED, zipped
from tests.unit.containers.calls import MB, collected, init, run, spec
from upcall.containers.process import ProcessContainers
from upcall.ports import Container

OK = (200, {"ok": True})
SITE = f"virtualenv/lib/python3.{sys.version_info.minor}/site-packages"
NAMES = "import dep\ndef main(args):\n    return {'dep': dep.y}\n"
ACTIVATE = f"""
import os, site, sys
base = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
before = len(sys.path)
site.addsitedir(os.path.realpath(base + "/lib/python3.{sys.version_info.minor}/site-packages"))
sys.path[:] = sys.path[before:] + sys.path[:before]
sys.real_prefix, sys.prefix = sys.prefix, base
os.environ["ACTIVATED"] = base
"""


@pytest.fixture
async def container(driver: ProcessContainers) -> Container:
    return await driver.create(spec())


async def ran(container: Container, code: str, value: Any = None, main: str = "main") -> tuple[int, Any]:
    assert await init(container, code, binary=True, main=main) == OK
    return await run(container, value)


def linked(files: Mapping[str, str], links: Mapping[str, str]) -> str:
    """A zip as `zip --symlinks` makes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, target in links.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, target)
        for name, text in files.items():
            archive.writestr(name, text)
    return base64.b64encode(buffer.getvalue()).decode()


async def test_a_zip_is_unpacked_where_the_action_then_is(container: Container) -> None:
    code = "import os, sys\ndef main(args):\n    return [os.getcwd(), __file__, sys.path[0]]\n"
    assert await ran(container, zipped({"__main__.py": code})) == (
        200,
        ["/action", "/action/__main__.py", "/action"],
    )


async def test_a_virtual_environment_is_activated_by_its_own_script(container: Container) -> None:
    code = "import dep, os, sys\ndef main(args):\n    return [dep.y, os.environ['ACTIVATED'], sys.prefix]\n"
    files = {"__main__.py": code, "virtualenv/bin/activate_this.py": ACTIVATE, f"{SITE}/dep.py": "y = 2\n"}
    prefix = "/action/virtualenv"
    assert await ran(container, zipped(files)) == (200, [2, prefix, prefix])


async def test_a_script_that_knows_another_pythons_folders_does_no_harm(container: Container) -> None:
    files = {"__main__.py": NAMES, "virtualenv/bin/activate_this.py": ACTIVATE}
    files["virtualenv/lib/python3.6/site-packages/dep.py"] = "y = 6\n"
    assert await ran(container, zipped(files)) == (200, {"dep": 6})


async def test_a_script_that_fails_is_told_with_its_traceback(container: Container) -> None:
    files = {"__main__.py": NAMES, "virtualenv/bin/activate_this.py": "import nothing_of_this_name\n"}
    assert await init(container, zipped(files), binary=True) == (502, {"error": NOT_STARTED})
    assert "stderr: ModuleNotFoundError: No module named 'nothing_of_this_name'" in await collected(container)


async def test_path_files_of_a_virtual_environment_count(container: Container) -> None:
    files = {"__main__.py": NAMES, f"{SITE}/more.pth": "deeper\n", f"{SITE}/deeper/dep.py": "y = 3\n"}
    assert await ran(container, zipped(files)) == (200, {"dep": 3})


async def test_the_actions_own_modules_come_before_the_environments(container: Container) -> None:
    files = {"__main__.py": NAMES, "dep.py": "y = 'own'\n", f"{SITE}/dep.py": "y = 'environment'\n"}
    assert await ran(container, zipped(files)) == (200, {"dep": "own"})


async def test_a_real_virtual_environment_works(container: Container, tmp_path: Path) -> None:
    """As upstream's documentation makes it: `zip -r`, which follows links."""
    place = tmp_path / "virtualenv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--copies", place], check=True, timeout=60)
    (tmp_path / SITE / "dep").mkdir()
    (tmp_path / SITE / "dep" / "__init__.py").write_text("from .part import y\n")
    (tmp_path / SITE / "dep" / "part.py").write_text("y = 'real'\n")
    files: dict[str, str | bytes] = {"__main__.py": NAMES}
    for path in place.rglob("*"):
        if path.is_file():
            files[str(path.relative_to(tmp_path))] = path.read_bytes()
    assert await ran(container, zipped(files)) == (200, {"dep": "real"})


async def test_packages_beside_the_main_file_and_their_data_are_found(container: Container) -> None:
    main = "from pack.deep import read\ndef main(args):\n    return {'read': read()}\n"
    deep = "import importlib.resources as r\ndef read():\n    return r.files('pack').joinpath('d.txt').read_text()\n"
    files = {"__main__.py": main, "pack/__init__.py": "", "pack/deep.py": deep, "pack/d.txt": "data"}
    assert await ran(container, zipped(files)) == (200, {"read": "data"})


async def test_links_within_the_zip_are_links(container: Container) -> None:
    main = "import dep, os\ndef main(args):\n    return [dep.y, os.readlink('dep.py'), open('data/x').read()]\n"
    files = {"__main__.py": main, "lib/real.py": "y = 1\n", "lib/data/x": "in a folder"}
    code = linked(files, {"dep.py": "lib/real.py", "data": "lib/data", "lib/up": "../lib"})
    assert await ran(container, code) == (200, [1, "lib/real.py", "in a folder"])


@pytest.mark.parametrize(
    ("links", "name"),
    [
        ({"out": "/etc/passwd"}, "out"),
        ({"deep/out": "../../tmp"}, "deep/out"),
        ({"a": ".", "out": "a/.."}, "out"),
        ({"virtualenv/bin/python": "/usr/bin/python3"}, "virtualenv/bin/python"),
    ],
)
async def test_links_that_lead_out_are_refused(container: Container, links: dict[str, str], name: str) -> None:
    text = f"The action's zip file holds a link that leads out of it: {name}"
    assert await init(container, linked({"__main__.py": NAMES}, links), binary=True) == (502, {"error": text})


async def test_nothing_is_written_through_a_link(container: Container) -> None:
    """The link and the file within it share a name: the file wins, and the link cannot be made."""
    code = linked({"__main__.py": NAMES, "out/file": "x"}, {"out": "/tmp"})
    status, answer = await init(container, code, binary=True)
    assert status == 502
    assert answer["error"].startswith("The action's zip file cannot be unpacked: ")


async def test_executable_bits_are_kept(container: Container) -> None:
    main = "import subprocess\ndef main(args):\n    return {'said': subprocess.check_output(['./tool'], text=True)}\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("__main__.py", main)
        tool = zipfile.ZipInfo("tool")
        tool.external_attr = (stat.S_IFREG | 0o755) << 16
        archive.writestr(tool, "#!/bin/sh\necho hi\n")
    assert await ran(container, base64.b64encode(buffer.getvalue()).decode()) == (200, {"said": "hi\n"})


async def test_a_bomb_is_refused_by_what_it_declares(container: Container) -> None:
    code = zipped({"__main__.py": NAMES, "zeros": bytes(200 * MB)})
    assert len(code) < MB
    status, answer = await init(container, code, binary=True)
    assert status == 502
    assert answer["error"].startswith("The action's zip file is too large: it would unpack to more than 134")
    assert answer["error"].endswith(" bytes or 50000 files.")


async def test_a_bomb_that_lies_is_read_no_further_than_it_declares(container: Container) -> None:
    raw = bytearray(base64.b64decode(zipped({"__main__.py": NAMES, "zeros": bytes(200 * MB)})))
    true = struct.pack("<I", 200 * MB)
    while (at := raw.find(true)) >= 0:
        raw[at : at + 4] = struct.pack("<I", 10)
    status, answer = await init(container, base64.b64encode(raw).decode(), binary=True)
    assert status == 502
    assert answer["error"].startswith("The action's zip file cannot be unpacked: Bad CRC-32 for file 'zeros'")


async def test_more_files_than_are_sensible_are_refused(container: Container) -> None:
    code = zipped({f"{number}": "" for number in range(50_001)})
    status, answer = await init(container, code, binary=True)
    assert (status, answer["error"].partition(":")[0]) == (502, "The action's zip file is too large")


@pytest.mark.parametrize("files", [{}, {"other.py": NAMES}, {"deep/__main__.py": NAMES}, {"__main__.py/x": ""}])
async def test_a_zip_without_its_main_file_is_refused(container: Container, files: dict[str, str]) -> None:
    text = "Zip file does not include __main__.py."
    assert await init(container, zipped(files), binary=True) == (502, {"error": text})


async def test_as_much_code_as_is_allowed_fits_into_the_least_memory(container: Container) -> None:
    """48 MB of base64 in 128 MB, in which its content lies unpacked, too."""
    main = "import os\ndef main(args):\n    return {'size': os.stat('data').st_size}\n"
    size = 35 * MB
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("__main__.py", main)
        archive.writestr("data", os.urandom(size))
    code = base64.b64encode(buffer.getvalue()).decode()
    assert len(code) > 46 * MB
    assert await ran(container, code) == (200, {"size": size})


async def test_large_source_loads(container: Container) -> None:
    lines = "".join(f"x{number} = '{'y' * 90}'\n" for number in range(20_000))
    assert len(lines) > 1_900_000
    assert await init(container, f"{lines}def main(args):\n    return {{'x': len(x19999)}}\n") == OK
    assert await run(container) == (200, {"x": 90})


async def test_main_may_be_dotted_a_class_or_anything_that_can_be_called(driver: ProcessContainers) -> None:
    code = """
import functools
class Outer:
    @staticmethod
    def inner(args):
        return {"inner": args}
    def __call__(self, args):
        return {"called": args}
outer = Outer()
part = functools.partial(lambda x, args: {x: args}, "part")
class Made(dict):
    def __init__(self, args):
        super().__init__(made=args)
"""
    for main, key in (("Outer.inner", "inner"), ("outer", "called"), ("part", "part"), ("Made", "made")):
        container = await driver.create(spec())
        assert await init(container, code, main=main) == OK
        assert await run(container, {"x": 1}) == (200, {key: {"x": 1}})


@pytest.mark.parametrize("main", ["other", "Outer.other", "a.b.c", "number", "main "])
async def test_a_main_that_is_not_there_is_named(container: Container, main: str) -> None:
    code = "class Outer: pass\nnumber = 5\ndef main(args): return {}\n"
    text = f"The action's code has no function `{main}` to call."
    assert await init(container, code, main=main) == (502, {"error": text})
    assert await collected(container) == [f"stderr: {text}"]


@pytest.mark.parametrize("body", ["yield {}", "return (x for x in args)", "return None", "return 'text'", "return {1}"])
async def test_generators_and_other_values_are_no_result(container: Container, body: str) -> None:
    assert await init(container, f"def main(args):\n    {body}\n") == OK
    text = "The action did not return a dictionary or array."
    assert await run(container) == (502, {"error": text})


async def test_asynchronous_clients_outlive_a_run(container: Container) -> None:
    code = """
import asyncio
lock = asyncio.Lock()
waiting = None
async def main(args):
    global waiting
    if waiting is None:
        waiting = asyncio.ensure_future(lock.acquire())
    return {"held": await waiting, "loop": id(asyncio.get_running_loop())}
"""
    assert await init(container, code) == OK
    first, second = await run(container), await run(container)
    assert first == second
    assert first[1]["held"]


async def test_an_asynchronous_function_that_fails_is_an_error_of_the_action(container: Container) -> None:
    assert await init(container, "async def main(args):\n    return {'x': 1 / 0}\n") == OK
    status, answer = await run(container)
    assert status == 502
    assert answer["error"].endswith("ZeroDivisionError: division by zero")
    assert "stderr: ZeroDivisionError: division by zero" in await collected(container)
