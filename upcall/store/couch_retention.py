"""Activation records go when `--keep` says so: for CouchDB, as upstream's clean-up scripts do it.

A step asks `activations/byDate` for some of the oldest, `_all_docs` for their revisions, and deletes them by one bulk
request; what another process has deleted meanwhile is a conflict and nobody's loss. Deleting leaves a stub of each
behind and gives no space back before the server compacts the database, so a bound of size is not ours to hold.
"""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from upcall.errors import Unavailable
from upcall.model import texts
from upcall.model.keep import Keep
from upcall.store.couch_designs import BY_DATE
from upcall.store.couch_http import CouchHttp
from upcall.store.couch_views import page, view

ROWS = 500
REST = 0.05
"""Seconds between two steps."""

log = logging.getLogger(__name__)


class _Current(msgspec.Struct):
    rev: str = ""
    deleted: bool = False


class _Outcome(msgspec.Struct):
    id: str = ""
    error: str | None = None


class Sweeper:
    """`clock` gives seconds since the epoch."""

    def __init__(self, http: CouchHttp, keep: Keep, clock: Callable[[], float] = time.time) -> None:
        self._http = http
        self._keep = keep
        self._clock = clock
        if keep.size is not None:
            log.warning(
                "--keep %s: how large CouchDB's files are is not bound from here; compaction there gives back what "
                "deleted records took (_compact, or its automatic compaction)",
                keep.text,
            )

    async def sweep(self, until: float = float("inf")) -> int:
        """Remove what has to go, until that monotonic time; the number of records. Raises Unavailable."""
        if self._keep.age is None:
            return 0
        before = int((self._clock() - self._keep.age) * 1000)
        removed = 0
        while ids := await self._older(before):
            gone = await self._remove(ids)
            removed += gone
            await asyncio.sleep(REST)
            if not gone or time.monotonic() > until:
                break
        if removed:
            log.info("%d activation records removed by --keep %s", removed, self._keep.text)
        return removed

    async def _older(self, before: int) -> list[str]:
        """Ids of some records of activations that began before `before` (epoch ms), the oldest first."""
        query = {"endkey": str(before), "inclusive_end": "false", "reduce": "false", "limit": str(ROWS)}
        answer = await view(self._http, self._http.url.activations, "activations", BY_DATE, query)
        return [row.id for row in page(answer)]

    async def _remove(self, ids: list[str]) -> int:
        """How many of them are gone."""
        database = self._http.url.activations
        asked = msgspec.json.encode({"keys": ids})
        answer = await self._http.write("POST", database, "_all_docs", body=asked)
        stubs = []
        for row in page(answer):
            current = msgspec.json.decode(row.value, type=_Current | None)
            if current is not None and not current.deleted and current.rev:
                stubs.append({"_id": row.id, "_rev": current.rev, "_deleted": True})
        answer = await self._http.write("POST", database, "_bulk_docs", body=msgspec.json.encode({"docs": stubs}))
        try:
            outcomes = msgspec.json.decode(answer.body, type=list[_Outcome])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unavailable(texts.store_refuses("the database's answer cannot be read")) from error
        return sum(outcome.error is None for outcome in outcomes)
