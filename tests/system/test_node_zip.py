"""Zips in which Node.js code comes: packages, modules of both kinds, archives that are refused.

Run by root, `ordinary` runs some of this file again as an ordinary user.
"""

import base64
import io
import json
import stat
import struct
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contract.language import NODE
from tests.system.test_python_action import zipped
from tests.unit.containers.calls import init, run, spec
from upcall.containers.process import ProcessContainers
from upcall.ports import Container

OK = (200, {"ok": True})
ECHO = "exports.main = (args) => args;"
NAMED = "exports.main = () => ({ from: require('path').basename(__filename) });"


@pytest.fixture
async def container(driver: ProcessContainers) -> Container:
    return await driver.create(spec(kind=NODE))


async def ran(container: Container, files: Mapping[str, str | bytes], main: str = "main") -> Any:
    assert await init(container, zipped(files), binary=True, main=main) == OK
    status, answer = await run(container)
    assert status == 200, answer
    return answer


def package(**members: str) -> str:
    return json.dumps(members)


@pytest.mark.parametrize(
    ("files", "main", "file"),
    [
        ({"index.js": NAMED}, "main", "index.js"),
        ({"package.json": package(main="lib/start.js"), "lib/start.js": NAMED}, "main", "start.js"),
        ({"package.json": package(main="lib"), "lib/index.js": NAMED}, "main", "index.js"),
        ({"package.json": "{}", "index.js": NAMED}, "main", "index.js"),
        ({"index.js": "", "lib/other.js": NAMED}, "lib/other.main", "other.js"),
        ({"index.js": "", "other.cjs": NAMED}, "other.cjs.main", "other.cjs"),
    ],
)
async def test_the_module_is_the_packages_main_or_the_one_that_main_names(
    container: Container, files: dict[str, str], main: str, file: str
) -> None:
    assert await ran(container, files, main) == {"from": file}


MODERN = "import { sep } from 'node:path';\nimport dep from 'dep';\nconst x = await dep();\n"
EXPORTED = MODERN + "export const main = () => ({ x, sep });"
IMPORTING = "exports.main = async () => (await import('./b.mjs')).default;"


@pytest.mark.parametrize(
    ("files", "main"),
    [
        ({"package.json": package(type="module"), "index.js": EXPORTED}, "main"),
        ({"index.mjs": MODERN + "export default { main: () => ({ x, sep }) };"}, "main"),
        ({"package.json": package(main="a.mjs"), "a.mjs": EXPORTED.replace("main", "go")}, "go"),
        ({"index.js": "", "a.mjs": EXPORTED}, "a.mjs.main"),
        ({"index.js": IMPORTING, "b.mjs": MODERN + "export default { x, sep };"}, "main"),
    ],
)
async def test_es_modules_are_imported_with_their_dependencies(
    container: Container, files: dict[str, str], main: str
) -> None:
    dependency = {
        "node_modules/dep/package.json": package(main="m.js"),
        "node_modules/dep/m.js": "module.exports = async () => 7",
    }
    assert await ran(container, {**files, **dependency}, main) == {"x": 7, "sep": "/"}


async def test_the_code_lies_in_the_folder_in_which_it_runs_with_its_executable_bits(container: Container) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        tool = zipfile.ZipInfo("bin/tool")
        tool.external_attr = (stat.S_IFREG | 0o755) << 16
        archive.writestr(tool, "#!/bin/sh\necho said\n")
        archive.writestr("data/d.txt", "stored ☃")
        archive.writestr(
            "index.js",
            "exports.main = () => ({ said: String(require('child_process').execFileSync('bin/tool')),"
            " read: require('fs').readFileSync('data/d.txt', 'utf8'), here: process.cwd() === __dirname });",
        )
    code = base64.b64encode(buffer.getvalue()).decode()
    assert await init(container, code, binary=True) == OK
    assert await run(container) == (200, {"said": "said\n", "read": "stored ☃", "here": True})


async def test_what_npm_installs_is_found_when_zip_packs_it_with_its_links(
    container: Container, tmp_path: Path
) -> None:
    bins = tmp_path / "node_modules" / ".bin"
    bins.mkdir(parents=True)
    tool = tmp_path / "node_modules" / "tool"
    tool.mkdir()
    (tool / "cli.js").write_text("#!/usr/bin/env node\nmodule.exports = 'linked';\n")
    (bins / "tool").symlink_to("../tool/cli.js")
    (tmp_path / "index.js").write_text("exports.main = () => ({ is: require('./node_modules/.bin/tool') });")
    assert await init(container, linked(tmp_path), binary=True) == OK
    assert await run(container) == (200, {"is": "linked"})


