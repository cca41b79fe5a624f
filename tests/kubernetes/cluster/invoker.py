"""The Invoker's image, and those of actions, as archives, made as users make them: by `scripts/images NAME`, on the
tests' own engine, on a base image of this machine's packages. They are kept by their sources."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.kubernetes.cluster import programs
from tests.system import engine_images
from tests.system.engine_images import PROJECT, digest, locked, root
from tests.system.engine_process import Engine
from upcall import __version__

BASE = "base/tests:1"
SOURCES = {
    "invoker": ("upcall", "deploy/images/invoker", "scripts/images.py", "scripts/images_invoker.py", "uv.lock"),
    "python": engine_images.SOURCES,
}
KEPT = 3
"""Archives that stay; the oldest others go."""


def archive(name: str = "invoker") -> Path:
    """What `docker save` prints."""
    with locked():
        base = root(name)
    with programs.locked("images"):
        folder = programs.cache() / "images"
        made = folder / f"{name}-{digest(base.name, *(PROJECT / each for each in SOURCES[name]))}.tar"
        if not made.exists():
            _make(name, made, base)
        os.utime(made)
        for old in sorted(folder.glob(f"{name}-*.tar"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            old.unlink()
    return made


def image(name: str) -> str:
    return f"upcall/{name}:{__version__}"


def _make(name: str, made: Path, base: Path) -> None:
    begun = time.monotonic()
    print(f"Making the image {image(name)} for tests on Kubernetes …", file=sys.stderr, flush=True)
    engine, part = Engine(engine_images.folder()), made.with_name(f".{made.name}")
    try:
        engine.start()
        engine.bring(base, BASE)
        command = [sys.executable, "scripts/images.py", name, f"--base-{name}", BASE, "--docker-host", engine.url]
        done = subprocess.run(command, check=False, cwd=PROJECT, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"scripts/images failed:\n{done.stdout}{done.stderr}")
        part.write_bytes(engine.call("GET", f"/images/{image(name)}/get"))
        part.rename(made)
    finally:
        part.unlink(missing_ok=True)
        engine.close()
    print(
        f"It is {made.stat().st_size / 1e6:.0f} MB after {time.monotonic() - begun:.0f} s.", file=sys.stderr, flush=True
    )
