"""Our own store as the source of a transfer."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from upcall.errors import Conflict, NotFound, Unreadable
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Action, Limits, Package, Rule, Subject, Trigger
from upcall.ports import Stored
from upcall.store.coding import Space
from upcall.transfer.copying import Damaged, Stage

PAGE = 1000
KINDS: dict[str, type[Document]] = {
    kind.entity_type: kind for kind in (Action, Package, Trigger, Rule, Subject, Limits, Activation)
}
STAGES: dict[str, Stage] = {"limits": "limits", "subject": "subjects", "activation": "activations"}
"""By kind; of all others it is `whisks`."""


class Paged(Protocol):
    """A store that can tell all it has."""

    async def ids(self, space: Space, after: str, limit: int) -> list[tuple[str, str]]: ...

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored: ...


class OwnSource:
    """Implements `upcall.transfer.copying.Source`; records from `since` (epoch ms) on."""

    def __init__(self, store: Paged, since: int = 0) -> None:
        self._store, self._since = store, since
        self._kinds: dict[str, str] = {}
        """Of the current page."""

    def database(self, stage: Stage) -> str:
        return space(stage)

    async def pages(self, stage: Stage) -> AsyncIterator[Sequence[str]]:
        last = ""
        while page := await self._store.ids(space(stage), last, PAGE):
            last = page[-1][0]
            self._kinds = {id: kind for id, kind in page if STAGES.get(kind, "whisks") == stage}
            yield list(self._kinds)

    async def load(self, stage: Stage, id: str) -> Document | None:
        kind = KINDS.get(self._kinds[id])
        if kind is None:
            raise Damaged(f"there are no documents of type '{self._kinds[id]}'")
        try:
            doc = (await self._store.get(kind, id)).doc
        except (NotFound, Conflict):
            return None
        except Unreadable as error:
            raise Damaged(f"it cannot be read: {error.__cause__ or error}") from None
        return None if isinstance(doc, Activation) and doc.start < self._since else doc


def space(stage: Stage) -> Space:
    return "subjects" if stage == "limits" else stage
