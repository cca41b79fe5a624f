"""Requests whose head has come before skip what was found out then; what has changed since counts at once."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.api.platform import INVOKE, Client, Platform, a_request, an_action
from upcall.controller.auth import Authenticator
from upcall.controller.route import Head, InvokeRoute, Request
from upcall.model import texts
from upcall.model.entities import Limits, Parameter, UserLimits

BODY = b'{"n":1}'


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform().run() as running:
        yield running


@pytest.fixture
async def client(platform: Platform) -> Client:
    """Its head is known, and where it leads."""
    client = await platform.connect()
    for _ in range(2):
        assert (await client.ask(a_request(INVOKE, BODY))).status == 200
    assert (await head_of(platform)).way is not None
    return client


async def head_of(platform: Platform) -> Head:
    (head,) = (await platform.connections(1))[0].edge.heads.values()
    assert isinstance(head, Head)
    return head


async def test_a_known_way_is_not_searched_again(
    platform: Platform, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(InvokeRoute, "_search")
    monkeypatch.delattr(Authenticator, "known")
    assert (await client.ask(a_request(INVOKE, BODY))).body == BODY
    assert platform.acks.count == 0


async def test_an_action_that_is_written_is_read_again(platform: Platform, client: Client) -> None:
    stored = await platform.store.get(type(an_action()), "guest/hello")
    changed = msgspec.structs.replace(an_action(), parameters=[Parameter("p", msgspec.Raw(b"2"))])
    revision = await platform.store.put(changed, stored.rev)
    platform.cache.forget("guest/hello")
    assert (await client.ask(a_request(INVOKE, BODY))).json == {"p": 2, "n": 1}
    assert platform.invoker.messages[-1].revision == revision


async def test_an_action_that_is_gone_is_not_run(platform: Platform, client: Client) -> None:
    stored = await platform.store.get(type(an_action()), "guest/hello")
    await platform.store.delete(type(an_action()), "guest/hello", stored.rev)
    platform.cache.forget("guest/hello")
    assert (await client.ask(a_request(INVOKE, BODY))).status == 404
    assert len(platform.invoker.messages) == 2


async def test_limits_that_are_set_hold(platform: Platform, client: Client) -> None:
    await platform.store.put(Limits("guest", UserLimits(invocations_per_minute=1)))
    refused = await client.ask(a_request(INVOKE, BODY))
    assert refused.status == 429
    assert refused.json["error"] == texts.too_many_requests(3, 1)


async def test_a_smaller_payload_that_is_set_holds(platform: Platform, client: Client) -> None:
    await platform.store.put(Limits("guest", UserLimits(max_payload_size="4 B")))
    for _ in range(2):
        assert (await client.ask(a_request(INVOKE, BODY))).status == 413


async def test_the_throttles_count_on_a_known_way(platform: Platform, client: Client) -> None:
    await platform.store.put(Limits("guest", UserLimits(invocations_per_minute=5)))
    statuses = [(await client.ask(a_request(INVOKE, BODY))).status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


async def test_a_body_is_looked_at_each_time(platform: Platform, client: Client) -> None:
    for bad in (b"[12345]", b"no json", b'{"\xff":1'):
        assert (await client.ask(a_request(INVOKE, bad[:7].ljust(7)))).status == 400
    assert (await client.ask(a_request(INVOKE, BODY))).body == BODY


async def test_a_known_head_keeps_nothing_of_an_action_that_the_cache_has_dropped(
    platform: Platform, client: Client
) -> None:
    way = (await head_of(platform)).way
    assert way is not None
    kept: list[object] = [way.lease.plan]
    platform.cache.forget("guest/hello")
    kept += [way.lease.plan, way.lease.until]
    assert kept[0] is not None
    assert kept[1:] == [None, 0.0]


@pytest.mark.parametrize("which", ["caller", "action"])
async def test_a_way_whose_time_is_over_is_searched_again(
    platform: Platform, client: Client, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    searched: list[Head] = []
    search = InvokeRoute._search

    def spy(route: InvokeRoute, request: Request) -> None:
        searched.append(request.head)
        search(route, request)

    monkeypatch.setattr(InvokeRoute, "_search", spy)
    head = await head_of(platform)
    assert head.way is not None
    if which == "caller":
        head.way = msgspec.structs.replace(head.way, until=0.0)
    else:
        head.way.lease.until = 0.0
    for _ in range(3):
        assert (await client.ask(a_request(INVOKE, BODY))).status == 200
    assert searched == ([head] if which == "caller" else [head, head]), "an action is read before its way is known"
