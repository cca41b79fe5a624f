"""Fetching: one for many, given up by one or by all, slow, cut off (a real engine, a real registry)."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from tests.docker.registry import Registry, an_image, image_id, removed
from tests.system.engine import Engine as Dockerd
from tests.system.engine import engine_of_its_own
from upcall.containers.docker import pulls
from upcall.containers.docker.credentials import NOBODY, Credentials
from upcall.containers.docker.engine import Engine, EngineAway, EngineError
from upcall.containers.docker.images import Images
from upcall.containers.docker.options import DockerOptions, Timeouts
from upcall.containers.docker.pulls import PullFailed, Pulls
from upcall.errors import StartFailed
from upcall.model import texts
from upcall.model.images import parse_image
from upcall.ports import ContainerSpec
from upcall.testing import until

BASE = "upcalltest/pull:1"


@pytest.fixture(scope="module")
def registry(engine: Dockerd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    made = Registry(engine, tmp_path_factory.mktemp("registry") / "r", port=5001)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def base(engine: Dockerd) -> Iterator[str]:
    """An image whose content no test has had before."""
    an_image(engine, BASE, "pulled", 1 << 20)
    yield BASE
    removed(engine, BASE)


@pytest.fixture
async def client(engine: Dockerd) -> AsyncIterator[Engine]:
    made = Engine(DockerOptions(host=engine.url))
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def fetching(client: Engine) -> AsyncIterator[Pulls]:
    made = Pulls(client)
    yield made
    await made.close()


@pytest.fixture
def common_spec() -> ContainerSpec:
    return ContainerSpec(kind="blackbox", image="img", memory=128, name="n", tenant="a", owner="a", pull=True)


async def test_many_at_a_time_ask_the_registry_once(
    engine: Dockerd, registry: Registry, base: str, fetching: Pulls
) -> None:
    name = await registry.push(base, "many:1")
    removed(engine, base)
    registry.freeze()
    asking = [asyncio.create_task(fetching.fetch(parse_image(name), NOBODY)) for _ in range(20)]
    await asyncio.sleep(0)
    before = registry.asked("/v2/many/manifests/1")
    registry.thaw()
    await asyncio.gather(*asking)
    assert registry.asked("/v2/many/manifests/1") - before == 1
    await fetching.fetch(parse_image(name), NOBODY)
    assert registry.asked("/v2/many/manifests/1") - before == 2, "who comes later asks anew"
    removed(engine, name)


async def test_different_credentials_do_not_share_a_fetch(
    engine: Dockerd, registry: Registry, base: str, fetching: Pulls
) -> None:
    name = await registry.push(base, "apart:1")
    before = registry.asked("/v2/apart/manifests/1")
    registry.freeze()
    asking = [
        asyncio.create_task(fetching.fetch(parse_image(name), NOBODY._replace(owner=owner))) for owner in ("a", "b")
    ]
    await asyncio.sleep(0)
    registry.thaw()
    await asyncio.gather(*asking)
    assert registry.asked("/v2/apart/manifests/1") - before == 2
    removed(engine, name)


async def test_who_gives_up_takes_nothing_from_the_others(
    engine: Dockerd, registry: Registry, base: str, fetching: Pulls
) -> None:
    name = await registry.push(base, "patient:1")
    registry.freeze()
    first, second, third = (asyncio.create_task(fetching.fetch(parse_image(name), NOBODY)) for _ in range(3))
    await asyncio.sleep(0)
    for impatient in (first, third):
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
    registry.thaw()
    await second
    assert image_id(engine, name)
    removed(engine, name)


async def test_when_all_have_given_up_it_is_fetched_no_longer(
    engine: Dockerd, registry: Registry, base: str, fetching: Pulls
) -> None:
    name = await registry.push(base, "given-up:1")
    registry.freeze()
    others = asyncio.all_tasks()
    asking = [asyncio.create_task(fetching.fetch(parse_image(name), NOBODY)) for _ in range(2)]
    await asyncio.sleep(0.05)
    for each in asking:
        each.cancel()
    await until(lambda: asyncio.all_tasks() <= others)
    before = registry.asked("/v2/given-up/manifests/1")
    later = asyncio.create_task(fetching.fetch(parse_image(name), NOBODY))
    await asyncio.sleep(0)
    registry.thaw()
    await later
    assert registry.asked("/v2/given-up/manifests/1") > before, "asked anew"
    assert image_id(engine, name)
    removed(engine, name)


async def test_a_failure_is_everybodys_and_over_with_it(
    engine: Dockerd, registry: Registry, base: str, fetching: Pulls
) -> None:
    name = f"{registry.host}/late:1"
    asking = [asyncio.create_task(fetching.fetch(parse_image(name), NOBODY)) for _ in range(3)]
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [PullFailed] * 3
    assert {(error.denied, error.missing) for error in outcomes if isinstance(error, PullFailed)} == {(False, True)}
    await registry.push(base, "late:1")
    await fetching.fetch(parse_image(name), NOBODY)
    removed(engine, name)


async def test_a_failure_in_the_middle_is_one(engine: Dockerd, registry: Registry, base: str, fetching: Pulls) -> None:
    """The engine has answered with 200 by then."""
    name = await registry.push(base, "lossy:1")
    removed(engine, base)
    registry.lose(1 << 20)
    with pytest.raises(PullFailed, match="unknown blob") as failure:
        await fetching.fetch(parse_image(name), NOBODY)
    assert not failure.value.denied
    assert not image_id(engine, name)


async def test_what_takes_too_long_has_failed(
    engine: Dockerd, registry: Registry, base: str, common_spec: ContainerSpec, tmp_path: Path
) -> None:
    name = await registry.push(base, "slow:latest")
    client = Engine(DockerOptions(host=engine.url, timeouts=Timeouts(pull=0.3)))
    await client.start()
    images = Images(client, Credentials(None, tmp_path / "none.json"))
    registry.freeze()
    try:
        with pytest.raises(StartFailed, match=r"^Failed to pull container image '127.0.0.1:5001/slow:latest'\.$"):
            await images.ready(structs.replace(common_spec, image=name))
    finally:
        registry.thaw()
        await images.close()
        await client.close()


async def test_a_long_fetch_is_told_when_it_goes_on_and_when_it_is_over(
    engine: Dockerd,
    registry: Registry,
    base: str,
    fetching: Pulls,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulls, "QUIET", 0.0)
    caplog.set_level(logging.INFO, pulls.__name__)
    name = await registry.push(base, "long:1")
    removed(engine, base)
    registry.freeze()
    task = asyncio.create_task(fetching.fetch(parse_image(name), NOBODY))
    await until(lambda: bool(caplog.messages))
    registry.thaw()
    await task
    assert caplog.messages[0] == f"the image {name} is being fetched"
    assert re.fullmatch(rf"the image {name} was fetched in \d+\.\d s, 1\.0 MB", caplog.messages[1])
    assert len(caplog.messages) == 2
    removed(engine, name)


async def test_what_is_up_to_date_is_not_told(
    engine: Dockerd, registry: Registry, base: str, fetching: Pulls, caplog: pytest.LogCaptureFixture
) -> None:
    name = await registry.push(base, "quiet:1")
    await fetching.fetch(parse_image(name), NOBODY)
    caplog.set_level(logging.INFO, pulls.__name__)
    await fetching.fetch(parse_image(name), NOBODY)
    assert caplog.messages == []
    removed(engine, name)


async def test_an_engine_that_dies_meanwhile_is_away_and_the_image_not_fetched(
    engine: Dockerd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends its answer in the middle: that is no end of a fetch."""
    with engine_of_its_own() as own:
        other = Registry(own, tmp_path / "r", port=5002)
        other.start()
        heard: list[pulls.Step] = []
        hear = pulls.Progress.heard

        def hearing(progress: pulls.Progress, step: pulls.Step) -> None:
            other.freeze()
            heard.append(step)
            hear(progress, step)

        monkeypatch.setattr(pulls.Progress, "heard", hearing)
        client = Engine(DockerOptions(host=own.url))
        await client.start()
        fetching = Pulls(client)
        try:
            an_image(own, "upcalltest/dies:1", "content", 4 << 20)
            name = await other.push("upcalltest/dies:1", "dies:1")
            removed(own, "upcalltest/dies:1")
            task = asyncio.create_task(fetching.fetch(parse_image(name), NOBODY))
            await until(lambda: bool(heard))
            own.kill()
            with pytest.raises(EngineAway):
                await task
        finally:
            other.stop()
            await fetching.close()
            await client.close()


