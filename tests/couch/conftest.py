"""A CouchDB of this process's own."""

from collections.abc import AsyncIterator

import pytest

from tests.couch.database import Database
from tests.couch.server import Server


@pytest.fixture
async def couch() -> AsyncIterator[Server]:
    """With upstream's three databases, which are empty."""
    async with Server() as server:
        url = server.url()
        server.databases = {name: Database() for name in (url.subjects, url.entities, url.activations)}
        yield server
