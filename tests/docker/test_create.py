"""How containers come to be on a real engine: what it is told, and what fails."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.creating import SERVER, driver, left, ours, own, spec
from tests.system.engine import Engine as Dockerd
from tests.system.engine_images import context
from upcall.containers.docker import engine as module
from upcall.containers.docker.driver import DockerContainers
from upcall.containers.docker.ownership import ROUND
from upcall.containers.docker.sweeping import find
from upcall.errors import Misconfigured, StartFailed
from upcall.model import texts
from upcall.model.entities import BLACKBOX
from upcall.ports import ContainerSpec

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def made(inside: Dockerd, tmp_path: Path) -> AsyncIterator[DockerContainers]:
    async with driver(inside, tmp_path) as started:
        yield started


async def refused(made: DockerContainers, wanted: ContainerSpec) -> StartFailed:
    """And nothing is left of it."""
    with pytest.raises(StartFailed) as caught:
        await made.create(wanted)
    await settled(made)
    assert left(made) == ([], [])
    return caught.value


async def settled(made: DockerContainers) -> None:
    """What is of no use goes behind callers' backs, before anybody looks round."""
    async with asyncio.timeout(ROUND / 2):
        while await find(made.engine, made.labels.filter()):
            await asyncio.sleep(0.01)


def answers(host: str, port: int) -> None:
    """Raises OSError; its server may still be starting."""
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            return