@pytest.mark.parametrize(
    ("image", "says"),
    [("Alice/Img", "'Alice' is no part"), ("a/../b", "'..' is no part"), ("0a" * 32, "by its id"), ("x;id", "no part")],
)
async def test_what_is_no_name_never_reaches_the_engine(
    common_spec: ContainerSpec, tmp_path: Path, image: str, says: str
) -> None:
    nowhere = Engine(DockerOptions(host=f"unix://{tmp_path}/none.sock"))
    images = Images(nowhere, Credentials(None, tmp_path / "none.json"))
    with pytest.raises(StartFailed) as failure:
        await images.ready(structs.replace(common_spec, image=image))
    assert str(failure.value).startswith(texts.pull_failed(image) + " ")
    assert says in str(failure.value)
    assert failure.value.developer


async def test_no_image_by_the_name_of_ours_is_fetched_from_docker_hub(
    common_spec: ContainerSpec, tmp_path: Path
) -> None:
    nowhere = Engine(DockerOptions(host=f"unix://{tmp_path}/none.sock"))
    images = Images(nowhere, Credentials(None, tmp_path / "none.json"))
    for name in ("upcall/python:0.1.0", "docker.io/upcall/python:9"):
        with pytest.raises(StartFailed, match="Failed to provision resources") as failure:
            await images.bring(structs.replace(common_spec, kind="python:3", image=name, pull=False))
        assert str(failure.value.__cause__).endswith("and in no registry: scripts/images python makes it")


async def test_a_managed_image_that_is_missing_is_fetched_once_and_else_the_platforms_fault(
    engine: Dockerd, registry: Registry, base: str, client: Engine, common_spec: ContainerSpec, tmp_path: Path
) -> None:
    images = Images(client, Credentials(None, tmp_path / "none.json"))
    name = await registry.push(base, "managed:1")
    managed = structs.replace(common_spec, kind="python:3", image=name, pull=False)
    assert await images.ready(managed), "it is not fetched where it need not be"
    with pytest.raises(EngineError) as missing:
        await images.program(name)
    assert missing.value.reply == 404
    await images.bring(managed)
    assert (await images.program(name)).image == image_id(engine, name)
    with pytest.raises(StartFailed, match="Failed to provision resources") as failure:
        await images.bring(structs.replace(managed, image=f"{registry.host}/never:1"))
    assert not failure.value.developer
    await images.close()
    removed(engine, name)
