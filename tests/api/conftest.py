"""The API on a fake store and on SQLite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.client import Api
from upcall.store.fake import FakeStore
from upcall.store.sqlite import SqliteStore


@pytest.fixture(params=["fake", "sqlite"])
async def api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Api]:
    made = FakeStore() if request.param == "fake" else SqliteStore(tmp_path / "upcall.db")
    async with made as store, Api(store).running() as api:
        yield api
