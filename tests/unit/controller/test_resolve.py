"""Names of actions through packages and bindings: what is known is found, what was written is found anew."""

import pytest
from msgspec import Raw

from upcall.controller.cache import DocumentCache
from upcall.controller.resolve import Resolver
from upcall.core.packages import NONE
from upcall.errors import Conflict, Forbidden, NotFound
from upcall.model.documents import Document
from upcall.model.entities import RIGHTS, Action, ActionLimits, Binding, Exec, Identity, NamespaceId, Package, Parameter
from upcall.store.fake import FakeStore

GUEST, OTHER = (Identity(name, NamespaceId(name, f"{name}-uuid"), {}, RIGHTS) for name in ("guest", "other"))


def parameters(**values: int) -> list[Parameter]:
    return [Parameter(key, Raw(b"%d" % value)) for key, value in values.items()]


class World:
    """`guest/p/act`, and `other/b` that stands for `guest/p`."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.cache = DocumentCache(self.store)
        self.resolver = Resolver(self.cache)
        self.package = Package("guest", "p", publish=True, parameters=parameters(a=1, b=1, c=1))
        self.binding = Package("other", "b", binding=Binding("guest", "p"), parameters=parameters(b=2, c=2))
        exec_ = Exec("python:3", "code")
        self.action = Action("guest/p", "act", exec_, ActionLimits(60_000, 256), parameters=parameters(c=3))
        self._revisions: dict[str, str] = {}

    async def write(self, *documents: Document) -> None:
        for document in documents:
            self._revisions[document.id] = await self.store.put(document, self._revisions.get(document.id))
            self.cache.forget(document.id)

    def content(self) -> bytes | None:
        lease = self.resolver.lease(OTHER, "other/b", "act")
        return None if lease is None or lease.plan is None else bytes(lease.plan.defaults.content)


@pytest.fixture
async def world() -> World:
    made = World()
    await made.write(made.package, made.binding, made.action)
    return made


async def test_parameters_come_from_the_outside_in(world: World) -> None:
    plan = await world.resolver.plan(OTHER, "other/b", "act")
    assert bytes(plan.defaults.content) == b'{"a":1,"b":2,"c":3}'
    assert (plan.name.path, plan.name.name, plan.name.binding) == ("guest/p", "act", "other/b")
    plan = await world.resolver.plan(OTHER, "guest/p", "act")
    assert (bytes(plan.defaults.content), plan.name.binding) == (b'{"a":1,"b":1,"c":3}', None)


async def test_what_is_known_is_found_until_any_part_of_it_is_written(world: World) -> None:
    for document in (world.package, world.binding, world.action):
        assert world.content() is None
        await world.resolver.plan(OTHER, "other/b", "act")
        lease = world.resolver.lease(OTHER, "other/b", "act")
        assert lease is not None
        assert world.content() == b'{"a":1,"b":2,"c":3}'
        await world.write(document)
        assert world.content() is None
        assert (lease.until, lease.plan) == (0.0, None)


async def test_a_read_that_a_write_overtook_is_not_kept(world: World) -> None:
    await world.cache.fetch("other/b", Package)
    await world.cache.fetch("guest/p", Package)
    entry = await world.cache.fetch_entry("guest/p/act")
    await world.resolver.plan(OTHER, "other/b", "act")
    lease = world.cache.entry("other/b").held["act"]  # type: ignore[union-attr]
    world.cache.forget("guest/p/act")
    binding, package = world.cache.entry("other/b"), world.cache.entry("guest/p")
    assert binding is not None
    assert package is not None
    world.cache.hold(lease, "act", [binding, package], entry)
    assert world.content() is None


async def test_rights_are_looked_at_on_each_call(world: World) -> None:
    await world.resolver.plan(OTHER, "other/b", "act")
    with pytest.raises(Forbidden, match="'other/b'"):
        world.resolver.lease(GUEST, "other/b", "act")
    world.package.publish = False
    await world.write(world.package)
    with pytest.raises(Forbidden, match="'other/b'"):
        await world.resolver.plan(OTHER, "other/b", "act")
    await world.resolver.plan(GUEST, "guest/p", "act")
    with pytest.raises(Forbidden, match="'guest/p'"):
        world.resolver.lease(OTHER, "guest/p", "act")


async def test_what_is_missing_is_told_to_its_owner_alone(world: World) -> None:
    with pytest.raises(NotFound):
        await world.resolver.plan(GUEST, "guest/none", "act")
    with pytest.raises(Forbidden, match="'guest/none'"):
        await world.resolver.plan(OTHER, "guest/none", "act")
    with pytest.raises(NotFound):
        await world.resolver.plan(OTHER, "other/b", "none")
    await world.write(Action("guest", "plain", Exec("python:3", "code"), ActionLimits(60_000, 256)))
    with pytest.raises(Conflict):
        await world.resolver.plan(GUEST, "guest/plain", "act")
    with pytest.raises(Conflict):
        await world.resolver.plan(GUEST, "guest", "p")


async def test_what_follows_is_weighed(world: World) -> None:
    """A package's parameters are in each of its actions' arguments."""
    world.cache = DocumentCache(world.store, room=30_000)
    world.resolver = Resolver(world.cache)
    world.package.parameters = [Parameter("big", Raw(b'"%b"' % (b"x" * 10_000)))]
    actions = [Action("guest/p", f"a{n}", world.action.exec, world.action.limits) for n in range(3)]
    await world.write(world.package, *actions)
    for action in actions:
        await world.resolver.plan(GUEST, "guest/p", action.name)
    entry = world.cache.entry("guest/p")
    assert entry is None or len(entry.held) < len(actions)
    assert world.binding.binding != NONE
