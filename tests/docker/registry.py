"""A registry of images in the engine's network, with users: Debian's `docker-registry`.

The engine takes what is at 127.0.0.1 without TLS. Users have the password `secret`; the hash is bcrypt's, which the
registry wants and Python does not make.
"""

import asyncio
import base64
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiodocker
import pytest

from tests.system.engine import Engine
from tests.system.engine_api import Refused

SECRET = "secret"
_HASH = "$2b$04$PrLAyZIFHvvLvGv5p9W.K.RIkO9jK6t8mmTWZ2Jn3R.sXTKKwFRDa"
_CONFIG = """
version: 0.1
log: {{level: warn, accesslog: {{disabled: false}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: 127.0.0.1:{port}}}
{auth}
"""
_AUTH = "auth: {{htpasswd: {{realm: tests, path: {folder}/users}}}}"


def basic(user: str, password: str = SECRET) -> dict[str, str]:
    """One registry's entry in Docker's configuration file."""
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


class Registry:
    """In `folder`, at `port` of the engine's loopback; without `users` everybody may do everything."""

    def __init__(self, engine: Engine, folder: Path, *users: str, port: int = 5000) -> None:
        self._engine = engine
        self._users = users
        self.host = f"127.0.0.1:{port}"
        folder.mkdir()
        (folder / "users").write_text("".join(f"{user}:{_HASH}\n" for user in users))
        auth = _AUTH.format(folder=folder) if users else ""
        (folder / "config.yml").write_text(_CONFIG.format(folder=folder, port=port, auth=auth))
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("docker-registry")
        if program is None:
            unable = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            unable("a registry is missing: apt-get install --no-install-recommends docker-registry")
        with self._engine.inside(), (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "serve", str(self._folder / "config.yml")], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            deadline = time.monotonic() + 30
            while not self._answers():
                assert self._process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < deadline, "the registry does not answer"
                time.sleep(0.01)

    def freeze(self) -> None:
        """It takes connections and answers nothing, until `thaw`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Connections are refused from now on."""
        if self._process is not None:
            self.thaw()
            self._process.kill()
            self._process.wait()
            self._process = None

    def lose(self, least: int) -> None:
        """Whatever has so many bytes is gone; its names stay."""
        for blob in (self._folder / "data").rglob("blobs/**/data"):
            if blob.stat().st_size >= least:
                blob.unlink()

    def asked(self, path: str) -> int:
        """Requests so far whose line has this in it."""
        return (self._folder / "log").read_text().count(f" {path}")

    def _answers(self) -> bool:
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{self.host}/v2/", timeout=5)
        except urllib.error.HTTPError as error:
            return error.code == 401
        except OSError:
            return False
        return True

    def pushed(self, image: str, name: str) -> str:
        """`push`, for a test without a loop."""
        return asyncio.run(self.push(image, name))

    async def push(self, image: str, name: str) -> str:
        """Give it an image of the engine by a name of its own, `alice/img:1`; the full name. The engine keeps no tag of
        it."""
        full = f"{self.host}/{name}"
        repository, _, tag = full.rpartition(":")
        self._engine.call("POST", f"/images/{image}/tag", repo=repository, tag=tag)
        auth: Any = basic(self._users[0]) if self._users else None
        async with aiodocker.Docker(self._engine.url) as docker:
            await docker.images.push(full, auth=auth)
        self._engine.call("DELETE", f"/images/{full}")
        return full


def an_image(engine: Engine, name: str, content: str, size: int = 0) -> str:
    """An image that is this text and so many random bytes; its id."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for file, data in (("content", content.encode()), ("bytes", os.urandom(size))):
            entry = tarfile.TarInfo(file)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    repository, _, tag = name.rpartition(":")
    engine.call("POST", "/images/create", packed.getvalue(), fromSrc="-", repo=repository, tag=tag)
    return image_id(engine, name)


def image_id(engine: Engine, name: str) -> str:
    """Empty where there is none."""
    try:
        return str(engine.call("GET", f"/images/{name}/json")["Id"])
    except Refused as error:
        if error.status != 404:
            raise
        return ""


def removed(engine: Engine, *names: str) -> None:
    """The engine has none of these."""
    for name in names:
        with contextlib.suppress(Refused):
            engine.call("DELETE", f"/images/{name}", force="1")
        assert not image_id(engine, name)


def write_config(path: Path, registries: Mapping[str, Mapping[str, str]], **more: object) -> Path:
    """Docker's configuration file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"auths": registries, **more}))
    return path