def linked(folder: Path) -> str:
    """The folder as `zip --symlinks` packs it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            name = str(path.relative_to(folder))
            if path.is_symlink():
                link = zipfile.ZipInfo(name)
                link.external_attr = (stat.S_IFLNK | 0o777) << 16
                archive.writestr(link, str(path.readlink()))
            elif path.is_file():
                archive.write(path, name)
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    ("links", "refused"),
    [
        ({"out": "/etc/passwd"}, "out"),
        ({"up": "../.."}, "up"),
        ({"to": "../nothing"}, "to"),
        ({"a": ".", "b": "a/.."}, "b"),
        ({"nothing": "missing.js"}, None),
    ],
)
async def test_links_may_lead_to_what_is_inside_only(
    container: Container, tmp_path: Path, links: dict[str, str], refused: str | None
) -> None:
    (tmp_path / "index.js").write_text(ECHO)
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    text = f"The action's zip file holds a link that leads out of it: {refused}"
    assert await init(container, linked(tmp_path), binary=True) == (OK if refused is None else (502, {"error": text}))


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            zipped({"other.js": ECHO}),
            "Zipped actions must contain either package.json or index.js at the root.",
        ),
        (zipped({"index.js": "", "../up.js": "x"}), "The action's zip file holds a path outside of it: ../up.js"),
        (zipped({"index.js": "", "a/../../up": "x"}), "The action's zip file holds a path outside of it: a/../../up"),
        (zipped({"index.js": "", "/etc/up": "x"}), "The action's zip file holds a path outside of it: /etc/up"),
        ("bm90IGEgemlw", "The action's code is not a zip file in base64: File is not a zip file"),
        (zipped({"index.js": "exports.main = 1"}), "Action entrypoint 'main' is not a function."),
        (zipped({}), "Zipped actions must contain either package.json or index.js at the root."),
        (zipped({"a": "x", "a/b": "x", "index.js": ""}), "The action's zip file cannot be unpacked: "),
    ],
)
async def test_a_bad_zip_is_refused(container: Container, code: str, text: str) -> None:
    status, answer = await init(container, code, binary=True)
    assert (status, answer["error"][: len(text)]) == (502, text)


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"index.js": "throw new Error('at load');"}, "Initialization has failed due to: Error: at load"),
        ({"index.mjs": "throw new Error('at load');"}, "Initialization has failed due to: Error: at load"),
        ({"package.json": "{"}, "Initialization has failed due to: "),
        ({"index.js": "require('nowhere')"}, "Initialization has failed due to: Error: Cannot find module 'nowhere'"),
    ],
)
async def test_a_module_that_does_not_load_says_why(container: Container, files: dict[str, str], text: str) -> None:
    status, answer = await init(container, zipped(files), binary=True)
    assert (status, answer["error"][: len(text)]) == (502, text)


ZEROS = zipped({"index.js": ECHO, "zeros": bytes(200 << 20)})


def patched(code: str, of: bytes, to: bytes) -> str:
    """The archive with something in it replaced, which must be there."""
    data = base64.b64decode(code)
    assert of in data
    return base64.b64encode(data.replace(of, to)).decode()


async def test_a_zip_bomb_is_refused_before_it_is_unpacked(container: Container) -> None:
    status, answer = await init(container, ZEROS, binary=True)
    assert status == 502
    assert answer["error"].startswith("The action's zip file is too large: it would unpack to more than 134")


async def test_a_zip_bomb_that_lies_about_its_size_is_stopped_there(container: Container) -> None:
    lying = patched(ZEROS, struct.pack("<I", 200 << 20), struct.pack("<I", 1000))
    status, answer = await init(container, lying, binary=True)
    assert status == 502
    assert answer["error"].startswith("The action's zip file cannot be unpacked: ")


async def test_50_000_files_are_enough(container: Container) -> None:
    code = zipped({f"{n}": "" for n in range(50_001)})
    status, answer = await init(container, code, binary=True)
    assert (status, answer["error"].partition(":")[0]) == (502, "The action's zip file is too large")


@pytest.mark.parametrize("size", [0, 4, 21, 22, 60, -30, -22, -1])
async def test_a_zip_that_is_cut_off_is_refused(container: Container, size: int) -> None:
    whole = base64.b64decode(zipped({"index.js": ECHO * 50}))
    code = base64.b64encode(whole[:size] or b"P").decode()
    status, answer = await init(container, code, binary=True)
    assert status == 502
    assert answer["error"].startswith("The action's code is not a zip file in base64: ")


async def test_what_cannot_be_decompressed_is_refused(container: Container) -> None:
    whole = bytearray(base64.b64decode(zipped({"index.js": "x = 1\n" * 100})))
    whole[38:48] = b"\xff" * 10
    status, answer = await init(container, base64.b64encode(whole).decode(), binary=True)
    assert status == 502
    assert answer["error"].startswith("The action's zip file cannot be unpacked: ")


async def test_something_may_stand_before_the_archive_and_a_comment_after_it(container: Container) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.js", ECHO)
        archive.comment = b"made by hand"
    code = base64.b64encode(b"#!/bin/sh\nexit\n" + buffer.getvalue()).decode()
    assert await init(container, code, binary=True) == OK


async def test_a_package_of_20_mb_fits_into_256_mb(driver: ProcessContainers) -> None:
    container = await driver.create(spec(kind=NODE, memory=256))
    noise = subprocess.run(["head", "-c", str(20 << 20), "/dev/urandom"], capture_output=True, check=True).stdout
    assert await init(container, zipped({"index.js": ECHO, "noise": noise}), binary=True) == OK
    assert await run(container, {"a": 1}) == (200, {"a": 1})
