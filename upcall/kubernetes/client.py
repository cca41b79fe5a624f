"""The one client of Kubernetes' API (lightkube): in a pod as its service account, else as the kubeconfig says.

What the API refuses is `Refused`, in its own words; where it does not answer, or says that it cannot now (429, 5xx), it
is `Away`: who asked waits, and asks again.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx2
import yaml
from lightkube import AsyncClient, KubeConfig
from lightkube.config.kubeconfig import DEFAULT_KUBECONFIG, SingleConfig
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.models.authorization_v1 import ResourceAttributes, SelfSubjectAccessReviewSpec, SubjectAccessReviewSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.authorization_v1 import SelfSubjectAccessReview, SubjectAccessReview
from lightkube.resources.core_v1 import Event, Pod, Secret
from lightkube.types import PatchType

from upcall.errors import Misconfigured, UpcallError

WIDTH = 20
"""Requests at a time, besides the watch."""
PATIENCE = 10.0
"""Seconds for one request."""
LONGEST = 30.0
"""Seconds that the API may ask for."""
_BUSY, _MISSING, _BROKEN = 429, 404, 500


Objects = list[dict[str, Any]]


class Away(UpcallError):
    """The API does not answer, or not now; `after` is how many seconds it asks to be left alone for."""

    def __init__(self, text: str, after: float = 1.0) -> None:
        super().__init__(text)
        self.after = after


class Refused(UpcallError):
    """The API does not do it; `reply` is HTTP's status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.reply = status


class Api:
    """`namespace`: empty for the one that service account or kubeconfig name; `kubeconfig`: None for KUBECONFIG's or,
    in a pod, its service account; `context`: of a kubeconfig, empty for its current one. Raises Misconfigured."""

    def __init__(
        self, master: str = "", namespace: str = "", *, context: str = "", kubeconfig: Path | None = None
    ) -> None:
        config = _chosen(context, kubeconfig) if context or kubeconfig else _usual()
        if master:
            config = config._replace(cluster=_at(config.cluster, master))
        self.config = config
        self.server = str(config.cluster.server)
        self.namespace = namespace or config.namespace
        self._client = AsyncClient(
            config, namespace=self.namespace, timeout=httpx2.Timeout(PATIENCE), field_manager="upcall"
        )
        self._width = asyncio.Semaphore(WIDTH)

    async def close(self) -> None:
        await self._client.close()

    async def create(self, pod: Mapping[str, Any]) -> None:
        """Raises Refused, Away."""
        async with self._asked():
            await self._client.create(cast(Pod, Pod.from_dict(dict(pod))))

    async def delete(self, pod: str) -> None:
        """Begin its end, within the grace that it has; one that is not there is no error. Raises Refused, Away."""
        with contextlib.suppress(_Missing):
            async with self._asked():
                await self._client.delete(Pod, pod)

    async def label(self, pod: str, labels: Mapping[str, str]) -> None:
        """Raises Refused, Away."""
        with contextlib.suppress(_Missing):
            async with self._asked():
                patch = {"metadata": {"labels": dict(labels)}}
                await self._client.patch(Pod, pod, patch, patch_type=PatchType.MERGE)

    async def apply(self, secret: Mapping[str, Any]) -> None:
        """Raises Refused, Away."""
        async with self._asked():
            await self._client.apply(cast(Secret, Secret.from_dict(dict(secret))), force=True)

    async def secrets(self, labels: Mapping[str, str]) -> list[str]:
        """Names of those with the labels. Raises Refused, Away."""
        async with self._asked():
            found = self._client.list(Secret, labels=dict(labels))
            return [each.metadata.name async for each in found if each.metadata and each.metadata.name]

    async def delete_secret(self, name: str) -> None:
        """One that is not there is no error. Raises Refused, Away."""
        with contextlib.suppress(_Missing):
            async with self._asked():
                await self._client.delete(Secret, name)

    async def pod(self, name: str) -> Pod | None:
        """Raises Refused, Away."""
        with contextlib.suppress(_Missing):
            async with self._asked():
                return await self._client.get(Pod, name)
        return None

    async def log(self, pod: str) -> list[str]:
        """Its lines so far. Raises Refused, Away."""
        async with self._asked():
            return [line async for line in self._client.log(pod, newlines=False)]

    async def events(self, pod: str) -> list[str]:
        """What Kubernetes tells of it, in sentences. Raises Refused, Away."""
        async with self._asked():
            found = self._client.list(Event, fields={"involvedObject.name": pod, "involvedObject.kind": "Pod"})
            return [f"{each.reason}: {each.message}" async for each in found]

    async def list(self, labels: Mapping[str, str]) -> tuple[list[Pod], str]:
        """Pods with the labels, and from where on to watch. Raises Refused, Away."""
        async with self._asked():
            found = self._client.list(Pod, labels=dict(labels))
            return [each async for each in found], found.resourceVersion

    async def all(self, kind: type[Any]) -> Objects:
        """Objects of a kind: of the namespace, or of the cluster where that kind is in none. Raises Refused, Away."""
        async with self._asked():
            return [each.to_dict() async for each in self._client.list(kind)]

    async def mend(self, kind: type[Any], name: str, operations: Sequence[Mapping[str, Any]]) -> None:
        """Apply a JSON patch (RFC 6902). Raises Refused, Away."""
        async with self._asked():
            await self._client.patch(kind, name, [dict(each) for each in operations], patch_type=PatchType.JSON)

    async def watch(self, labels: Mapping[str, str], version: str) -> AsyncIterator[tuple[str, Pod]]:
        """What happens from there on, until it breaks off. Raises Refused (410: list anew), Away."""
        with _told():
            async for happening, pod in self._client.watch(
                Pod, labels=dict(labels), resource_version=version, server_timeout=300
            ):
                yield happening, pod

    async def may(self, verb: str, resource: str, part: str = "", *, user: str = "") -> bool:
        """Whether it would let us, or another user, do that to `pods`, or to their part `log`. Raises Refused, Away."""
        wish = ResourceAttributes(namespace=self.namespace, verb=verb, resource=resource, subresource=part or None)
        review: SelfSubjectAccessReview | SubjectAccessReview
        if user:
            groups = ["system:serviceaccounts", "system:authenticated"]
            spec = SubjectAccessReviewSpec(resourceAttributes=wish, user=user, groups=groups)
            review = SubjectAccessReview(metadata=ObjectMeta(), spec=spec)
        else:
            own = SelfSubjectAccessReviewSpec(resourceAttributes=wish)
            review = SelfSubjectAccessReview(metadata=ObjectMeta(), spec=own)
        async with self._asked():
            answer = await self._client.create(review)
        return bool(answer.status and answer.status.allowed)

    @contextlib.asynccontextmanager
    async def _asked(self) -> AsyncIterator[None]:
        """A place among those who ask, and our own words of what goes wrong."""
        async with self._width:
            with _told():
                yield


