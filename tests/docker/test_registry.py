"""Private registries: whose credentials fetch what, and who may run what is here (a real engine, a real registry)."""

import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.docker.registry import SECRET, Registry, an_image, basic, image_id, removed, write_config
from tests.system.engine import Engine as Dockerd
from upcall.containers.docker.credentials import Credentials
from upcall.containers.docker.engine import Engine
from upcall.containers.docker.images import REST, Images
from upcall.containers.docker.options import DockerOptions, Timeouts
from upcall.errors import StartFailed
from upcall.model import texts
from upcall.ports import ContainerSpec

BASE = "upcalltest/registry:1"


def spec(image: str, owner: str = "alice") -> ContainerSpec:
    return ContainerSpec(kind="blackbox", image=image, memory=128, name="n", tenant=owner, owner=owner, pull=True)


@pytest.fixture(scope="module")
def registry(engine: Dockerd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    made = Registry(engine, tmp_path_factory.mktemp("registry") / "r", "alice", "platform")
    made.start()
    an_image(engine, BASE, "first")
    yield made
    made.stop()
    removed(engine, BASE)


@pytest.fixture
def common(tmp_path: Path) -> Path:
    return tmp_path / "docker" / "config.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "namespaces"
    made.mkdir()
    return made


@pytest.fixture
async def images(engine: Dockerd, common: Path, folder: Path) -> AsyncIterator[Images]:
    """With credentials of namespaces apart."""
    client = Engine(DockerOptions(host=engine.url))
    await client.start()
    made = Images(client, Credentials(folder, common))
    await made.start()
    yield made
    await made.close()
    await client.close()


@pytest.fixture
async def shared(engine: Dockerd, common: Path) -> AsyncIterator[Images]:
    """With the platform's credentials alone."""
    client = Engine(DockerOptions(host=engine.url))
    await client.start()
    made = Images(client, Credentials(None, common))
    yield made
    await made.close()
    await client.close()


async def refused(images: Images, wanted: ContainerSpec) -> None:
    """With exactly upstream's text."""
    with pytest.raises(StartFailed) as failure:
        await images.ready(wanted)
    assert str(failure.value) == texts.pull_failed(wanted.image)
    assert failure.value.developer


async def test_the_platforms_credentials_serve_who_has_none(
    engine: Dockerd, registry: Registry, images: Images, common: Path
) -> None:
    image = await registry.push(BASE, "team/common:1")
    await refused(images, spec(image))
    write_config(common, {registry.host: basic("platform")})
    assert await images.ready(spec(image))
    assert image_id(engine, image)
    removed(engine, image)


@pytest.mark.parametrize("place", ["alice/config.json", "alice.json"])
async def test_a_namespace_has_its_own_and_nobody_elses(
    engine: Dockerd, registry: Registry, images: Images, folder: Path, place: str
) -> None:
    image = await registry.push(BASE, "alice/private:1")
    write_config(folder / place, {registry.host: basic("alice")})
    assert await images.ready(spec(image, "alice"))
    for other in ("bob", "", "../namespaces/alice", ".."):
        await refused(images, spec(image, other))
    assert await images.ready(spec(image, "alice"))
    removed(engine, image)


async def test_a_private_image_that_is_here_is_not_run_by_who_may_not_fetch_it(
    engine: Dockerd, registry: Registry, images: Images, folder: Path
) -> None:
    """Not with a fixed tag, not by its digest, and not while the registry is down."""
    image = await registry.push(BASE, "alice/secret:1")
    write_config(folder / "alice.json", {registry.host: basic("alice")})
    assert await images.ready(spec(image, "alice"))
    digest = engine.call("GET", f"/images/{image}/json")["RepoDigests"][0]
    for name in (image, digest):
        await refused(images, spec(name, "bob"))
    assert await images.ready(spec(digest, "alice"))
    registry.stop()
    try:
        for name in (image, digest):
            assert await images.ready(spec(name, "alice")) is False, "the copy that she has fetched is tried"
            await refused(images, spec(name, "bob"))
    finally:
        registry.start()
        removed(engine, image)


async def test_who_is_refused_now_does_not_run_what_was_fetched_before(
    engine: Dockerd, registry: Registry, images: Images, folder: Path
) -> None:
    image = await registry.push(BASE, "alice/revoked:1")
    path = write_config(folder / "alice.json", {registry.host: basic("alice")})
    assert await images.ready(spec(image))
    write_config(path, {registry.host: basic("alice", "no longer")})
    await refused(images, spec(image))
    removed(engine, image)


async def test_where_all_have_the_same_credentials_a_copy_does_while_the_registry_is_down(
    engine: Dockerd, registry: Registry, shared: Images, common: Path
) -> None:
    fixed = await registry.push(BASE, "team/down:1")
    floating = await registry.push(BASE, "team/down:latest")
    write_config(common, {registry.host: basic("platform")})
    for name in (fixed, floating):
        assert await shared.ready(spec(name))
    registry.stop()
    try:
        assert await shared.ready(spec(fixed)) is False
        await refused(shared, spec(floating))
        await refused(shared, spec(floating.removesuffix(":latest")))
        await refused(shared, spec(f"{registry.host}/team/never-seen:1"))
    finally:
        registry.start()
        removed(engine, fixed, floating)


async def test_a_registry_that_does_not_answer_does_not_keep_each_start_waiting(
    engine: Dockerd, registry: Registry, common: Path
) -> None:
    """For a while, and where a copy will do."""
    later = [0.0]
    client = Engine(DockerOptions(host=engine.url, timeouts=Timeouts(pull=3.0)))
    await client.start()
    images = Images(client, Credentials(None, common), clock=lambda: time.monotonic() + later[0])
    write_config(common, {registry.host: basic("platform")})
    fixed = await registry.push(BASE, "team/silent:1")
    floating = await registry.push(BASE, "team/silent:latest")
    try:
        assert await images.ready(spec(fixed))
        registry.freeze()
        assert await images.ready(spec(fixed)) is False
        registry.thaw()
        before = registry.asked("/v2/team/silent/manifests/1")
        assert await images.ready(spec(fixed)) is False
        assert registry.asked("/v2/team/silent/manifests/1") == before
        assert await images.ready(spec(floating)), "of this no copy will do"
        later[0] = REST
        assert await images.ready(spec(fixed)) is True
    finally:
        registry.thaw()
        await images.close()
        await client.close()
    removed(engine, fixed, floating)


async def test_what_its_registry_refuses_is_not_run_from_the_copy_though_all_have_the_same_credentials(
    engine: Dockerd, registry: Registry, shared: Images, common: Path
) -> None:
    image = await registry.push(BASE, "team/refused:1")
    write_config(common, {registry.host: basic("platform")})
    assert await shared.ready(spec(image))
    write_config(common, {registry.host: basic("platform", "no longer")})
    await refused(shared, spec(image))
    removed(engine, image)


async def test_what_the_operator_has_made_here_needs_no_registry(
    engine: Dockerd, registry: Registry, images: Images
) -> None:
    name = f"{registry.host}/operator/own:1"
    an_image(engine, name, "made here")
    assert await images.ready(spec(name)) is False
    removed(engine, name)


async def test_wrong_credentials_and_missing_images_have_the_same_text_and_no_secret_is_told(
    engine: Dockerd, registry: Registry, images: Images, common: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    image = await registry.push(BASE, "team/wrong:latest")
    write_config(common, {registry.host: basic("platform", "mistaken")})
    await refused(images, spec(image))
    write_config(common, {registry.host: basic("platform")})
    await refused(images, spec(f"{registry.host}/team/missing:latest"))
    await refused(images, spec(f"{registry.host}/team/missing:1"))
    for said in ("mistaken", SECRET, basic("platform")["auth"], basic("platform", "mistaken")["auth"]):
        assert said not in caplog.text
    assert "was not fetched" in caplog.text


async def test_a_tag_that_has_moved_is_fetched_and_what_it_runs_asked_anew(
    engine: Dockerd, registry: Registry, shared: Images, common: Path
) -> None:
    write_config(common, {registry.host: basic("platform")})
    image = await registry.push(BASE, "team/moved:1")
    assert await shared.ready(spec(image))
    first = await shared.program(image)
    an_image(engine, "upcalltest/second:1", "second")
    await registry.push("upcalltest/second:1", "team/moved:1")
    assert image_id(engine, image) == "", "pushed, not fetched"
    assert await shared.ready(spec(image))
    second = await shared.program(image)
    assert second.image == image_id(engine, "upcalltest/second:1") != first.image
    removed(engine, image, "upcalltest/second:1")


async def test_a_helper_has_the_credentials(
    engine: Dockerd, registry: Registry, images: Images, common: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await registry.push(BASE, "team/helped:1")
    helper = tmp_path / "docker-credential-upcalltest"
    answer = json.dumps({"ServerURL": registry.host, "Username": "platform", "Secret": SECRET})
    helper.write_text(f'#!/bin/sh\n[ "$1 $(cat)" = "get {registry.host}" ] && echo \'{answer}\'\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    write_config(common, {}, credHelpers={registry.host: "upcalltest"})
    assert await images.ready(spec(image))
    removed(engine, image)