async def test_a_container_has_upstreams_arguments_and_ours(inside: Dockerd, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "dns_servers": ("10.1.1.1",),
        "dns_search": ("example.org",),
        "dns_options": ("ndots:3",),
        "extra_env": ("__OW_ALLOW_CONCURRENT=true", "EMPTY"),
        "user_cpus": 1.0,
        "user_memory": 512,
        "api_host": "http://10.2.2.2:8888",
    }
    async with driver(inside, tmp_path, **options) as made:
        container = await made.create(spec(memory=256, name="wsk00_1_guest_hello"))
        found = inside.inspect(container.id)
        assert found["Name"] == "/wsk00_1_guest_hello"
        assert container.address.host == found["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        assert container.address.port == 8080
        host, config = found["HostConfig"], found["Config"]
        assert {key: host[key] for key in ("CpuShares", "Memory", "MemorySwap", "NanoCpus", "PidsLimit")} == {
            "CpuShares": 512,
            "Memory": 256 << 20,
            "MemorySwap": 256 << 20,
            "NanoCpus": 500_000_000,
            "PidsLimit": 1024,
        }
        assert host["NetworkMode"] == "bridge"
        assert (host["Dns"], host["DnsSearch"], host["DnsOptions"]) == (["10.1.1.1"], ["example.org"], ["ndots:3"])
        assert sorted(host["CapDrop"]) == ["NET_ADMIN", "NET_RAW"]
        assert host["Ulimits"] == [{"Name": "nofile", "Soft": 1024, "Hard": 1024}]
        assert host["LogConfig"] == {"Type": "json-file", "Config": {}}
        assert (host["AutoRemove"], host["RestartPolicy"]["Name"], host["Privileged"]) == (False, "", False)
        given = ["__OW_API_HOST=http://10.2.2.2:8888", "__OW_ALLOW_CONCURRENT=true", "EMPTY="]
        assert config["Env"][: len(given)] == given
        assert config["Labels"] == made.labels.given()
        assert config["MacAddress"].startswith("02:75:70:")


async def test_extra_arguments_reach_the_engine(inside: Dockerd, tmp_path: Path) -> None:
    extra = {
        "cap-drop": ("ALL",),
        "pids-limit": ("99",),
        "tmpfs": ("/scratch:size=1m",),
        "read-only": ("true",),
        "init": ("true",),
        "hostname": ("action",),
        "user": ("65534",),
        "shm-size": ("1m",),
        "sysctl": ("net.ipv4.ip_unprivileged_port_start=1000",),
        "add-host": ("db:10.3.3.3",),
        "log-opt": ("max-size=1m",),
        "security-opt": ("no-new-privileges",),
        "mount": ("type=tmpfs,target=/more",),
    }
    async with driver(inside, tmp_path, extra_args=extra) as made:
        container = await made.create(spec())
        found = inside.inspect(container.id)
        host, config = found["HostConfig"], found["Config"]
        assert (host["CapDrop"], host["PidsLimit"], host["Init"]) == (["ALL"], 99, True)
        assert (host["ReadonlyRootfs"], host["ShmSize"], host["Tmpfs"]) == (True, 1 << 20, {"/scratch": "size=1m"})
        assert host["Sysctls"] == {"net.ipv4.ip_unprivileged_port_start": "1000"}
        assert (host["ExtraHosts"], host["SecurityOpt"]) == (["db:10.3.3.3"], ["no-new-privileges"])
        assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m"}}
        assert "/more" in {mount["Target"] for mount in host["Mounts"]}
        assert (config["Hostname"], config["User"]) == ("action", "65534")
        await asyncio.to_thread(answers, container.address.host, container.address.port)


@pytest.mark.parametrize("mask", [False, True])
async def test_arguments_are_told_without_what_may_be_secret(
    inside: Dockerd, tmp_path: Path, caplog: pytest.LogCaptureFixture, mask: bool
) -> None:
    caplog.set_level("DEBUG", "upcall.containers.docker.creation")
    extra = {"env": ("PASSWORD=pssst",), "log-opt": ("labels=pssst",)}
    async with driver(inside, tmp_path, extra_args=extra, mask_args=mask) as made:
        container = await made.create(spec())
    told = [
        record.getMessage() for record in caplog.records if f"container {container.name}: {{" in record.getMessage()
    ]
    assert len(told) == (0 if mask else 1)
    assert all("'PASSWORD'" in text and "'labels'" in text for text in told)
    assert "pssst" not in caplog.text


async def test_the_oldest_api_that_is_spoken_is_enough(
    inside: Dockerd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NEWEST", module.OLDEST)
    async with driver(inside, tmp_path) as made:
        container = await made.create(spec())
        assert made.engine.api == module.OLDEST
        await asyncio.to_thread(answers, container.address.host, container.address.port)
        assert inside.inspect(container.id)["Config"]["MacAddress"].startswith("02:75:70:")


async def test_an_operators_entry_point_replaces_the_images(inside: Dockerd, tmp_path: Path) -> None:
    async with driver(inside, tmp_path, extra_args={"entrypoint": ("/no/such/tini",)}) as made:
        error = await refused(made, spec())
        assert str(error) == texts.executable_missing(SERVER)


async def test_a_wrong_extra_argument_is_told_at_the_start(inside: Dockerd, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="extra-args: publish: this option of docker run is not known here"):
        async with driver(inside, tmp_path, extra_args={"publish": ("80:80",)}):
            pass


async def test_twenty_come_to_be_at_once_a_few_at_a_time(inside: Dockerd, tmp_path: Path) -> None:
    began = time.time()
    async with driver(inside, tmp_path, parallel_runs=4) as made:
        containers = await asyncio.gather(*(made.create(spec()) for _ in range(20)))
        ended = time.time()
        assert len({container.address.host for container in containers}) == 20
        assert len({inside.inspect(container.id)["Config"]["MacAddress"] for container in containers}) == 20
        assert left(made)[0] == sorted(container.name for container in containers)
    events = inside.call("GET", "/events", since=f"{began:.9f}", until=f"{ended:.9f}", filters={"type": ["container"]})
    changes = {"create": 1, "start": -1}
    steps = sorted((each["timeNano"], changes[each["Action"]]) for each in events if each["Action"] in changes)
    under_way = [sum(change for _, change in steps[: number + 1]) for number in range(len(steps))]
    assert len(steps) == 40
    assert 1 < max(under_way) <= 4


@pytest.mark.parametrize("image", ["odd/missing:1", "odd/bare-missing:1"])
async def test_an_image_without_its_program_is_its_developers_fault(
    inside: Dockerd, made: DockerContainers, tmp_path: Path, image: str
) -> None:
    if image not in inside.images():
        (tmp_path / "Dockerfile").write_text('FROM odd/bare:1\nCMD ["nosuch"]\n')
        inside.build(context(tmp_path), image)
    error = await refused(made, own(image))
    assert (str(error), error.developer) == (texts.executable_missing(image), True)


async def test_a_program_that_may_not_be_run_is_a_failure_of_provision(made: DockerContainers) -> None:
    error = await refused(made, own("odd/forbidden:1"))
    assert (str(error), error.developer) == (texts.PROVISION, False)


@pytest.mark.parametrize("kind", [BLACKBOX, "python:3"])
async def test_a_container_that_ends_at_once_is_refused_or_lost(made: DockerContainers, kind: str) -> None:
    lost = asyncio.Event()
    (done,) = await asyncio.gather(made.create(spec("odd/exits:1", kind)), return_exceptions=True)
    if isinstance(done, BaseException):
        assert str(done) == (texts.INIT_DIED if kind == BLACKBOX else texts.PROVISION)
    else:
        done.lost = lost.set
        async with asyncio.timeout(30):
            await lost.wait()
        await done.destroy()
    await settled(made)
    assert left(made) == ([], [])


async def test_what_the_engine_refuses_is_a_failure_of_provision(
    made: DockerContainers, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refused(made, spec(memory=1, name="wsk0_x_small"))
    assert (str(error), error.developer) == (texts.PROVISION, False)
    assert "container wsk0_x_small cannot be created: Minimum memory limit allowed is 6MB" in caplog.text


async def test_an_image_that_is_missing_is_asked_for_once(
    inside: Dockerd, made: DockerContainers, caplog: pytest.LogCaptureFixture
) -> None:
    inside.call("POST", f"/images/{SERVER}/tag", repo="gone.invalid/server", tag="1")
    await (await made.create(spec("gone.invalid/server:1"))).destroy()
    inside.call("DELETE", "/images/gone.invalid/server:1")
    for _ in range(2):  # what it runs is remembered the first time, and not the second
        caplog.clear()
        error = await refused(made, spec("gone.invalid/server:1"))
        assert (str(error), error.developer) == (texts.PROVISION, False)
        assert caplog.text.count("gone.invalid/server:1 of python:3 actions is not here and cannot be fetched") == 1


async def test_a_start_that_fails_leaves_nothing(inside: Dockerd, tmp_path: Path) -> None:
    async with driver(inside, tmp_path, extra_args={"user": ("nobody-here",)}) as made:
        error = await refused(made, spec())
        assert (str(error), error.developer) == (texts.PROVISION, False)
        assert ours(inside) == []


async def test_a_name_that_a_stranger_has_is_left_to_it(inside: Dockerd, made: DockerContainers) -> None:
    taken = {"Image": SERVER, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}}
    stranger = inside.call("POST", "/containers/create", taken, name="wsk0_taken_guest_hello")["Id"]
    try:
        container = await made.create(spec(name="wsk0_taken_guest_hello"))
        assert container.name == "wsk0_taken_guest_hello_2"
        await made.ownership.look_round()
        assert inside.inspect(container.id)["State"]["Running"]
        await container.destroy()
        await refused(made, own("odd/missing:1", name="wsk0_taken_guest_hello"))
        assert inside.inspect(stranger)["Name"] == "/wsk0_taken_guest_hello"
    finally:
        inside.call("DELETE", f"/containers/{stranger}", force="1")


async def test_a_name_that_an_earlier_try_has_left_taken_is_used(inside: Dockerd, made: DockerContainers) -> None:
    labels = made.labels.given()
    made.ownership.names.add("wsk0_again_guest_hello")  # or it is removed as nobody's
    half = {"Image": SERVER, "Labels": labels, "HostConfig": {"NetworkMode": "none"}}
    inside.call("POST", "/containers/create", half, name="wsk0_again_guest_hello")
    container = await made.create(spec(name="wsk0_again_guest_hello"))
    assert container.name == "wsk0_again_guest_hello"
    assert [each["Id"] for each in ours(inside)] == [container.id]


async def test_a_creation_that_nobody_waits_for_leaves_nothing(inside: Dockerd, made: DockerContainers) -> None:
    creations = [asyncio.ensure_future(made.create(spec())) for _ in range(4)]
    async with asyncio.timeout(60):
        while not ours(inside):
            await asyncio.sleep(0.001)
    for creation in creations:
        creation.cancel()
    await asyncio.wait(creations)
    assert all(creation.cancelled() for creation in creations)
    async with asyncio.timeout(60):
        while ours(inside) or left(made) != ([], []):
            await asyncio.sleep(0.01)


async def test_at_the_end_all_goes_with_what_is_being_made(inside: Dockerd, tmp_path: Path) -> None:
    async with driver(inside, tmp_path) as made:
        await asyncio.gather(*(made.create(spec()) for _ in range(3)))
        late = asyncio.ensure_future(made.create(spec()))
        await asyncio.sleep(0)
    await asyncio.wait([late])
    with pytest.raises(StartFailed, match="closing"):
        await made.create(spec())


async def test_nobody_is_made_while_too_many_are_to_go(
    inside: Dockerd, made: DockerContainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, room = asyncio.Event(), asyncio.Event()

    async def waited() -> None:
        asked.set()
        await room.wait()

    monkeypatch.setattr(made.removals, "room", waited)
    creation = asyncio.ensure_future(made.create(spec()))
    asking = asyncio.ensure_future(asked.wait())
    await asyncio.wait((creation, asking), return_when=asyncio.FIRST_COMPLETED)
    assert (asking.done(), ours(inside)) == (True, [])
    room.set()
    container = await creation
    assert [each["Id"] for each in ours(inside)] == [container.id]


async def test_a_long_name_is_taken_as_it_is(made: DockerContainers) -> None:
    name = f"wsk0_1_{'n' * 256}_{'a' * 256}"
    assert (await made.create(spec(name=name))).name == name
