"""What the wiring works out before anything runs."""

import os
from pathlib import Path

import msgspec
import pytest

from upcall import __version__
from upcall.app import run
from upcall.app.addresses import reachable
from upcall.app.api import hosted_manifest
from upcall.app.folders import docker_folder, remove, run_folder
from upcall.app.offer import by_docker, docker_manifest, manifest_of, offered
from upcall.app.parts import events_topic, pool_config
from upcall.app.readiness import Ready
from upcall.config import load
from upcall.errors import Misconfigured, Unavailable
from upcall.http.envelope import JSON
from upcall.model.messages import Topic
from upcall.model.runtimes import Deployment
from upcall.store.fake import FakeStore


@pytest.mark.parametrize(
    ("host", "part"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("box", "box")],
)
def test_the_url_names_an_address_that_this_machine_can_use(host: str, part: str) -> None:
    assert reachable(host) == part


def test_sockets_lie_in_a_runtime_folder_that_is_this_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = os.getuid() or 1234567
    if os.getuid() == 0:
        os.chown(tmp_path, user, -1)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: user)
    assert run_folder(Path("/data")).parent == tmp_path / "upcall"
    monkeypatch.setattr(os, "getuid", lambda: user + 1)  # after `su`
    assert run_folder(Path("/data")).parent == Path(f"/tmp/upcall-{user + 1}")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert run_folder(Path("/data")).parent == Path(f"/tmp/upcall-{user + 1}")


def test_what_containers_of_an_engine_have_is_on_a_volume_where_nothing_else_is_the_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != ("/run", os.W_OK))
    assert docker_folder(Path("/data")) == Path("/data/docker")
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    assert docker_folder(Path("/data")).parent == Path("/run/upcall")


def test_of_a_manifest_is_offered_what_runs_here(caplog: pytest.LogCaptureFixture) -> None:
    manifest = manifest_of(["python:3", "python:3.11", "nodejs:20"])
    here = offered(manifest, ["nodejs:20", "python:3.11", "python:3.12"])
    assert here.kinds == ["python:3.11", "nodejs:20"]
    assert here.blackboxes == manifest.blackboxes
    assert "the manifest has them: python:3" in caplog.text
    with pytest.raises(Misconfigured, match=r"none of its kinds \(python:3, .*\) runs here; these do: ruby:2"):
        offered(manifest, ["ruby:2"])


@pytest.mark.parametrize("tag", ["", ":latest", ":nightly", ":1.14.0", "@sha256:" + "a" * 64])
def test_the_image_of_native_executables_is_never_pulled(tag: str) -> None:
    """Nor are its actions placed where images are pulled; `wsk action create --native` names `:nightly`."""
    manifest = manifest_of(["python:3"])
    assert not manifest.is_pulled(f"openwhisk/dockerskeleton{tag}")
    assert manifest.is_pulled(f"other/dockerskeleton{tag}")
    assert manifest.is_pulled(f"openwhisk/other{tag}")


@pytest.mark.parametrize(
    ("bus", "told", "topic"),
    [("memory", True, None), ("kafka", False, Topic("ev-events", "event"))],
)
def test_user_events_go_to_kafka_or_nowhere(bus: str, told: bool, topic: Topic | None) -> None:
    """In this process nobody would ever take them."""
    settings, remarks = load(
        {"bus": bus, "kafka_hosts": "a:9092", "user_events": "on", "kafka_user_event_prefix": "ev-"}, {}
    )
    assert events_topic(settings) == topic
    assert ("user events are told to nobody: they go to a topic of Kafka, and --bus is memory" in remarks) is told


async def test_ready_is_what_the_store_says_for_a_second() -> None:
    store = FakeStore()
    asked = 0
    trouble: Exception | None = None

    async def identity(uuid: str, key: str) -> None:
        nonlocal asked
        asked += 1
        if trouble:
            raise trouble

    store.identity = identity  # type: ignore[method-assign]
    hindrances: list[str] = []
    ready = Ready(store, lambda: hindrances, lambda: {"invokers": 2})
    assert await ready.answer() == (200, JSON, b'{"ready":true,"invokers":2}')
    trouble = Unavailable("the server is away")
    assert (await ready.answer())[0] == 200
    assert asked == 1
    ready = Ready(store, lambda: hindrances, dict)
    hindrances.append("it stops")
    status, _, body = await ready.answer()
    assert (status, msgspec.json.decode(body)["reason"]) == (
        503,
        "it stops; the store does not answer: the server is away",
    )


@pytest.mark.parametrize("network", ["none", "private"])
def test_a_network_that_needs_sandboxes_is_refused_without_them(tmp_path: Path, network: str) -> None:
    settings, _ = load({"isolation": "none", "action_network": network, "data": str(tmp_path / "data")}, {})
    with pytest.raises(Misconfigured, match=f"--action-network {network} needs sandboxes"):
        run(settings, print)


def test_only_of_what_is_there_something_is_kept_ready_unasked() -> None:
    """An image that is missing would be asked for again and again."""
    images = {f"upcall/{name}:{__version__}" for name in ("python", "nodejs")}
    asked, _ = load({"prewarm": "nodejs:20=1"}, {})
    for present, kept in ((images, 1), ({f"upcall/python:{__version__}"}, 0)):
        offer = by_docker(None, Deployment(), present)
        assert len(pool_config(load({}, {})[0], 2048, offer).prewarm) == kept
        assert len(pool_config(asked, 2048, offer).prewarm) == 1


def test_a_controller_alone_offers_what_its_invokers_driver_has() -> None:
    assert hosted_manifest("docker") == hosted_manifest("kubernetes") == docker_manifest()
    assert "python:3" in hosted_manifest("process").kinds


def test_a_run_folder_goes_with_its_lock_or_without_one(tmp_path: Path) -> None:
    for files in ((), ("lock",)):
        run = tmp_path / "run"
        run.mkdir()
        for name in files:
            (run / name).touch()
        remove(run)
        assert not run.exists()
    remove(tmp_path / "run")
    (tmp_path / "run" / "life").mkdir(parents=True)
    remove(tmp_path / "run")
    assert (tmp_path / "run" / "life").exists(), "somebody's life is in it"
