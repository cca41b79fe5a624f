"""Private images through the whole platform: each namespace with its own credentials."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.platform import on_docker
from tests.docker.registry import SECRET, Registry, basic, write_config
from tests.system.engine import Engine
from tests.system.operating import upcall
from tests.system.serving import Answer, Platform
from upcall.model import texts

pytestmark = pytest.mark.usefixtures("inside")
ODD = "odd/server:1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("private")


@pytest.fixture(scope="module")
def registry(engine: Engine, folder: Path) -> Iterator[Registry]:
    made = Registry(engine, folder / "registry", "guest", port=5003)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def platform(engine: Engine, folder: Path, registry: Registry) -> Iterator[Platform]:
    namespaces = folder / "namespaces"
    write_config(namespaces / "guest.json", {registry.host: basic("guest")})
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("CONFIG_whisk_containerFactory_userImagesRegistry_url", f"{registry.host}/")
        with on_docker(engine, folder / "data", "--registry-credentials", str(namespaces)) as made:
            yield made


@pytest.fixture(scope="module")
def alice(platform: Platform) -> str:
    """Another namespace's credentials for the API."""
    return upcall("user", "create", "alice", data=platform.data).out.strip()


def called(platform: Platform, name: str, auth: str | None = None) -> Answer:
    return platform.call("POST", f"actions/{name}?blocking=true", {"answer": {"ran": 1}}, auth)


def test_who_may_fetch_it_runs_it_and_nobody_else(platform: Platform, registry: Registry, alice: str) -> None:
    """Though it is on the host by then."""
    image = registry.pushed(ODD, "guest/server:1")
    exec = {"kind": "blackbox", "image": "guest/server:1"}
    for auth in (None, alice):
        assert platform.call("PUT", "actions/own", {"exec": exec}, auth).status == 200
    assert called(platform, "own").body["response"]["success"]
    refused = called(platform, "own", alice)
    assert refused.status == 502
    assert refused.body["response"]["status"] == "action developer error"
    assert refused.body["response"]["result"] == {"error": texts.pull_failed(image)}
    assert called(platform, "own").body["response"]["success"]
    assert SECRET not in platform.output.read_text()
    assert basic("guest")["auth"] not in platform.output.read_text()


def test_a_folder_that_is_none_ends_the_start_with_a_sentence(engine: Engine, tmp_path: Path) -> None:
    there = ("--driver", "docker", "--docker-host", engine.url, "--port", "0")
    done = upcall("serve", *there, "--registry-credentials", str(tmp_path / "none"), data=tmp_path / "data")
    assert (done.code, done.out) == (1, "")
    said = f"upcall: --registry-credentials: {tmp_path}/none is no folder: make it, or leave it out"
    assert done.err == f"{said}\n"
