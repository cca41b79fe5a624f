"""The network namespaces of the tenants: one each, shared by the tenant's containers.

A container whose process is started before its tenant is known (`fresh`) gets a namespace that is nobody's: a confined
process cannot change it any more. With the tenant (`give`) it becomes the tenant's if that has none, else it stays
that container's own. One spare is made ahead, because making one takes some milliseconds. A namespace goes with its
last container. What is in one, and how it is made, is `interior`'s.
"""

from collections.abc import Awaitable, Callable


class Namespace:
    """One network by its descriptor, with the number of containers in it. `tenant` is empty while it is nobody's."""

    def __init__(self, number: int, fd: int) -> None:
        self.number = number
        self.fd = fd
        self.tenant = ""
        self.count = 0
        self.era = 0


Make = Callable[[], Awaitable[Namespace]]
LetGo = Callable[[Namespace], None]


class Networks:
    """Namespaces by tenant. `make` gives a new one; `let_go` takes back what nobody is in."""

    def __init__(self, make: Make, let_go: LetGo) -> None:
        self._make = make
        self._let_go = let_go
        self._spare: Namespace | None = None
        self._held: dict[str, Namespace] = {}
        self._era = 0
        """Counts the resets: what was made before one may be entered by nobody after it."""

    @property
    def wanting(self) -> bool:
        return self._spare is None

    async def prepare(self) -> None:
        """Have a spare one."""
        if self._spare is None:
            self._keep(await self._made())

    async def hold(self, tenant: str) -> Namespace:
        """The tenant's namespace, to be given back by `release`."""
        if tenant not in self._held:
            made = await self._take()
            if tenant in self._held:  # somebody else was faster
                self._keep(made)
            else:
                made.tenant = tenant
                self._held[tenant] = made
        found = self._held[tenant]
        found.count += 1
        return found

    async def fresh(self) -> Namespace:
        """A namespace for one container whose tenant is not known yet, to be given back by `release`."""
        made = await self._take()
        made.count = 1
        return made

    def give(self, namespace: Namespace, tenant: str) -> None:
        """The container of a fresh namespace has got its tenant."""
        namespace.tenant = tenant
        if namespace.era == self._era:
            self._held.setdefault(tenant, namespace)

    def release(self, namespace: Namespace) -> None:
        """One container fewer."""
        namespace.count -= 1
        if namespace.count == 0:
            if self._held.get(namespace.tenant) is namespace:
                del self._held[namespace.tenant]
            self._let_go(namespace)

    def reset(self) -> None:
        """Give nobody what there is now: a new zygote may be unable to enter it. What is held goes when released."""
        self._era += 1
        self._held.clear()
        spare, self._spare = self._spare, None
        if spare is not None:
            self._let_go(spare)

    async def _take(self) -> Namespace:
        """The spare one, or another; only of this era."""
        made, self._spare = self._spare, None
        while made is None or made.era != self._era:
            if made is not None:
                self._let_go(made)
            made = await self._made()
        return made

    async def _made(self) -> Namespace:
        era = self._era
        made = await self._make()
        made.era = era
        return made

    def _keep(self, made: Namespace) -> None:
        """As the spare one, if there is none."""
        if self._spare is None and made.era == self._era:
            self._spare = made
        else:
            self._let_go(made)
