"""What `GET /ready` says where the API is answered: whether the store does, and what else is in the way."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from upcall.errors import UpcallError
from upcall.http.envelope import Answer
from upcall.http.readiness import readiness
from upcall.model.names import Json
from upcall.ports import Accounts

PATIENCE = 5.0
"""Seconds for the store to answer."""
FRESH = 1.0
"""Seconds for which an answer holds: anybody may ask."""
_NOBODY = "00000000-0000-0000-0000-000000000000", "nobody"


class Ready:
    """`hindrances` are sentences; `facts` are shown beside them."""

    def __init__(
        self, store: Accounts, hindrances: Callable[[], Sequence[str]], facts: Callable[[], Mapping[str, Json]]
    ) -> None:
        self._store = store
        self._hindrances = hindrances
        self._facts = facts
        self._looked = 0.0
        self._trouble: str | None = None
        self._looking = asyncio.Lock()

    async def answer(self) -> Answer:
        trouble = await self._look()
        reasons = [*self._hindrances(), *([trouble] if trouble else [])]
        return readiness(reasons, self._facts())

    async def _look(self) -> str | None:
        async with self._looking:
            if time.monotonic() - self._looked > FRESH:
                self._trouble = await self._ask()
                self._looked = time.monotonic()
            return self._trouble

    async def _ask(self) -> str | None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._store.identity(*_NOBODY)
        except TimeoutError:
            return f"the store does not answer in {PATIENCE:g} s"
        except UpcallError as error:
            return f"the store does not answer: {error}"
        return None
