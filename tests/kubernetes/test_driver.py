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
