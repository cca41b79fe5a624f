"""The Kubernetes driver, out of the settings."""

import logging
import secrets
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from upcall.config import Settings
from upcall.containers.kubernetes.labels import Maker
from upcall.containers.kubernetes.options import Cpu, Object, Place, PodOptions, Storage
from upcall.errors import Misconfigured
from upcall.extras import missing
from upcall.kubernetes.ordinals import own_namespace
from upcall.kubernetes.settings import Kubernetes

if TYPE_CHECKING:
    from upcall.containers.kubernetes.driver import KubernetesContainers
    from upcall.kubernetes.client import Api

log = logging.getLogger("upcall")


async def pods(
    settings: Settings, instance: str, *, kinds: Sequence[str], api_host: str, env: tuple[str, ...], log_bound: int
) -> "KubernetesContainers":
    """`instance`: this platform, across restarts; `env`: of all pods. Raises Misconfigured."""
    try:
        from upcall.containers.kubernetes.driver import Bounds, KubernetesContainers
        from upcall.kubernetes.client import Api
    except ImportError as error:
        raise missing("--driver kubernetes", "lightkube") from error
    own = settings.kubernetes
    template = _template(own.pod_template)
    api = Api(own.master, own.namespace)
    pod, uid = await _own_pod(api)
    maker = Maker(
        invoker=settings.invoker_id,
        release=own.release,
        instance=instance,
        boot=secrets.token_hex(8),
        pod=pod,
        uid=uid,
    )
    return KubernetesContainers(
        api,
        options(settings, api.namespace, template, api_host, env),
        maker,
        kinds=kinds,
        bounds=Bounds(run=own.times_run, delete=own.times_delete),
        credentials=settings.docker.registry_credentials,
        log_bound=log_bound,
    )


def options(settings: Settings, namespace: str, template: Object, api_host: str, env: tuple[str, ...]) -> PodOptions:
    own = settings.kubernetes
    return PodOptions(
        namespace=namespace,
        cpu=_cpu(own),
        storage=Storage(limit=own.storage_limit, factor=own.storage_factor) if own.storage_limit else None,
        place=Place(key=own.node_key, value=own.node_value) if own.node_affinity else None,
        template=template,
        extra_env=env,
        field_env=tuple(own.field_env.items()),
        pull_secrets=own.pull_secrets,
        apart=settings.docker.registry_credentials is not None,
        api_host=api_host,
    )


def _cpu(own: Kubernetes) -> Cpu | None:
    if own.cpu_millicpus is None:
        return None
    return Cpu(millicpus=own.cpu_millicpus, memory=own.cpu_memory, max_millicpus=own.cpu_max_millicpus)


def _template(text: str) -> Object:
    """Raises Misconfigured."""
    from upcall.containers.kubernetes.template import read

    try:
        return read(text)
    except ValueError as error:
        raise Misconfigured(f"kubernetes.pod-template: {error}") from error


async def _own_pod(api: "Api") -> tuple[str, str]:
    """Name and uid of the pod that this process is in, where that is among the actions' own; empty elsewhere, or where
    it may not be asked for: what cannot be done without shows when the driver starts."""
    from upcall.kubernetes.client import Away, Refused

    if own_namespace() != api.namespace:
        return "", ""
    name = socket.gethostname()
    try:
        found = await api.pod(name)
    except (Away, Refused) as error:
        log.warning("the pods of actions have no owner, and would outlive a crash until the next start: %s", error)
        return "", ""
    if found is None or found.metadata is None or not found.metadata.uid:
        return "", ""
    return name, found.metadata.uid
