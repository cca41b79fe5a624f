"""The Invoker's image as an archive, made as users make it: by `scripts/images invoker`, on the tests' own engine, on a
base image of this machine's packages. It is kept by its sources."""

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

IMAGE = f"upcall/invoker:{__version__}"
BASE = "base/invoker:1"
SOURCES = ("upcall", "deploy/images/invoker", "scripts/images.py", "scripts/images_invoker.py", "uv.lock")
KEPT = 3
"""Archives that stay; the oldest others go."""


def archive() -> Path:
    """What `docker save` prints."""
    with locked():
        base = root("invoker")
    with programs.locked("images"):
        folder = programs.cache() / "images"
        made = folder / f"invoker-{digest(base.name, *(PROJECT / each for each in SOURCES))}.tar"
        if not made.exists():
            _make(made, base)
        os.utime(made)
        for old in sorted(folder.glob("invoker-*.tar"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            old.unlink()
    return made


def _make(made: Path, base: Path) -> None:
    begun = time.monotonic()
    print(f"Making the image {IMAGE} for tests on Kubernetes …", file=sys.stderr, flush=True)
    engine, part = Engine(engine_images.folder()), made.with_name(f".{made.name}")
    try:
        engine.start()
        engine.bring(base, BASE)
        command = [sys.executable, "scripts/images.py", "invoker", "--base-invoker", BASE, "--docker-host", engine.url]
        done = subprocess.run(command, check=False, cwd=PROJECT, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"scripts/images failed:\n{done.stdout}{done.stderr}")
        part.write_bytes(engine.call("GET", f"/images/{IMAGE}/get"))
        part.rename(made)
    finally:
        part.unlink(missing_ok=True)
        engine.close()
    print(
        f"It is {made.stat().st_size / 1e6:.0f} MB after {time.monotonic() - begun:.0f} s.", file=sys.stderr, flush=True
    )
