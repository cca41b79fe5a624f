"""The driver's pods on a real cluster, from their creation to their end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec
import pytest

from tests.kubernetes import pods
from tests.kubernetes.cluster.fixtures import Cluster
from tests.system import engine_images
from upcall.containers.kubernetes.container import KubernetesContainer
from upcall.containers.kubernetes.driver import Bounds, KubernetesContainers
from upcall.containers.kubernetes.labels import Maker
from upcall.containers.kubernetes.options import PodOptions
from upcall.errors import StartFailed
from upcall.kubernetes.client import Api
from upcall.model import texts
from upcall.ports import ContainerSpec

Trial = Callable[[KubernetesContainers], Awaitable[None]]
Use = Callable[..., None]


@contextlib.asynccontextmanager
async def started(namespace: str, boot: str) -> AsyncIterator[KubernetesContainers]:
    maker = Maker(invoker=0, release="test", instance="i", boot=boot)
    options = PodOptions(namespace=namespace, place=None, template=pods.template(pods.ACTION))
    driver = KubernetesContainers(
        Api(namespace=namespace), options, maker, kinds=[], bounds=Bounds(), credentials=None, log_bound=1 << 20
    )
    await driver.start()
    try:
        yield driver
    finally:
        await driver.close()


@pytest.fixture
def use(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Use:
    """Runs a trial with a driver, where pods can be reached."""
    cluster.load(pods.IMAGE, engine_images.root("python"))
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))

    async def tried(trial: Trial, boot: str) -> None:
        async with asyncio.timeout(120), started(namespace, boot) as driver:
            await trial(driver)

    def using(trial: Trial, boot: str = "a") -> None:
        with cluster.inside():
            asyncio.run(tried(trial, boot))

    return using


def names(cluster: Cluster, namespace: str) -> list[str]:
    return cluster.kubectl("-n", namespace, "get", "pods", "-o", "jsonpath={.items[*].metadata.name}").split()


async def lost(container: KubernetesContainer) -> None:
    """Return when it is reported."""
    told = asyncio.Event()
    container.lost = told.set
    await told.wait()


def test_a_pod_is_reachable_when_it_is_made_and_gone_in_the_end(use: Use, cluster: Cluster, namespace: str) -> None:
    async def trial(driver: KubernetesContainers) -> None:
        container = await driver.create(pods.SPEC)
        _, writer = await asyncio.open_connection(container.address.host, container.address.port)
        writer.close()
        assert names(cluster, namespace) == [container.pod]

    use(trial)
    assert names(cluster, namespace) == []


def test_a_claimed_pod_gets_its_tenants_label(use: Use, cluster: Cluster, namespace: str) -> None:
    async def trial(driver: KubernetesContainers) -> None:
        container = await driver.create(msgspec.structs.replace(pods.SPEC, tenant=""))
        await container.claim("guest")
        with pytest.raises(StartFailed):
            await container.claim("other")
        labels: Mapping[str, str] = {}
        while labels.get("openwhisk/namespace") != "guest":
            await asyncio.sleep(0.05)
            labels = pods.shown(cluster, namespace, container.pod)["metadata"]["labels"]

    use(trial)


def test_a_pod_that_somebody_deletes_is_lost(use: Use, cluster: Cluster, namespace: str) -> None:
    async def trial(driver: KubernetesContainers) -> None:
        container = await driver.create(pods.SPEC)
        cluster.kubectl("-n", namespace, "delete", "pod", container.pod, "--wait=false")
        await lost(container)

    use(trial)


def test_an_image_that_is_nowhere_is_its_developers_fault(use: Use, cluster: Cluster, namespace: str) -> None:
    async def trial(driver: KubernetesContainers) -> None:
        image = "localhost/upcall-test/nowhere:1"
        with pytest.raises(StartFailed) as raised:
            await driver.create(msgspec.structs.replace(pods.SPEC, kind="blackbox", image=image, pull=True))
        assert (str(raised.value), raised.value.developer) == (texts.pull_failed(image), True)
        while names(cluster, namespace):
            await asyncio.sleep(0.05)

    use(trial)


def test_what_an_earlier_life_has_left_goes_at_the_start(use: Use, cluster: Cluster, namespace: str) -> None:
    pods.make(cluster, namespace, pods.ACTION)

    async def trial(_: KubernetesContainers) -> None:
        assert names(cluster, namespace) == []

    use(trial, boot="c")


def test_a_pod_that_comes_up_while_the_driver_closes_is_not_left(use: Use, cluster: Cluster, namespace: str) -> None:
    async def trial(driver: KubernetesContainers) -> None:
        making = [asyncio.create_task(driver.create(each)) for each in numbered(3)]
        while len(await asyncio.to_thread(names, cluster, namespace)) < 3:
            assert not any(each.done() and each.exception() for each in making)
        await driver.close()
        await asyncio.gather(*making, return_exceptions=True)
        assert await asyncio.to_thread(names, cluster, namespace) == []

    use(trial)


def test_pods_wait_for_room_in_the_namespace(use: Use, cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("-n", namespace, "create", "quota", "small", "--hard=pods=1")

    async def trial(driver: KubernetesContainers) -> None:
        first, second = numbered(2)
        container = await driver.create(first)
        making = asyncio.create_task(driver.create(second))
        while driver.trouble is None:
            await asyncio.sleep(0.01)
        assert "exceeded quota: small" in driver.trouble
        await container.destroy()
        await (await making).destroy()
        assert driver.trouble is None

    use(trial)


def numbered(count: int) -> list[ContainerSpec]:
    return [msgspec.structs.replace(pods.SPEC, name=f"{pods.SPEC.name}{number}") for number in range(count)]
