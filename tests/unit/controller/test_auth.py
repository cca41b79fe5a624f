"""Basic authentication and its cache (spec: rest-api.md §1.3)."""

import asyncio
import base64

import pytest

from upcall.controller.auth import Authenticator, credentials
from upcall.errors import Unauthorized
from upcall.model import texts
from upcall.model.entities import Identity, Limits, NamespaceKey, Subject, UserLimits
from upcall.store.fake import FakeStore

UUID, KEY = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502", "k" * 64


def header(text: str = f"{UUID}:{KEY}", scheme: bytes = b"Basic ") -> bytes:
    return scheme + base64.b64encode(text.encode())


class CountingStore(FakeStore):
    reads = 0
    gate: asyncio.Event | None = None
    under_way = False

    def changes(self) -> int | None:
        return None if self.under_way else super().changes()

    async def identity(self, uuid: str, key: str) -> Identity | None:
        self.reads += 1
        found = await super().identity(uuid, key)
        if self.gate:
            await self.gate.wait()
        return found


async def a_store() -> CountingStore:
    store = CountingStore()
    await store.put(Subject("guest", [NamespaceKey("guest", UUID, KEY)]))
    return store


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Basic",
        b"Basic !!!",
        b"Bearer abc",
        header(f"{UUID}"),
        header(f"{UUID}:{KEY[:-1]}"),
        header(f"{UUID}:{KEY}k"),
        header(f"{UUID[:-1]}:{KEY}"),
        header(f"not-a-uuid:{KEY}"),
        b"Basic " + base64.b64encode(b"\xff" * 101),
    ],
)
async def test_malformed_credentials_are_refused_without_asking_the_store(value: bytes) -> None:
    store = await a_store()
    with pytest.raises(Unauthorized) as refused:
        await Authenticator(store).authenticate(value)
    assert str(refused.value) == texts.BAD_CREDENTIALS
    assert store.reads == 0


async def test_no_credentials_have_a_text_of_their_own() -> None:
    with pytest.raises(Unauthorized) as refused:
        await Authenticator(FakeStore()).authenticate(None)
    assert str(refused.value) == texts.NO_CREDENTIALS


def test_the_scheme_is_read_in_any_case() -> None:
    assert credentials(header(scheme=b"bAsIc  ")) == (UUID, KEY)


async def test_a_known_header_is_not_looked_up_again() -> None:
    store = await a_store()
    auth = Authenticator(store)
    assert auth.cached(header()) is None
    identity = await auth.authenticate(header())
    assert identity.namespace.name == "guest"
    assert auth.cached(header()) is identity
    await auth.authenticate(header())
    assert store.reads == 1


async def test_unknown_credentials_are_not_kept() -> None:
    store = await a_store()
    auth = Authenticator(store)
    for _ in range(2):
        with pytest.raises(Unauthorized):
            await auth.authenticate(header(f"{UUID}:{'x' * 64}"))
    assert store.reads == 2


async def test_an_entry_ends_with_its_time() -> None:
    now = [0.0]
    auth = Authenticator(await a_store(), ttl=300, clock=lambda: now[0])
    await auth.authenticate(header())
    now[0] = 299.9
    assert auth.cached(header())
    now[0] = 300.0
    assert auth.cached(header()) is None


async def change(store: FakeStore, key: str) -> None:
    """Gives the guest another key, as another process does."""
    rev = (await store.get(Subject, "guest")).rev
    await store.put(Subject("guest", [NamespaceKey("guest", UUID, key)]), rev)


async def test_a_changed_subject_is_looked_up_at_once() -> None:
    store = await a_store()
    auth = Authenticator(store)
    await auth.authenticate(header())
    await change(store, "n" * 64)
    assert auth.cached(header()) is None
    with pytest.raises(Unauthorized):
        await auth.authenticate(header())
    await auth.authenticate(header(f"{UUID}:{'n' * 64}"))
    assert auth.cached(header(f"{UUID}:{'n' * 64}"))
    assert auth.cached(header()) is None


async def test_changed_limits_are_looked_up_at_once() -> None:
    store = await a_store()
    auth = Authenticator(store)
    await auth.authenticate(header())
    await store.put(Limits("guest", UserLimits(invocations_per_minute=3)))
    assert (await auth.authenticate(header())).limits.invocations_per_minute == 3


async def test_an_answer_that_was_on_its_way_during_a_change_is_not_kept() -> None:
    store = await a_store()
    store.gate = asyncio.Event()
    auth = Authenticator(store)
    asking = asyncio.ensure_future(auth.authenticate(header()))
    while not store.reads:
        await asyncio.sleep(0)
    await change(store, "n" * 64)
    store.gate.set()
    await asking
    assert auth.cached(header()) is None


async def test_while_a_change_is_under_way_nothing_is_kept() -> None:
    store = await a_store()
    store.under_way = True
    auth = Authenticator(store)
    await auth.authenticate(header())
    assert auth.cached(header()) is None
    store.under_way = False
    await auth.authenticate(header())
    assert auth.cached(header())
    store.under_way = True
    assert auth.cached(header()) is None


async def test_the_oldest_entry_makes_room() -> None:
    auth = Authenticator(await a_store(), size=2)
    headers = [header(scheme=scheme) for scheme in (b"Basic ", b"basic ", b"BASIC ")]
    for value in headers:
        await auth.authenticate(value)
    assert [auth.cached(value) is not None for value in headers] == [False, True, True]
