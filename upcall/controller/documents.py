"""Reading and writing one document for a request, with upstream's texts.

A write tells the cache whatever came of it: an answer that got lost on its way from the store may belong to a write
that happened.
"""

from typing import TypeVar

from upcall.controller.call import Call
from upcall.errors import Conflict, NotFound, Unreadable
from upcall.model import texts
from upcall.model.documents import Document

D = TypeVar("D", bound=Document)


async def read(call: Call, kind: type[D], id: str) -> tuple[D, str]:
    """The document and its revision. Raises NotFound, Conflict where it is of another kind, Unreadable."""
    try:
        stored = await call.parts.store.get(kind, id)
    except NotFound:
        raise NotFound from None
    except Unreadable:
        raise Unreadable(texts.CORRUPTED) from None
    assert isinstance(stored.doc, kind)
    return stored.doc, stored.rev


async def write(call: Call, document: Document, rev: str | None) -> None:
    """Create it, or replace revision `rev`. Raises Conflict."""
    try:
        await call.parts.store.put(document, rev)
    except Conflict:
        raise Conflict(texts.CONCURRENT_UPDATE) from None
    finally:
        call.parts.written(document.id)


async def delete(call: Call, document: Document, rev: str) -> None:
    """Raises Conflict."""
    try:
        await call.parts.store.delete(type(document), document.id, rev)
    except (NotFound, Conflict):
        raise Conflict(texts.CONCURRENT_UPDATE) from None
    finally:
        call.parts.written(document.id)
