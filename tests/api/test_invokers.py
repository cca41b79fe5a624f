"""A controller and two Invokers on one bus, all of them real but for their containers (spec: load-balancer.md)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import msgspec
import pytest

from tests.api.platform import KEY, UUID, Answered, Client, a_request, an_action
from upcall.bus.memory import MemoryBus
from upcall.controller.server import Front
from upcall.controller.service import Controller
from upcall.core.balance import java_hash
from upcall.core.pool import PoolConfig
from upcall.errors import Internal, StartFailed
from upcall.http.listening import listen
from upcall.http.metrics import Exposed
from upcall.invoker.canary import Failed
from upcall.invoker.service import Invoker
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Action, NamespaceKey, Subject
from upcall.model.messages import SYSTEM, CompletionMessage, PingMessage, completed_topic, health_topic
from upcall.model.sizes import SystemLimits
from upcall.ports import Containers, ContainerSpec, Query, Store, Stored
from upcall.store.cache import ActionCache
from upcall.store.fake import FakeStore
from upcall.testing import MANIFEST, FakeContainers, an_instance, until

LIMITS = SystemLimits(invocations_per_minute=10_000, concurrent_invocations=1000)
NAMES = [f"a{number}" for number in range(8)]


async def canary(containers: Containers, spec: ContainerSpec) -> None:
    """A container is made."""
    try:
        container = await containers.create(spec)
    except StartFailed as error:
        raise Failed("create") from error
    await container.destroy()


class Shaky:
    """The same store, for one Invoker: while it is `broken` that cannot read actions."""

    def __init__(self, store: FakeStore) -> None:
        self._store = store
        self.broken = False

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        if self.broken and kind is Action:
            raise Internal("no database")
        return await self._store.get(kind, id, rev)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Place:
    """One Invoker, its containers and its way to the store."""

    def __init__(self, number: int, bus: MemoryBus, store: FakeStore) -> None:
        self.containers = FakeContainers()
        self.shaky = Shaky(store)
        reached = cast(Store, self.shaky)
        self.invoker = Invoker(
            an_instance(number),
            bus,
            reached,
            ActionCache(reached, asyncio.get_running_loop().time),
            self.containers,
            pool=PoolConfig(memory=2048),
            manifest=MANIFEST,
            limits=LIMITS,
            canary=canary,
        )

    def ran(self) -> list[str]:
        """Actions of the containers, without those of probes."""
        return [name for made in self.containers.made if (name := made.spec.name).endswith(tuple(NAMES))]


class World:
    def __init__(self) -> None:
        self.bus, self.store = MemoryBus(), FakeStore()
        self.places: list[Place] = []
        self.controller = Controller(
            "0",
            self.bus,
            self.store,
            front=Front(listen("127.0.0.1", 0)),
            manifest=MANIFEST,
            limits=LIMITS,
            metrics=Exposed([]),
        )

    @asynccontextmanager
    async def started(self, invokers: int) -> AsyncIterator["World"]:
        await self.store.put(Subject("guest-subject", [NamespaceKey("guest", UUID, KEY)]))
        for name in NAMES:
            await self.store.put(msgspec.structs.replace(an_action(), name=name))
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.controller)
            for number in range(invokers):
                place = Place(number, self.bus, self.store)
                self.places.append(place)
                await stack.enter_async_context(place.invoker)
            await self.all_up()
            yield self
            await self.controller.stop(1)

    async def ask(self, data: bytes) -> Answered:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.controller.port))
        try:
            return await client.ask(data)
        finally:
            client.writer.close()
            await client.writer.wait_closed()

    async def invoke(self, name: str) -> Answered:
        return await self.ask(a_request(f"/api/v1/namespaces/_/actions/{name}?blocking=true", b"{}"))

    async def get(self, path: str) -> Answered:
        return await self.ask(a_request(path, method="GET", length=False))

    def states(self) -> list[str]:
        return list(self.controller.fleet.states().values())

    async def all_up(self) -> None:
        await until(lambda: set(self.states()) == {"up"} and len(self.states()) == len(self.places))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World().started(2) as world:
        yield world


def home(name: str) -> int:
    """Of two, by hand."""
    return abs(java_hash("guest") ^ java_hash(f"guest/{name}")) % 2


async def test_each_action_has_its_home_and_stays_there(world: World) -> None:
    assert {home(name) for name in NAMES} == {0, 1}
    for _ in range(3):
        for name in NAMES:
            assert (await world.invoke(name)).status == 200
    for number, place in enumerate(world.places):
        homed = [name for name in NAMES if home(name) == number]
        assert len(place.ran()) == len(homed), "one container for each, warm the second time"
        assert all(any(name in ran for ran in place.ran()) for name in homed)


async def test_who_is_disabled_gets_nothing_and_gets_his_own_back_when_he_is_not(world: World) -> None:
    name = NAMES[0]
    one, other = world.places[home(name)], world.places[1 - home(name)]
    assert one.invoker.disable()
    assert world.states()[home(name)] == "down"
    assert (await world.invoke(name)).status == 200
    assert (len(one.ran()), len(other.ran())) == (0, 1)
    assert one.invoker.enable()
    await world.all_up()
    assert (await world.invoke(name)).status == 200
    assert (len(one.ran()), len(other.ran())) == (1, 1)


async def test_with_nobody_healthy_callers_get_503(world: World) -> None:
    for place in world.places:
        place.invoker.disable()
    answered = await world.invoke("a0")
    assert (answered.status, answered.json["error"]) == (503, texts.DEFAULTS[503])
    assert (await world.get("/activation/count")).json == 0
    assert (await world.get("/invokers")).json == {"invoker0": "down", "invoker1": "down"}


async def test_who_fails_is_unhealthy_until_he_does_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upcall.core.health.PROBES", 0.3)
    name = NAMES[0]
    number = home(name)
    place = world.places[number]
    place.shaky.broken = True
    answers = []
    while world.states()[number] == "up":
        answers.append(await world.invoke(name))
        assert len(answers) <= 4, "more than three system errors"
    assert {(answer.status, answer.json["response"]["status"]) for answer in answers} == {(500, "whisk internal error")}
    assert world.states() == ["up" if each != number else "unhealthy" for each in range(2)]
    assert (await world.invoke(name)).status == 200
    assert (len(place.ran()), len(world.places[1 - number].ran())) == (0, 1)
    place.shaky.broken = False
    await world.all_up()


async def test_who_cannot_make_containers_any_more_says_so_and_is_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Warm containers still answer probes, so it is the Invoker that has to know."""
    monkeypatch.setattr("upcall.invoker.canary.AGAIN", 0.01)
    number = home(NAMES[0])
    one, other = world.places[number], world.places[1 - number]
    one.containers.failure = StartFailed("no more processes")
    while one.invoker.proof.trouble is None:
        await world.invoke(NAMES[0])
    await until(lambda: world.states()[number] == "down")
    assert (await world.invoke(NAMES[0])).status == 200
    assert (len(one.ran()), len(other.ran())) == (0, 1)
    one.containers.failure = None
    await world.all_up()
    assert (await world.invoke(NAMES[0])).status == 200
    assert len(one.ran()) == 1


