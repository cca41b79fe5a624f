"""The API on a fake store and on SQLite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.client import Api
from upcall.store.fake import FakeStore
from upcall.store.sqlite import SqliteStore


@pytest.fixture(params=["fake", "sqlite"])
async def api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Api]:
    async with FakeStore() if request.param == "fake" else SqliteStore(tmp_path / "upcall.db") as store:
        api = Api(store)
        await api.add_subjects()
        yield api
