"""Copies documents, one after the other in pages, from a source to a target.

Order: the limits of namespaces, so that nobody who is shut out comes in for a moment; what namespaces hold; subjects,
so that nobody calls what is not there yet; records. A document is read from the target first: one that is equal is left
alone. So a transfer that was broken off is simply run again, and one that was ended changes nothing.

Few documents are in memory at a time: those with code may have 48 MB each.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Literal, Protocol

import msgspec

from upcall.errors import Conflict, NotFound, Unreadable
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.ports import Stored
from upcall.transfer.names import refusal
from upcall.transfer.report import Fate, Report

Stage = Literal["limits", "whisks", "subjects", "activations"]
TOGETHER: dict[Stage, int] = {"limits": 16, "whisks": 4, "subjects": 16, "activations": 16}
"""Documents in memory at a time."""
TRIES = 5
"""Of a document that others change meanwhile."""


class Damaged(Exception):
    """A document that cannot be read, in words, without its content."""


class Source(Protocol):
    def pages(self, stage: Stage) -> AsyncIterator[Sequence[str]]:
        """Ids. Raises Unavailable."""

    async def load(self, stage: Stage, id: str) -> Document | None:
        """None where it is gone by now, or is not asked for. Raises Damaged, Unavailable."""

    def database(self, stage: Stage) -> str:
        """Its name, for problems."""


class Target(Protocol):
    """What `upcall.ports.Store` can do."""

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored: ...

    async def put(self, doc: Document, rev: str | None = None) -> str: ...


class Nothing:
    """A target that is not there yet: for dry runs."""

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        raise NotFound

    async def put(self, doc: Document, rev: str | None = None) -> str:
        raise NotImplementedError


class Copying:
    """One transfer; `overwrite` replaces what is different, `dry` writes nothing."""

    def __init__(self, source: Source, target: Target, report: Report, *, overwrite: bool, dry: bool) -> None:
        self._source, self._target, self._report = source, target, report
        self._overwrite, self._dry = overwrite, dry

    async def run(self, stage: Stage) -> None:
        """Raises Unavailable where one of the servers does not answer any more."""
        together = TOGETHER[stage]
        async for page in self._source.pages(stage):
            for start in range(0, len(page), together):
                await self._all(stage, page[start : start + together])

    async def _all(self, stage: Stage, ids: Sequence[str]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for id in ids:
                    group.create_task(self._one(stage, id))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _one(self, stage: Stage, id: str) -> None:
        try:
            doc = await self._source.load(stage, id)
            if doc is None:
                return
            if wrong := refusal(doc, id):
                raise Damaged(wrong)
            fate = await self._settle(doc)
        except Damaged as error:
            self._report.problem(self._source.database(stage), id, str(error))
            return
        except RecursionError:
            self._report.problem(self._source.database(stage), id, "it is nested too deep")
            return
        self._report.count(doc.entity_type, fate)

    async def _settle(self, doc: Document) -> Fate:
        for _ in range(TRIES):
            there = await self._there(doc)
            if there is not None and same(there.doc, doc):
                return "equal"
            if there is not None and (not self._overwrite or isinstance(doc, Activation)):
                return "different"
            if self._dry or await self._put(doc, there):
                return "copied" if there is None else "replaced"
        raise Damaged("it changes again and again where it is to go")

    async def _there(self, doc: Document) -> Stored | None:
        try:
            return await self._target.get(type(doc), doc.id)
        except NotFound:
            return None
        except Conflict:
            raise Damaged("what is of this name where it is to go is of another kind: remove it there") from None
        except Unreadable:
            raise Damaged("what is of this name where it is to go cannot be read: remove it there") from None

    async def _put(self, doc: Document, there: Stored | None) -> bool:
        """Whether it was written; False where somebody else has come before."""
        try:
            await self._target.put(doc, None if there is None else there.rev)
        except Conflict as error:
            if str(error) != texts.CONCURRENT_UPDATE:
                raise Damaged(str(error)) from None
            return False
        except (ValueError, OverflowError) as error:
            raise Damaged(f"it cannot be stored: {error}") from None
        return True


def same(one: Document, other: Document) -> bool:
    """But for blanks and for the order of an object's members."""
    return _canonical(one) == _canonical(other)


def _canonical(doc: Document) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(msgspec.json.encode(doc)), order="deterministic")
