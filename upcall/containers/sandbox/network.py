"""The network namespaces of the tenants: one each, shared by the tenant's containers, with only its loopback up.

A namespace is an open descriptor and nothing else: no file, no mount, so none can be left behind. One spare is made
ahead because making one takes some milliseconds. A tenant's namespace goes with its last container.
"""

import os
from collections.abc import Awaitable, Callable

Make = Callable[[], Awaitable[int]]


class Namespace:
    """One tenant's network, with the number of containers in it."""

    def __init__(self, tenant: str, fd: int) -> None:
        self.tenant = tenant
        self.fd = fd
        self.count = 0


class Networks:
    """Namespaces by tenant; `make` gives the descriptor of a fresh one."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._spare: int | None = None
        self._held: dict[str, Namespace] = {}

    @property
    def wanting(self) -> bool:
        return self._spare is None

    async def prepare(self) -> None:
        """Have a spare one."""
        if self._spare is None:
            made = await self._make()
            if self._spare is None:
                self._spare = made
            else:
                os.close(made)

    async def hold(self, tenant: str) -> Namespace:
        """The tenant's namespace, to be given back by `release`."""
        if tenant not in self._held:
            made, self._spare = self._spare, None
            if made is None:
                made = await self._make()
            if tenant in self._held:  # somebody else was faster
                os.close(made)
            else:
                self._held[tenant] = Namespace(tenant, made)
        found = self._held[tenant]
        found.count += 1
        return found

    def release(self, namespace: Namespace) -> None:
        """One container fewer."""
        namespace.count -= 1
        if namespace.count == 0:
            os.close(namespace.fd)
            if self._held.get(namespace.tenant) is namespace:
                del self._held[namespace.tenant]

    def reset(self) -> None:
        """Give nobody what there is now: a new zygote may be unable to enter it. What is held goes when released."""
        self._held.clear()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
