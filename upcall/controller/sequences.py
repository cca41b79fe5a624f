"""What holds for a sequence when it is written: its components are there, the caller may use them, and it does not call
itself (spec: sequences-conductors.md §1)."""

from upcall.controller.plan import components
from upcall.controller.resolve import Resolver
from upcall.errors import BadRequest, Conflict, Forbidden, NotFound
from upcall.model import texts
from upcall.model.entities import SEQUENCE, Action, Exec, Identity
from upcall.model.names import FullyQualifiedName


async def check_sequence(resolver: Resolver, identity: Identity, exec_: Exec, id: str, limit: int) -> None:
    """`id` is the sequence's own. Raises Forbidden, BadRequest."""
    names = components(exec_)
    found = await _allowed(resolver, identity, names)
    if len(names) > limit:
        raise BadRequest(texts.SEQUENCE_LONG)
    if not names:
        raise BadRequest(texts.SEQUENCE_EMPTY)
    if any(name.id == id for name in names):  # maybe it is not there yet
        raise BadRequest(texts.SEQUENCE_CYCLIC)
    await _Inlining(resolver, identity, limit).add(found, (id,))


async def _allowed(resolver: Resolver, identity: Identity, names: list[FullyQualifiedName]) -> list[Action | None]:
    """The components; those that are missing as None. Raises Forbidden, which names all that are in the way."""
    found: list[Action | None] = []
    refused: set[str] = set()
    for name in names:
        try:
            found.append(await resolver.action(identity, name.path, name.name))
        except Forbidden:
            refused.add(name.path if "/" in name.path else name.id)
        except (NotFound, Conflict):
            found.append(None)
    if refused:
        raise Forbidden(texts.not_authorized(", ".join(f"'{each}'" for each in sorted(refused))))
    return found


class _Inlining:
    """Counts what a sequence comes to, with the sequences in it."""

    def __init__(self, resolver: Resolver, identity: Identity, limit: int) -> None:
        self._resolver = resolver
        self._identity = identity
        self._limit = limit
        self._count = 0

    async def add(self, actions: list[Action | None], above: tuple[str, ...]) -> None:
        if len(actions) > self._limit:
            raise BadRequest(texts.SEQUENCE_LONG)
        for action in actions:
            if action is None:
                raise BadRequest(texts.COMPONENT_MISSING)
            if action.id in above:
                raise BadRequest(texts.SEQUENCE_CYCLIC)
            if action.exec.kind == SEQUENCE:
                await self.add(await self._inside(action), (*above, action.id))
            else:
                self._count += 1
            if self._count > self._limit:
                raise BadRequest(texts.SEQUENCE_LONG)

    async def _inside(self, sequence: Action) -> list[Action | None]:
        found: list[Action | None] = []
        for name in components(sequence.exec):
            try:
                found.append(await self._resolver.action(self._identity, name.path, name.name))
            except (NotFound, Conflict, Forbidden):
                found.append(None)
        return found
