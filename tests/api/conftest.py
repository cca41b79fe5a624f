"""The API on a fake store."""

import pytest

from tests.api.client import Api


@pytest.fixture
async def api() -> Api:
    api = Api()
    await api.add_subjects()
    return api
