"""Whose containers are whose on a real engine, and what becomes of those that nobody needs."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.docker.living import IMAGE, QUIET, Blind, Life, life
from tests.system.engine import Engine as Dockerd
from tests.system.engine import engine_of_its_own, required
from upcall.containers.docker.engine import Engine
from upcall.containers.docker.freezer import Freezer
from upcall.containers.docker.labels import new_labels
from upcall.containers.docker.options import DockerOptions
from upcall.containers.docker.removals import Removals
from upcall.containers.docker.sweeping import sweep
from upcall.containers.sandbox.cgroups import Grip
from upcall.errors import Misconfigured
from upcall.testing import until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def instance() -> str:
    return uuid.uuid4().hex


@pytest.fixture
async def one(engine: Dockerd, instance: str) -> AsyncIterator[Life]:
    async with life(engine, instance, 1) as made:
        yield made


@pytest.fixture
def fragile(request: pytest.FixtureRequest) -> Iterator[Dockerd]:
    """An engine to break."""
    required(request)
    with engine_of_its_own() as made:
        yield made


def names(engine: Dockerd, instance: str) -> set[str]:
    return {each["Names"][0].removeprefix("/") for each in engine.containers(f"upcall.instance={instance}")}


async def test_what_an_earlier_life_left_goes_whatever_its_state_is(engine: Dockerd, instance: str) -> None:
    async with life(engine, instance) as dead:
        await dead.make("pass")
        await dead.put(f"{instance}_created", start=False)
        await (await dead.make()).pause()
        running, paused = await dead.make(), await dead.make()
        await dead.engine.docker.containers.container(paused.id).pause()
        assert len(names(engine, instance)) == 5
        async with life(engine, instance):
            assert not names(engine, instance)
        await running.destroy()  # has gone: no error


async def test_another_invokers_containers_are_not_touched(engine: Dockerd, instance: str) -> None:
    """1 is not 10, an instance is no prefix of another, and strangers may carry some of our labels."""
    others = {"upcall.instance": f"{instance}0", "upcall.invoker": "1"}, {"upcall.instance": instance}
    async with life(engine, instance, 10) as ten, life(engine, instance, 1) as one:
        kept = [
            (await ten.make()).id,
            *[await one.put(f"{instance}_{n}", labels=other) for n, other in enumerate(others)],
        ]
        (await one.make()).lost = None
        kept += [await one.put(f"wsk1_{instance}", labels={"stranger": "yes"})]
        async with life(engine, instance, 1) as next_one:
            await next_one.owned.look_round()
            assert {each["Id"] for each in engine.containers()} >= set(kept)
            assert not engine.containers(*one.labels.filter())
        for id in kept[1:]:
            await one.removals.remove(id)


async def test_a_life_that_drains_takes_nothing_from_its_successor(engine: Dockerd, instance: str, one: Life) -> None:
    async with life(engine, instance, 1) as successor:
        container = await successor.make()
        await one.owned.look_round()
        assert (await successor.look(container.id))["Running"]


async def test_a_container_that_nobody_knows_is_removed_and_one_under_way_is_not(engine: Dockerd, one: Life) -> None:
    await one.put(f"{one.labels.instance}_stray")
    under_way = f"{one.labels.instance}_under_way"
    one.owned.names.add(under_way)
    await one.put(under_way, start=False)
    known = await one.make()
    await one.owned.look_round()
    assert names(engine, one.labels.instance) == {under_way, known.name}
    one.owned.names.discard(under_way)
    await one.owned.look_round()
    assert names(engine, one.labels.instance) == {known.name}


async def test_a_death_that_nobody_told_of_is_found_by_looking_round(engine: Dockerd, instance: str) -> None:
    async with life(engine, instance, freezer=Blind()) as deaf:
        exited, removed, well = [await deaf.make() for _ in range(3)]
        lost: set[str] = set()
        for each in (exited, removed, well):
            each.lost = lambda id=each.id: lost.add(id)
        await deaf.owned.close()  # hears no events
        engine.call("POST", f"/containers/{exited.id}/kill")
        engine.call("DELETE", f"/containers/{removed.id}", force="1")
        await deaf.owned.look_round()
        assert lost == {exited.id, removed.id}


async def test_an_engine_that_is_killed_and_comes_back_tells_all_that_it_lost(
    fragile: Dockerd, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upcall.containers.docker.ownership.ROUND", 1000.0)
    async with life(fragile, instance, freezer=Blind()) as made:
        container = await made.make()
        lost: list[int] = []
        container.lost = lambda: lost.append(1)
        await made.put(f"{instance}_stray")
        fragile.kill()
        await until(lambda: made.engine.trouble is not None, 30)
        going = asyncio.create_task(made.removals.remove(container.id))
        fragile.start()
        await until(lambda: bool(lost), 60)
        assert await going
        await until(lambda: not names(fragile, instance), 60)


async def test_containers_that_outlive_their_engine_are_ours_still(fragile: Dockerd, instance: str) -> None:
    """`live-restore`: they run while nobody minds them."""
    fragile.stop()
    fragile.start("--live-restore")
    async with life(fragile, instance) as made:
        container = await made.make()
        lost: list[int] = []
        container.lost = lambda: lost.append(1)
        fragile.kill()
        await until(lambda: made.engine.trouble is not None, 30)
        await container.pause()
        fragile.start("--live-restore")
        await until(lambda: made.engine.trouble is None, 30)
        await made.owned.look_round()
        await container.resume()
        assert (await made.look(container.id))["Running"]
        assert not lost
    assert not names(fragile, instance)


class Watching(Removals):
    """Notes whether what it removes was frozen."""

    def __init__(self, engine: Engine, grip: Grip) -> None:
        super().__init__(engine)
        self._grip = grip
        self.frozen: list[bool] = []

    async def remove(self, id: str, paused: bool = False, cut_off: bool = False) -> bool:
        self.frozen.append(self._grip.frozen())
        return await super().remove(id, paused, cut_off)


async def test_what_is_frozen_is_thawed_before_it_is_removed(engine: Dockerd, instance: str) -> None:
    """Some engines cannot kill it otherwise, and none knows of it."""
    async with life(engine, instance) as dead:
        container = await dead.make()
        await container.pause()
        grip = dead.freezer.find((await dead.look(container.id))["Pid"], container.id)
        assert grip is not None
        assert grip.frozen()
        watching = Watching(dead.engine, grip)
        assert await sweep(dead.engine, new_labels(instance, 0), Freezer(), watching) == 1
        assert watching.frozen == [False]
        grip.close()


async def test_what_is_to_go_while_the_engine_hangs_ends_at_once_and_goes_later(
    fragile: Dockerd, instance: str
) -> None:
    async with life(fragile, instance) as made:
        container = await made.make()
        await container.pause()
        pid = (await made.look(container.id))["Pid"]
        fragile.freeze()
        going = asyncio.create_task(container.destroy())
        await until(lambda: ended(pid))
        assert not going.done()
        fragile.thaw()
        await going
        assert not names(fragile, instance)


def ended(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] in ("Z", "X")
    except FileNotFoundError:
        return True


async def test_what_cannot_be_swept_ends_the_start_and_says_what_to_do(
    engine: Dockerd, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with life(engine, instance) as made:
        left = await made.make()
        monkeypatch.setattr("upcall.containers.docker.sweeping.PATIENCE", 0.0)
        with pytest.raises(Misconfigured, match=r"cannot be removed: it is not done after 0 s\. Remove it"):
            await sweep(made.engine, new_labels(instance, 0), made.freezer, made.removals)
        assert (await made.look(left.id))["Running"]


async def test_many_are_removed_some_at_a_time_and_nobody_makes_new_ones_meanwhile(
    engine: Dockerd, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upcall.containers.docker.removals.MOST", 3)
    client = Engine(DockerOptions(host=engine.url))
    await client.start()
    try:
        removals = Removals(client)
        made = Life(client, new_labels(instance, 0), Freezer())
        ids = [await made.put(f"{instance}_{number}", QUIET, start=False) for number in range(4)]
        going = asyncio.gather(*(removals.remove(id) for id in ids))
        await asyncio.sleep(0)
        assert removals.pending == 4
        waiting = asyncio.create_task(removals.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        assert all(await going)
        await waiting
        assert removals.pending == 0
        assert await removals.remove(ids[0])  # again
    finally:
        await client.close()


async def test_volumes_without_a_name_go_with_their_container(engine: Dockerd, one: Life) -> None:
    def volumes() -> set[str]:
        return {each["Name"] for each in engine.call("GET", "/volumes")["Volumes"] or ()}

    before = volumes()
    made = engine.call("POST", "/containers/create", {"Image": IMAGE, "Cmd": ["true"], "Volumes": {"/data": {}}})
    (new,) = volumes() - before
    assert await one.removals.remove(made["Id"])
    assert new not in volumes()
