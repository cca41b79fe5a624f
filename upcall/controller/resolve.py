"""From the name of an action, as a caller writes it, to how to run it: through packages and bindings, with the rights
that this takes (spec: rest-api.md §4, §7).

What is known is found by plain calls; what is not, is read. What follows from several documents is kept with the
package that was asked for, and ends as soon as one of them is written.

Of others' packages nobody learns whether they exist: what is missing there is forbidden.
"""

from collections.abc import Callable

from upcall.controller.cache import DocumentCache, Entry, Lease
from upcall.controller.plan import Plan, plan_of
from upcall.core.packages import NONE, Chain, check_reach, forbidden
from upcall.core.rights import check_right
from upcall.errors import Conflict, NotFound, Unprocessable, Unreadable, UpcallError
from upcall.model import texts
from upcall.model.entities import Action, Exec, Identity, Package, Trigger


class Resolver:
    """`pulled` says whether an action's image has to be fetched first. A `path` is `namespace[/package]`."""

    def __init__(self, cache: DocumentCache, pulled: Callable[[Exec], bool] = lambda exec_: False) -> None:
        self._cache = cache
        self._pulled = pulled

    def lease(self, identity: Identity, path: str, name: str) -> Lease | None:
        """How to run an action, if all that it takes is known. Raises Forbidden."""
        if "/" not in path:
            check_right(identity, "ACTIVATE", path, name)
            entry = self._cache.entry(f"{path}/{name}")
            if entry is None or not isinstance(entry.stored.doc, Action):
                return None
            if entry.lease.plan is None:
                entry.lease.plan = plan_of(entry.stored, self._pulled)
            return entry.lease
        entry = self._cache.entry(path)
        lease = entry.held.get(name) if entry is not None else None
        if lease is None or lease.plan is None or not self._cache.holds(lease):
            return None
        check_reach(identity, lease.chain)
        return lease

    async def plan(self, identity: Identity, path: str, name: str) -> Plan:
        """How to run an action. Raises Forbidden, NotFound, Conflict, and what a store raises."""
        if "/" not in path:
            check_right(identity, "ACTIVATE", path, name)
            entry = await self._cache.fetch_entry(f"{path}/{name}")
            if entry.lease.plan is None:
                entry.lease.plan = plan_of(entry.stored, self._pulled)
            return entry.lease.plan
        entries = await self._entries(identity, path)
        chain = _chain(entries)
        action = await self._cache.fetch_entry(f"{chain[-1].id}/{name}")
        plan = plan_of(action.stored, self._pulled, chain)
        self._cache.hold(Lease(0.0, plan, chain), name, entries, action)
        return plan

    async def action(self, identity: Identity, path: str, name: str) -> Action:
        """An action without its code, which the caller may read. Raises as `plan`."""
        if "/" in path:
            path = (await self.chain(identity, path))[-1].id
        else:
            check_right(identity, "READ", path, name)
        found = (await self._cache.fetch(f"{path}/{name}")).doc
        assert isinstance(found, Action)
        return found

    async def shown(self, path: str, name: str) -> Action:
        """An action without its code, whoever asks. Raises NotFound, Conflict, Unreadable."""
        seen: set[str] = set()
        while "/" in path:
            if path in seen:
                raise NotFound
            seen.add(path)
            package = (await self._cache.fetch(path, Package)).doc
            assert isinstance(package, Package)
            if package.binding == NONE:
                break
            path = f"{package.binding.namespace}/{package.binding.name}"
        found = (await self._cache.fetch(f"{path}/{name}")).doc
        assert isinstance(found, Action)
        return found

    async def chain(self, identity: Identity, id: str) -> Chain:
        """A package by its id, and what it stands for. Raises Forbidden; of the caller's own NotFound, Conflict where
        it is no package, Unprocessable where it stands for itself; Unreadable."""
        return _chain(await self._entries(identity, id))

    async def trigger(self, id: str) -> Trigger:
        """Raises NotFound, Conflict where it is none, Unreadable."""
        try:
            found = (await self._cache.fetch(id, Trigger)).doc
        except NotFound:
            raise NotFound from None
        except Unreadable:
            raise Unreadable(texts.CORRUPTED) from None
        assert isinstance(found, Trigger)
        return found

    async def _entries(self, identity: Identity, id: str) -> list[Entry]:
        own = identity.namespace.name
        found: list[Entry] = []
        seen: set[str] = set()
        asked = id
        while True:
            if id in seen:
                raise Unprocessable(texts.circular_binding(asked))
            seen.add(id)
            try:
                entry = await self._cache.fetch_entry(id, Package)
            except (NotFound, Conflict, Unreadable) as error:
                raise _told(error, asked, id, own) from None
            package = entry.stored.doc
            assert isinstance(package, Package)
            found.append(entry)
            check_reach(identity, _chain(found))
            if package.binding == NONE:
                return found
            id = f"{package.binding.namespace}/{package.binding.name}"


def _chain(entries: list[Entry]) -> tuple[Package, ...]:
    return tuple(entry.stored.doc for entry in entries if isinstance(entry.stored.doc, Package))


def _told(error: UpcallError, asked: str, id: str, own: str) -> UpcallError:
    if id.partition("/")[0] != own:
        return forbidden(asked)
    if isinstance(error, NotFound):
        return NotFound()
    return error if isinstance(error, Conflict) else Unreadable(texts.CORRUPTED)
