"""Images for the engine of the tests, made without a registry; in `${XDG_CACHE_HOME:-~/.cache}/upcall/engine` lie:

    roots/   root file systems of Debian's packages (mmdebstrap), by what goes into them: `python`, `nodejs`
    stores/  data folders of an engine with all images, by everything that those are made of
    up…/     what running engines have, each its own

    python -m tests.system.engine_images    makes them where they are missing: it takes longer than a test may

A store is never used itself. An engine gets a copy whose layers are hard links, for nothing ever writes to a layer.
"""

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from tests.system import engine_guard
from tests.system.engine_process import Engine, missing

PROJECT = Path(__file__).parents[2]
BASES = {"python": "base/python:3", "nodejs": "base/nodejs:20"}
PACKAGES = {
    "python": "base-files,coreutils,dash,libc-bin,python3",
    "nodejs": "base-files,coreutils,dash,libc-bin,libstdc++6",
    "invoker": "base-files,bash,bubblewrap,coreutils,dash,grep,libc-bin,libseccomp2,libstdc++6,nftables,python3",
}
DPKG = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "locale", "doc", "info", "zoneinfo")]
FINISH = """cd "$1" && mkdir -p tmp root && chmod 1777 tmp &&
printf 'root:x:0:0:root:/root:/bin/sh\\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\\n' > etc/passwd &&
printf 'root:x:0:\\nnogroup:x:65534:\\n' > etc/group && rm -rf var/lib/apt var/lib/dpkg/info var/cache/* var/log/*"""
"""What packages' scripts would do, which are not run."""
ODD = PROJECT / "tests" / "docker" / "images"
"""`NAME.Dockerfile` makes `odd/NAME:1`."""
SOURCES = ("upcall/__init__.py", "upcall/runtimes", "deploy/images", "scripts/images.py", "tests/docker/images")
"""What images are made of."""
KEPT = 4
"""Stores that stay; the oldest others go."""
UNGUARDED = 900.0
"""Seconds for which a folder may be without a guard: it is being filled."""


def cache() -> Path:
    made = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "upcall" / "engine"
    for name in ("roots", "stores"):
        (made / name).mkdir(parents=True, exist_ok=True)
    return made


def suite() -> str:
    """The release of Debian or Ubuntu that this machine has."""
    lines = Path("/etc/os-release").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)["VERSION_CODENAME"].strip('"')


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Of several test processes one makes what is missing, the others wait for it."""
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def digest(*parts: str | Path) -> str:
    """Of texts, files and whole folders."""
    sum = hashlib.sha256()
    for part in parts:
        sum.update((part if isinstance(part, str) else part.name).encode())
        for file in sorted(part.rglob("*")) if isinstance(part, Path) and part.is_dir() else [part]:
            if isinstance(file, Path) and file.is_file() and file.suffix != ".pyc":
                sum.update(f"{file.relative_to(PROJECT)} {file.stat().st_mode}\n".encode() + file.read_bytes())
    return sum.hexdigest()[:16]


def root(name: str) -> Path:
    """The root file system as a tar."""
    made = cache() / "roots" / f"{name}-{digest(PACKAGES[name], *DPKG, FINISH, suite())}.tar"
    if not made.exists():
        part = made.with_name(f".{uuid4().hex}.tar")
        hooks = {"nodejs": f"cp {shutil.which('node')} $1/usr/bin/node", "invoker": "ldconfig -r $1"}
        own = [f"--extract-hook={hooks[name]}"] if name in hooks else []
        command = ["mmdebstrap", "--quiet", "--format=tar", "--variant=extract", f"--include={PACKAGES[name]}", *DPKG]
        command += [f"--extract-hook={FINISH}", *own, suite(), str(part)]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
            if done.returncode != 0:
                raise RuntimeError(f"mmdebstrap failed:\n{done.stderr[-2000:]}")
            part.rename(made)
        finally:
            part.unlink(missing_ok=True)
    return made


def prepare() -> None:
    """Make all images where they are not there yet."""
    with locked():
        _store()


def copy() -> Path:
    """A data folder for one engine, with all images in it."""
    made = folder()
    with locked():
        source = _store()
        target = made / "root"
        target.mkdir(0o711)
        layers = source / "overlay2"
        subprocess.run(["cp", "-a", "--link", str(layers), str(target)], check=True)
        others = [str(path) for path in source.iterdir() if path != layers]
        subprocess.run(["cp", "-a", *others, str(target)], check=True)
    return made


def _store() -> Path:
    _sweep()
    roots = {name: root(name) for name in BASES}
    made = cache() / "stores" / digest(*(tar.name for tar in roots.values()), *(PROJECT / each for each in SOURCES))
    if not made.exists():
        _make(made, roots)
    os.utime(made)
    for old in sorted(made.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old)
    return made


def _sweep() -> None:
    """What engines of killed tests have left, also of those that had no guard yet."""
    for left in cache().glob("up*"):
        with contextlib.suppress(FileNotFoundError):  # another one sweeps, too
            if (left / "lock").exists():
                engine_guard.sweep(left / "lock")
            elif time.time() - left.stat().st_mtime > UNGUARDED:
                shutil.rmtree(left, ignore_errors=True)


def _make(made: Path, roots: dict[str, Path]) -> None:
    begun = time.monotonic()
    print("Making the images for a Docker engine of the tests (once) …", flush=True)
    engine = Engine(folder())
    try:
        engine.start()
        for name, tar in roots.items():
            engine.bring(tar, BASES[name])
        _build(engine)
        engine.stop()
        (engine.data / "root").rename(made)
    finally:
        engine.close()
    print(f"They are in {made} after {time.monotonic() - begun:.0f} s.", flush=True)


def _build(engine: Engine) -> None:
    command = [sys.executable, "scripts/images.py", "--docker-host", engine.url]
    command += ["--base-python", BASES["python"], "--base-nodejs", BASES["nodejs"]]
    done = subprocess.run(command, check=False, cwd=PROJECT, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"scripts/images failed:\n{done.stdout}{done.stderr}")
    files = sorted(ODD.glob("*.Dockerfile"), key=lambda path: (path.stem != "server", path))  # others are built on it
    for file in files:
        engine.build(context(ODD), f"odd/{file.stem}:1", file.name)


def context(folder: Path) -> bytes:
    """A folder as the engine's builder takes it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add(folder, arcname="")
    return data.getvalue()


def folder() -> Path:
    """An empty one for an engine's data."""
    made = cache() / f"up{uuid4().hex[:8]}"
    made.mkdir()
    return made


if __name__ == "__main__":
    if missing() is None:
        prepare()
