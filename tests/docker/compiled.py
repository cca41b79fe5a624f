"""The stand-in for upstream's Go proxy as a static program, and images FROM scratch with it: no shell, no files."""

import base64
import functools
import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from uuid import uuid4

from tests.docker.built import UPSTREAM, built
from tests.system.engine import Engine
from tests.system.engine_images import cache, digest

SOURCE = UPSTREAM / "actionloop.go"
DOCKERFILE = 'FROM scratch\nWORKDIR /action\nCOPY exec /proxy/proxy\nCOPY exec /proxy/exec\nCMD ["/proxy/proxy"]\n'


@functools.cache
def program() -> Path:
    """Compiled once for all runs of the tests."""
    folder = cache() / "compiled"
    folder.mkdir(exist_ok=True)
    made = folder / f"actionloop-{digest(SOURCE)}"
    if not made.exists():
        part = folder / uuid4().hex
        go = shutil.which("go") or "/usr/local/go/bin/go"
        settings = {
            "CGO_ENABLED": "0",
            "GO111MODULE": "off",
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "",
            "HOME": str(folder),
        }
        command = [go, "build", "-ldflags=-s -w", "-o", str(part), str(SOURCE)]
        done = subprocess.run(
            command, check=False, env={**os.environ, **settings}, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        part.rename(made)
    return made


def action_loop(engine: Engine, name: str) -> str:
    """The image, by its name."""
    return built(engine, name, DOCKERFILE, {"exec": program()})


def zipped() -> str:
    """An action of a zip: the same program, which knows by its name what it is to be."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(program(), "exec")
    return base64.b64encode(data.getvalue()).decode()
