"""The way out of a tenant's network namespace: the port that its three adapters stand behind.

`Nothing` is no way at all. `veth.Veth` is root's: a pair of interfaces per namespace, one set of rules per platform.
`usermode.UserMode` is the ordinary user's: a process per namespace that speaks for it.

A namespace is attached when it is made, before anybody is in it, and spares are made ahead, so what it costs is seldom
waited for. A way that cannot be had is no failure of an activation: its namespace then has what is inside, the
loopback with the API and DNS.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from upcall.errors import Misconfigured

log = logging.getLogger(__name__)

INSIDE_ALONE = "the API and DNS alone"

_CAUSES = 16

Ask = Callable[[dict[str, Any], list[int]], Awaitable[Any]]
"""A request to the zygote with descriptors, which has the capabilities inside of the namespaces."""


class Link:
    """What one namespace is attached by; `number` is no other's as long as this is attached."""

    def __init__(self, number: int) -> None:
        self.number = number


class Trouble:
    """What to do about a way out that cannot be had: `required` is whether the user asked for it in words."""

    def __init__(self, *, required: bool) -> None:
        self._required = required
        self._said: set[str] = set()

    def at_start(self, cause: str) -> None:
        """Raises Misconfigured, or logs."""
        cause = cause.rstrip(".")
        if self._required:
            raise Misconfigured(f"--action-network private cannot be had: {cause}.")
        log.warning("actions reach the API and DNS alone, and no other network: %s", cause)

    def once(self, cause: str) -> None:
        """A namespace has no way out; that is an error in the log the first time that the cause is known."""
        known = cause in self._said or len(self._said) >= _CAUSES
        log.log(logging.DEBUG if known else logging.ERROR, "a tenant's network has no way out: %s", cause)
        self._said.add(cause)


class Outbound(Protocol):
    """All are coroutines because none may block the loop; calls for different namespaces may overlap."""

    @property
    def reach(self) -> str:
        """What actions reach, in words."""
        ...

    async def start(self) -> None:
        """Check the host and set its rules. Raises Misconfigured with cause and fix where the user asked for what
        cannot be had; logs a warning where it was only the default."""
        ...

    async def attach(self, number: int, fd: int) -> Link:
        """Lead the namespace behind the descriptor `fd` out. Never raises but for the end of the zygote (StartFailed):
        what fails is logged once, and the namespace stays without a way out."""
        ...

    async def detach(self, link: Link) -> None:
        """Take the way away again; idempotent, before the namespace's last descriptor is closed or after."""
        ...

    async def close(self) -> None:
        """Remove rules and whatever else is left; idempotent."""
        ...


class Nothing:
    """No way out."""

    reach = INSIDE_ALONE

    async def start(self) -> None:
        return

    async def attach(self, number: int, fd: int) -> Link:
        return Link(number)

    async def detach(self, link: Link) -> None:
        return

    async def close(self) -> None:
        return
