"""Tenants' namespaces are shared, counted, and let go of."""

import asyncio
import os

import pytest

from upcall.containers.sandbox.network import Networks


class Maker:
    """Descriptors that stand for namespaces."""

    def __init__(self) -> None:
        self.made: list[int] = []

    async def __call__(self) -> int:
        fd = os.open("/dev/null", os.O_RDONLY)
        self.made.append(fd)
        await asyncio.sleep(0)
        return fd


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


async def test_containers_of_one_tenant_share_a_namespace_that_goes_with_the_last() -> None:
    make = Maker()
    networks = Networks(make)
    one, two, other = await networks.hold("a"), await networks.hold("a"), await networks.hold("b")
    assert one is two
    assert other is not one
    networks.release(one)
    assert is_open(one.fd)
    networks.release(two)
    assert not is_open(one.fd)
    assert is_open(other.fd)
    networks.release(other)
    assert not any(map(is_open, make.made))


async def test_two_that_come_at_once_get_the_same_namespace() -> None:
    make = Maker()
    networks = Networks(make)
    one, two = await asyncio.gather(networks.hold("a"), networks.hold("a"))
    assert one is two
    assert [is_open(fd) for fd in make.made].count(True) == 1
    networks.release(one)
    networks.release(two)


async def test_a_spare_is_handed_to_the_next_tenant_and_made_only_once() -> None:
    make = Maker()
    networks = Networks(make)
    await asyncio.gather(networks.prepare(), networks.prepare())
    assert [is_open(fd) for fd in make.made].count(True) == 1
    assert not networks.wanting
    held = await networks.hold("a")
    assert is_open(held.fd)
    assert networks.wanting
    networks.release(held)


async def test_after_a_reset_a_tenant_gets_a_new_one_and_the_old_goes_when_released() -> None:
    networks = Networks(Maker())
    old = await networks.hold("a")
    await networks.prepare()
    networks.reset()
    new = await networks.hold("a")
    assert new is not old
    assert is_open(old.fd)
    networks.release(old)
    assert not is_open(old.fd)
    assert is_open(new.fd)
    networks.release(new)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(new.fd)
