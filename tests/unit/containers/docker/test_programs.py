"""What an image runs: remembered for a while, and never what was asked before it became another one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import msgspec
import pytest

from upcall.containers.docker import images as module
from upcall.containers.docker.credentials import Credentials
from upcall.containers.docker.engine import Engine
from upcall.containers.docker.images import FRESH, Images
from upcall.containers.docker.options import Timeouts


class Told:
    """An engine with one image, which it describes when it may."""

    timeouts = Timeouts()

    def __init__(self) -> None:
        self.id = "old"
        self.may = asyncio.Event()
        self.asked_for = 0

    @contextlib.asynccontextmanager
    async def asked(self, *_: object) -> AsyncIterator["Told"]:
        yield self

    async def get(self, *_: object) -> bytes:
        self.asked_for += 1
        found = msgspec.json.encode({"Id": self.id, "Config": {"Cmd": ["x"]}})
        await self.may.wait()
        return found


async def test_what_was_asked_before_an_image_was_forgotten_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, now = Told(), 0.0
    monkeypatch.setattr(module, "get", engine.get)
    images = Images(cast(Engine, engine), Credentials(None, tmp_path / "none"), clock=lambda: now)
    asking = asyncio.ensure_future(images.program("x"))
    await asyncio.sleep(0)
    images.forget("x")
    engine.id = "new"
    engine.may.set()
    await asking
    assert [(await images.program("x")).image for _ in range(2)] == ["new", "new"]
    assert engine.asked_for == 2
    now = FRESH + 1
    engine.id = "newest"
    assert (await images.program("x")).image == "newest"
