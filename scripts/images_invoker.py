"""What the image of an Invoker is made of: upcall, the packages that uv.lock names, /init.sh, and Node.js where wanted.

Packages come as wheels for the base image's Python, unpacked on this machine, so that the base needs no pip and the
engine no network. Sources of what is compiled stay out.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "deploy" / "images" / "invoker"
EXTRAS = ("kafka", "postgres", "zookeeper", "encryption", "kubernetes")
LEFT = (".c", ".h", ".pyx", ".pxd", ".pyi", ".pyc")
BUILT = {"x86_64": "x86_64-manylinux_2_28", "aarch64": "aarch64-manylinux_2_28"}
"""For which machines there are wheels of all packages, by the engine's name for them."""


class NotThere(Exception):
    """Packages cannot be had; in a sentence."""


def files(folder: Path, version: str, machine: str) -> Iterator[tuple[str, Path]]:
    """Names in the build's context and where they are; `folder` is filled with the packages. Raises NotThere."""
    _unpack(folder, version, machine)
    yield from ((name, PLACE / name) for name in ("Dockerfile", "init.sh"))
    yield "programs/upcall", PLACE / "upcall"
    yield from _python(folder, Path("packages"))
    yield from _python(ROOT / "upcall", Path("packages", "upcall"))


def _python(folder: Path, below: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.is_file() and path.suffix not in LEFT and inner.parts[0] != "bin":
            yield os.fspath(below / inner), path


def _unpack(folder: Path, version: str, machine: str) -> None:
    if machine not in BUILT:
        raise NotThere(f"there are no wheels of all packages for {machine}, only for {' and '.join(BUILT)}")
    export = ["export", "--frozen", "--no-dev", "--no-emit-project", "--no-header"]
    export += [word for extra in EXTRAS for word in ("--extra", extra)]
    install = ["pip", "install", "--target", str(folder), "--python-version", version, "--no-deps", "-r", "-"]
    _uv([*install, "--python-platform", BUILT[machine], "--only-binary", ":all:"], _uv(export, ""))


def _uv(arguments: list[str], given: str) -> str:
    command = [os.fspath(Path(sys.executable).parent / "uv"), "-q", *arguments]
    done = subprocess.run(command, check=False, cwd=ROOT, input=given, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise NotThere(f"the packages cannot be had: {done.stderr.strip()}")
    return done.stdout
