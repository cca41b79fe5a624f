"""Tenants' namespaces are shared, counted, and let go of."""

import asyncio

from upcall.containers.sandbox.network import Namespace, Networks


class Maker:
    """Makes namespaces that are numbers only, and notes which of them are there."""

    def __init__(self) -> None:
        self.made = 0
        self.there: set[Namespace] = set()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def make(self) -> Namespace:
        self.made += 1
        namespace = Namespace(self.made, -1)
        await asyncio.sleep(0)
        await self.go_on.wait()
        self.there.add(namespace)
        return namespace

    def let_go(self, namespace: Namespace) -> None:
        self.there.remove(namespace)

    def networks(self) -> Networks:
        return Networks(self.make, self.let_go)


async def test_containers_of_one_tenant_share_a_namespace_that_goes_with_the_last() -> None:
    maker = Maker()
    networks = maker.networks()
    one, two, other = await networks.hold("a"), await networks.hold("a"), await networks.hold("b")
    assert one is two
    assert (one.tenant, other.tenant) == ("a", "b")
    networks.release(one)
    assert maker.there == {one, other}
    networks.release(two)
    assert maker.there == {other}
    networks.release(other)
    assert not maker.there


async def test_a_tenant_who_comes_back_gets_a_new_one() -> None:
    maker = Maker()
    networks = maker.networks()
    old = await networks.hold("a")
    networks.release(old)
    new = await networks.hold("a")
    assert maker.there == {new}
    assert new is not old


async def test_two_that_come_at_once_get_the_same_namespace_and_what_is_too_much_is_the_spare() -> None:
    maker = Maker()
    networks = maker.networks()
    one, two, three = await asyncio.gather(*(networks.hold("a") for _ in range(3)))
    assert one is two is three
    assert len(maker.there) == 2
    assert not networks.wanting
    other = await networks.hold("b")
    assert maker.there == {one, other}


async def test_a_spare_is_handed_to_the_next_tenant_and_made_only_once() -> None:
    maker = Maker()
    networks = maker.networks()
    await asyncio.gather(networks.prepare(), networks.prepare())
    (spare,) = maker.there
    assert not networks.wanting
    assert await networks.hold("a") is spare
    assert networks.wanting


async def test_a_fresh_namespace_is_nobodys_and_becomes_the_first_tenants() -> None:
    maker = Maker()
    networks = maker.networks()
    fresh, another = await networks.fresh(), await networks.fresh()
    assert fresh is not another
    assert fresh.tenant == ""
    networks.give(fresh, "a")
    assert await networks.hold("a") is fresh
    networks.release(fresh)
    assert fresh in maker.there
    networks.release(fresh)
    assert maker.there == {another}


async def test_a_fresh_namespace_stays_the_containers_own_where_the_tenant_has_one() -> None:
    maker = Maker()
    networks = maker.networks()
    held, fresh = await networks.hold("a"), await networks.fresh()
    networks.give(fresh, "a")
    assert await networks.hold("a") is held
    networks.release(fresh)
    assert maker.there == {held}
    assert await networks.hold("a") is held


async def test_a_fresh_namespace_that_was_never_given_goes_with_its_container() -> None:
    maker = Maker()
    networks = maker.networks()
    networks.release(await networks.fresh())
    assert not maker.there


async def test_after_a_reset_a_tenant_gets_a_new_one_and_the_old_goes_when_released() -> None:
    maker = Maker()
    networks = maker.networks()
    old, fresh = await networks.hold("a"), await networks.fresh()
    await networks.prepare()
    networks.reset()
    assert maker.there == {old, fresh}
    networks.give(fresh, "b")
    new, other = await networks.hold("a"), await networks.hold("b")
    assert new is not old
    assert other is not fresh
    networks.release(old)
    networks.release(fresh)
    assert maker.there == {new, other}
    assert await networks.hold("a") is new


async def test_what_was_being_made_when_a_reset_came_is_used_by_nobody() -> None:
    maker = Maker()
    networks = maker.networks()
    maker.go_on.clear()
    holding, preparing = asyncio.create_task(networks.hold("a")), asyncio.create_task(networks.prepare())
    while maker.made < 2:
        await asyncio.sleep(0)
    networks.reset()
    maker.go_on.set()
    held = await holding
    await preparing
    assert held.number == 3
    assert maker.there == {held}
