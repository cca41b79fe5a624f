"""Credentials of registries with which the kubelet fetches images: a Secret for each namespace and registry that has
some of its own (`--registry-credentials`), made where the pods are and named by the pods of that namespace alone.

That keeps images apart only together with `imagePullPolicy: Always` (`spec`): a node that has an image asks the
registry whether these credentials may have it. The platform's own credentials are the operator's to give, as Secrets
(`pull-secrets`), so those in Docker's configuration file are not looked at.

The kubelet takes a name and a password; of an identity token it knows nothing.
"""

import asyncio
import base64
import logging
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import msgspec

from upcall.containers.docker.credentials import Auth, Credentials, Source
from upcall.containers.kubernetes.labels import Maker
from upcall.containers.kubernetes.options import Object
from upcall.model.images import parse_image
from upcall.ports import ContainerSpec

log = logging.getLogger(__name__)

_NOWHERE = Path("/nonexistent/config.json")
_KNOWN = 1024
"""Secrets that are remembered to be there."""
MARK, PULL = "upcall.secret", "pull"
"""Label of those that we make."""


class Api(Protocol):
    """Kubernetes', as far as Secrets go."""

    async def apply(self, secret: Object) -> None: ...

    async def secrets(self, labels: Mapping[str, str]) -> list[str]: ...

    async def delete_secret(self, name: str) -> None: ...


class Secrets:
    """Of one Invoker, in the actions' `namespace`."""

    def __init__(self, folder: Path | None, namespace: str, maker: Maker, api: Api) -> None:
        self._credentials = Credentials(folder, _NOWHERE)
        self._namespace = namespace
        self._maker = maker
        self._api = api
        self._there: OrderedDict[str, str] = OrderedDict()

    @property
    def apart(self) -> bool:
        """Whether namespaces have credentials of their own."""
        return self._credentials.apart

    async def start(self) -> None:
        """Remove what earlier lives have left. Raises Misconfigured, and what the API raises."""
        await self._credentials.start()
        await self.close()

    async def close(self) -> None:
        """Remove all that are ours. Raises what the API raises."""
        self._there.clear()
        if self.apart:
            names = await self._api.secrets({**self._maker.kin(), MARK: PULL})
            await asyncio.gather(*map(self._api.delete_secret, names))

    async def names(self, spec: ContainerSpec) -> tuple[str, ...]:
        """Those with which its image is fetched; they are there when this returns. Raises what `apply` raises."""
        if not (self.apart and spec.pull and spec.owner):
            return ()
        host = parse_image(spec.image).host
        source = await self._credentials.source(host, spec.owner)
        if not source.owner:
            return ()
        name = secret_name(self._maker, spec.owner, host)
        if self._there.get(name) != source.owner:
            auth = await source.auth()
            if auth is None or not _usable(auth, source, spec.owner):
                return ()
            await self._api.apply(secret(name, self._namespace, self._maker, auth))
            self._remember(name, source)
        return (name,)

    def forget(self, *names: str) -> None:
        """The kubelet could not fetch an image with them: they may be gone, or the credentials others by now."""
        for name in names:
            self._there.pop(name, None)

    def _remember(self, name: str, source: Source) -> None:
        """A helper's credentials are short of life: it is asked each time."""
        if source.helper is None:
            self._there[name] = source.owner
            while len(self._there) > _KNOWN:
                self._there.popitem(last=False)


def secret_name(maker: Maker, owner: str, host: str) -> str:
    """One for each Invoker, so that each removes its own."""
    text = "\0".join((maker.release, str(maker.invoker), owner, host))
    return f"upcall-pull-{sha256(text.encode()).hexdigest()[:24]}"


def secret(name: str, namespace: str, maker: Maker, auth: Auth) -> Object:
    """As `kubectl create secret docker-registry` makes it."""
    pair = base64.b64encode(f"{auth['username']}:{auth['password']}".encode()).decode()
    config = msgspec.json.encode({"auths": {auth["serveraddress"]: {"auth": pair}}})
    metadata: Object = {
        "name": name,
        "namespace": namespace,
        "labels": {**maker.kin(), MARK: PULL},
    }
    if maker.uid:
        metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", "name": maker.pod, "uid": maker.uid}]
    data = {".dockerconfigjson": base64.b64encode(config).decode()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "kubernetes.io/dockerconfigjson",
        "data": data,
    }


def _usable(auth: Auth, source: Source, owner: str) -> bool:
    if auth.get("username") and auth.get("password"):
        return True
    log.error(
        "credentials of namespace %s for the registry %s: Kubernetes takes a name and a password only, not these",
        owner,
        source.server,
    )
    return False
