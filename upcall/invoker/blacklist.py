"""Namespaces whose activations are refused: those of blocked subjects, and those that may not invoke anything
(spec: store.md §7, invoker.md §5).

They are read at the start, within `LOOK` seconds after the store says that a subject or a limit has changed, and each
`interval` seconds whatever it says; and once more `LOOK` seconds later, for CouchDB answers with what its view had and
brings it up to date by being asked. What cannot be read leaves the names as they were. While the store tells of a
change that is not read yet nobody is refused: a controller that has just unblocked a namespace knows better, and one
that has blocked it lets nothing through.
"""

import asyncio
import logging

from upcall.ports import Accounts

log = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds between two looks at `Accounts.changes`."""


class Blacklist:
    """`names` is what holds now; `interval` in seconds."""

    def __init__(self, accounts: Accounts, interval: float) -> None:
        self._accounts = accounts
        self._interval = interval
        self._seen: int | None = None
        self.names: frozenset[str] = frozenset()

    def refuses(self, namespace: str) -> bool:
        return namespace in self.names and self._accounts.changes() in (None, self._seen)

    async def follow(self, look: float = LOOK) -> None:
        """Keep it as the store has it, for ever."""
        clock = asyncio.get_running_loop().time
        read, again = clock(), True
        while True:
            await asyncio.sleep(look)
            changes = self._accounts.changes()
            due = (changes is not None and changes != self._seen) or clock() - read >= self._interval
            if due or again:
                read, again = clock(), due
                await self.read()

    async def read(self) -> None:
        """Once."""
        seen = self._accounts.changes()
        try:
            found = await self._accounts.blocked()
        except Exception as error:  # noqa: BLE001 - whatever it is, the old names are better than none
            log.warning("which namespaces are blocked cannot be read: %s", error)
            return
        self._seen = seen
        if found != self.names:
            log.info("%d namespaces are blocked", len(found))
        self.names = found