async def test_probes_are_no_activations_of_anybody(world: World) -> None:
    assert (await world.get("/activation/count")).json == 0
    assert world.controller.fleet.supervisor is not None
    assert world.controller.fleet.supervisor.probes_sent >= 2
    assert await world.store.count(Activation, Query(namespace=SYSTEM)) >= 2
    assert await world.store.count(Activation, Query(namespace="guest")) == 0


async def test_what_the_operator_sees(world: World) -> None:
    assert (await world.get("/invokers")).json == {"invoker0": "up", "invoker1": "up"}
    assert (await world.get("/invokers/healthy/count")).json == 2
    assert (await world.get("/invokers/ready")).json == {"healthy": "2/2"}
    world.bus.send(health_topic(), PingMessage(an_instance(3)))
    assert (await world.get("/invokers")).json["invoker2"] == "down"
    answered = await world.get("/invokers/ready")
    assert (answered.status, answered.json) == (500, {"unhealthy": "2/4"})
    text = (await world.get("/metrics")).body.decode()
    for line in (
        'counter_loadbalancer_invokerState_counter_total{state="up"} 2.0',
        'upcall_invokers{state="up"} 2.0',
        'upcall_balancer_share_bytes{invoker="0"} 2.147483648e+09',
        'upcall_completions_total{how="forced"} 0.0',
    ):
        assert line in text, line


async def test_a_late_completion_frees_nothing_twice(world: World) -> None:
    for _ in range(2):
        world.bus.send(completed_topic("0"), CompletionMessage(["t", 1], "f" * 32, True, an_instance(0)))
    await world.invoke("a0")
    assert world.controller.fleet._balancer.places[0].permits == 2048
    assert world.states() == ["up", "up"]