def _usual() -> SingleConfig:
    try:
        found = KubeConfig.from_env().get()
    except (ConfigError, OSError, KeyError) as error:
        raise Misconfigured(
            f"--driver kubernetes finds no cluster ({error}): run it in a pod with a service account, or name a "
            "kubeconfig (KUBECONFIG)."
        ) from error
    assert found is not None
    chosen: SingleConfig = found
    return chosen


def _chosen(context: str, kubeconfig: Path | None) -> SingleConfig:
    """Of a kubeconfig, even in a pod."""
    path = kubeconfig or Path(os.environ.get("KUBECONFIG", DEFAULT_KUBECONFIG)).expanduser()
    try:
        config = KubeConfig.from_file(path)
    except (ConfigError, OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        why = "there is no such file" if not path.is_file() else f"it is no kubeconfig ({type(error).__name__})"
        raise Misconfigured(f"the kubeconfig {path} cannot be read: {why}") from error
    known = ", ".join(sorted(config.contexts)) or "none"
    name = context or config.current_context
    if not name or name not in config.contexts:
        which = f"has no context {name}" if name else "names no current context: give --context NAME"
        raise Misconfigured(f"the kubeconfig {path} {which}; those that it has: {known}")
    try:
        found = config.get(name)
    except (ConfigError, KeyError) as error:
        raise Misconfigured(f"the context {name} of {path} names a cluster or a user that is not there") from error
    assert found is not None
    return found


class _Missing(Refused):
    """404."""


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        status = int(error.status.code or 0)
        text = error.status.message or str(error)
        if status == _BUSY or status >= _BROKEN:
            raise Away(f"Kubernetes' API: {text}", _after(error)) from error
        raise (_Missing if status == _MISSING else Refused)(status, text) from error
    except (httpx2.HTTPError, OSError, ConfigError) as error:
        raise Away(f"Kubernetes' API does not answer: {str(error) or type(error).__name__}") from error


def _after(error: ApiError) -> float:
    """Seconds, of the header Retry-After; dates, which Kubernetes does not send, count as none."""
    given = error.response.headers.get("Retry-After", "")
    return min(float(given), LONGEST) if given.isdecimal() and float(given) >= 1.0 else 1.0


def _at(cluster: Any, master: str) -> Any:
    return replace(cluster, server=master)
