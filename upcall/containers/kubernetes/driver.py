"""The driver: pods of a Kubernetes cluster (`upcall.ports.Containers`).

Nothing here lies on the way of a warm activation, nor of one that takes a prewarmed pod: Kubernetes is asked when a pod
is made, and when it goes. A pod counts as made when its server takes a connection: the kubelet says that it is ready
later than that.

An API that is away makes no creation fail: it waits. What earlier lives of this Invoker have left is removed at the
start, prewarmed pods too: whether a tenant's code has been in one is known for sure to nobody any more. Where the
Invoker is a pod in the same namespace it owns its pods, and Kubernetes removes them after it, however it ended.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec

from upcall.containers.kubernetes.container import KubernetesContainer
from upcall.containers.kubernetes.labels import INSTANCE, Maker, tenant_labels
from upcall.containers.kubernetes.logs import Logs, PodOutput
from upcall.containers.kubernetes.names import label_value, pod_name
from upcall.containers.kubernetes.options import PodOptions
from upcall.containers.kubernetes.secrets import Secrets
from upcall.containers.kubernetes.spec import PORT, pod
from upcall.containers.kubernetes.state import State, failed, is_pull
from upcall.containers.kubernetes.streams import Streams
from upcall.containers.kubernetes.watching import Watching
from upcall.errors import Misconfigured, StartFailed
from upcall.kubernetes.client import Api, Away, Refused
from upcall.model import images, texts
from upcall.ports import ContainerSpec

log = logging.getLogger(__name__)

NEEDED = (("create", ""), ("delete", ""), ("list", ""), ("watch", ""), ("get", "log"))
"""What the API must let us do to pods, and to which part of them."""
_CONNECTING = 0.005
"""Seconds between two attempts."""
_TAKEN = 409
_QUOTA = "exceeded quota"


class Bounds(msgspec.Struct, frozen=True):
    """Seconds."""

    run: float = 60.0
    """For a pod to come up (`timeouts.run`)."""
    delete: float = 30.0
    """For all to go (`whisk.runtime.delete.timeout`)."""


class KubernetesContainers:
    """`kinds` have an image. `credentials`: a folder with those of namespaces for registries. `log_bound`: bytes."""

    def __init__(
        self,
        api: Api,
        options: PodOptions,
        maker: Maker,
        *,
        kinds: Sequence[str],
        bounds: Bounds,
        credentials: Path | None,
        log_bound: int,
    ) -> None:
        self.kinds = kinds
        self._api = api
        self._options = options
        self._maker = maker
        self._bounds = bounds
        self._kin = {**maker.kin(), INSTANCE: label_value(maker.instance)}
        self._watching = Watching(api, self._kin)
        self._streams = Streams(api.config, api.namespace)
        self._logs = Logs(self._streams, log_bound)
        self._secrets = Secrets(credentials, api.namespace, maker, api)
        self._containers: dict[str, KubernetesContainer] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._making: set[asyncio.Task[KubernetesContainer]] = set()
        self._burials: dict[asyncio.Task[None], str] = {}
        self._full = ""
        self._closing = False

    @property
    def trouble(self) -> str | None:
        """The API's, or that the namespace's quota is used up."""
        return self._watching.trouble or self._full or None

    async def start(self) -> None:
        """Raises Misconfigured."""
        try:
            await self._check_rights()
            await self._secrets.start()
            await self._sweep()
        except (Away, Refused) as error:
            await self.close()
            raise Misconfigured(
                f"--driver kubernetes cannot work with the cluster at {self._api.server}: {error}. See whether it runs,"
                " and what the service account or kubeconfig may do."
            ) from error
        except BaseException:
            await self.close()
            raise
        self._watching.start()

    async def create(self, spec: ContainerSpec) -> KubernetesContainer:
        """Raises StartFailed."""
        if self._closing:
            raise StartFailed("The driver is closing.")
        if why := images.refusal(spec.image):
            raise StartFailed(f"{texts.pull_failed(spec.image)} {why}", developer=True)
        making = asyncio.get_running_loop().create_task(self._create(spec))
        self._hold(making)
        self._making.add(making)
        making.add_done_callback(self._making.discard)
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            self.background(self._unwanted(making))
            raise

    async def close(self) -> None:
        """Remove every pod, those too that are coming up."""
        self._closing = True
        for making in self._making:
            making.cancel()
        try:
            async with asyncio.timeout(self._bounds.delete):
                await asyncio.gather(*self._making, return_exceptions=True)
                names = {*self._containers, *self._burials.values()}
                await asyncio.gather(*(each.destroy() for each in [*self._containers.values()]), *self._burials)
                await self._watching.until_gone(names)
                with contextlib.suppress(Away, Refused):
                    await self._secrets.close()
        except TimeoutError:
            log.error("not all pods could be removed: what is left goes at the next start")
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        await self._watching.close()
        await self._streams.close()
        await self._api.close()

    def facts(self) -> dict[str, str]:
        """How actions are kept apart here, in words."""
        logs = "attached" if self._logs.apart else "followed"
        return {"driver": "kubernetes", "cluster": self._api.server, "namespace": self._api.namespace, "logs": logs}

    # --- for containers

    async def remove(self, container: KubernetesContainer) -> None:
        """Over and over while the API is away."""
        await self._delete(container.pod)
        self._containers.pop(container.pod, None)
        self._watching.forget(container.pod)

    def relabel(self, pod: str, tenant: str) -> None:
        """Some time soon; nothing depends on it."""
        self.background(self._label(pod, tenant))

    def background(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(self._logged(work))
        self._hold(task)
        task.add_done_callback(lambda _: work.close())  # where it was cancelled before it began

    # --- inside

    async def _check_rights(self) -> None:
        """Raises Misconfigured, Away, Refused."""
        needed = [(verb, "pods", part) for verb, part in NEEDED]
        if self._secrets.apart:
            needed += [(verb, "secrets", "") for verb in ("create", "patch", "list", "delete")]
        asked = await asyncio.gather(*(self._api.may(*wish) for wish in needed))
        lacking = [
            f"{verb} {what}{'/' if part else ''}{part}"
            for (verb, what, part), may in zip(needed, asked, strict=True)
            if not may
        ]
        if lacking:
            raise Misconfigured(
                f"--driver kubernetes: the cluster at {self._api.server} does not let this Invoker {', '.join(lacking)}"
                f" in the namespace {self._api.namespace}: give its service account a Role with these verbs "
                "(upcall manifests --driver kubernetes has one)."
            )

    async def _sweep(self) -> None:
        """Remove what earlier lives have left. Raises Misconfigured, Away, Refused."""
        left, _ = await self._api.list(self._kin)
        names = [each.metadata.name for each in left if each.metadata and each.metadata.name]
        if not names:
            return
        log.warning("%d pods of an earlier life are removed", len(names))
        try:
            async with asyncio.timeout(self._bounds.delete):
                await asyncio.gather(*map(self._api.delete, names))
                _, version = found = await self._api.list(self._kin)
                while found[0]:
                    async for happening, _ in self._api.watch(self._kin, version):
                        if happening == "DELETED":
                            break
                    _, version = found = await self._api.list(self._kin)
        except TimeoutError as error:
            raise Misconfigured(
                f"Pods that an earlier life has left ({', '.join(names[:3])}) do not go within "
                f"{self._bounds.delete:g} s: see why (kubectl describe pod), or remove them with --force."
            ) from error

    async def _create(self, spec: ContainerSpec) -> KubernetesContainer:
        name, news = pod_name(spec.name), _News()
        self._watching.expect(name, news.told)
        try:
            await self._post(spec, news)
            async with asyncio.timeout(self._bounds.run):
                host = await news.host(spec)
                await _reach(host, news, spec)
        except BaseException as error:
            self._watching.forget(name)
            if news.failed_to_pull:
                self._secrets.forget(*news.secrets)
            self._inter(name, news)
            if isinstance(error, TimeoutError):
                raise StartFailed(texts.PROVISION) from error
            raise
        return await self._known(spec, name, host, news)

    async def _known(self, spec: ContainerSpec, name: str, host: str, news: "_News") -> KubernetesContainer:
        output: PodOutput = self._logs.of(name, spec)
        container = self._containers[name] = KubernetesContainer(self, spec, name, host, output)
        self._watching.expect(name, container.told)
        container.told(news.now)
        await output.open()
        return container

    async def _post(self, spec: ContainerSpec, news: "_News") -> None:
        """Over and over while the API is away, or has a pod by that name which goes; where the namespace has no room
        left, as long as a pod may take to come up. Raises StartFailed."""
        end = asyncio.get_running_loop().time() + self._bounds.run
        while True:
            await self._watching.back()
            if self._closing:
                raise StartFailed("The driver is closing.")
            try:
                news.secrets = await self._secrets.names(spec)
                await self._api.create(pod(spec, self._options, self._maker, secrets=news.secrets))
                self._roomy()
                return
            except Away as error:
                await asyncio.sleep(error.after)
            except Refused as error:
                if _QUOTA in str(error) and asyncio.get_running_loop().time() < end:
                    self._crowded(error)
                    await asyncio.sleep(1.0)
                    continue
                if error.reply != _TAKEN:
                    log.error("a pod for %s cannot be made: %s", spec.name, error)
                    raise StartFailed(texts.PROVISION) from error
                if await self._ours(pod_name(spec.name)):
                    return
                await asyncio.sleep(0.2)

    def _crowded(self, error: Refused) -> None:
        """The namespace's quota is used up: pods that go make room."""
        if not self._full:
            log.warning("pods wait for room in the namespace %s: %s", self._api.namespace, error)
        self._full = f"The namespace {self._api.namespace} has no room for pods ({error}): raise its ResourceQuota."

    def _roomy(self) -> None:
        if self._full:
            log.warning("the namespace %s has room for pods again", self._api.namespace)
        self._full = ""

    async def _ours(self, name: str) -> bool:
        """Whether the pod is one that we have made: the answer to an earlier attempt was lost."""
        with contextlib.suppress(Away, Refused):
            found = await self._api.pod(name)
            about = found.metadata if found else None
            return about is not None and not about.deletionTimestamp and self._maker.made(about.labels or {})
        return False

    def _inter(self, name: str, news: "_News") -> None:
        burial = asyncio.get_running_loop().create_task(self._logged(self._bury(name, news)))
        self._burials[burial] = name
        self._hold(burial)
        burial.add_done_callback(self._burials.pop)

    async def _bury(self, name: str, news: "_News") -> None:
        """A pod that did not come up: tell why, remove it."""
        if not self._closing:
            with contextlib.suppress(Away, Refused):
                told = "; ".join(await self._api.events(name))
                log.warning("pod %s did not come up: %s", name, news.why or told or "it took too long")
                log.info("events of pod %s: %s", name, told or "none")
        await self._delete(name)

    async def _delete(self, name: str) -> None:
        while True:
            try:
                await self._api.delete(name)
                return
            except Away as error:
                await asyncio.sleep(error.after)
            except Refused as error:
                log.error("pod %s cannot be removed: %s", name, error)
                return

    async def _label(self, name: str, tenant: str) -> None:
        try:
            await self._api.label(name, tenant_labels(tenant, ""))
        except (Away, Refused) as error:
            log.info("pod %s goes without its tenant's labels: %s", name, error)

    async def _unwanted(self, making: asyncio.Task[KubernetesContainer]) -> None:
        """Whoever wanted it has gone."""
        with contextlib.suppress(StartFailed):
            await (await making).destroy()

    def _hold(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _logged(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except Exception:
            log.exception("work in the background has failed")


class _News:
    """Of a pod that comes up."""

    def __init__(self) -> None:
        self.now = State()
        self.secrets: tuple[str, ...] = ()
        """With which its image is fetched."""
        self._change = asyncio.Event()

    @property
    def why(self) -> str:
        return self.now.failure or self.now.waits

    @property
    def failed_to_pull(self) -> bool:
        return is_pull(self.now)

    def told(self, now: State) -> None:
        self.now = now
        self._change.set()

    async def host(self, spec: ContainerSpec) -> str:
        """Its address, as soon as there is one. Raises StartFailed."""
        while not self.now.host:
            self.check(spec)
            self._change.clear()
            await self._change.wait()
        return self.now.host

    def check(self, spec: ContainerSpec) -> None:
        """Raises StartFailed."""
        if self.now.failure or self.now.over:
            raise failed(spec.image, self.now, spec.pull)


async def _reach(host: str, news: _News, spec: ContainerSpec) -> None:
    """Return when the server takes connections. Raises StartFailed."""
    while True:
        news.check(spec)
        try:
            _, writer = await asyncio.open_connection(host, PORT)
        except OSError:
            await asyncio.sleep(_CONNECTING)
        else:
            writer.close()
            return
