"""aiodocker's client, with what it leaves open closed."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiodocker import Docker


class Client(Docker):
    """Its own leaves an answer that is given up before its end to the collector, and the connection with it."""

    @contextlib.asynccontextmanager
    async def _query(self, *told: Any, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        async with super()._query(*told, **options) as response:
            try:
                yield response
            finally:
                response.release()
