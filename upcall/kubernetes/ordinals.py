"""What a StatefulSet says of its pods: how many there are to be, and whether one of them goes for good, as its ordinal
is beyond those that the set has now, or the set itself is gone (D8). Needs `get` on the set, by its name.

The set is called as the host without the ordinal, and lives in the namespace of the pod's service account.
"""

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from upcall.errors import Unavailable

if TYPE_CHECKING:
    from lightkube.models.apps_v1 import StatefulSet, StatefulSetSpec

NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
PATIENCE = 5.0
"""Seconds for the API server."""


async def departing(number: int) -> str | None:
    """Why this pod does not come back, in a sentence; None where it does, or is none of a set. Raises Unavailable with
    the reason where nobody can say."""
    owner = _owner(number)
    return None if owner is None else judged(await _found(owner), owner, number)


async def replicas(number: int) -> tuple[str, int] | None:
    """The set's name, and how many pods it is to have; None in none of a set. Raises Unavailable, as `departing`."""
    owner = _owner(number)
    found = None if owner is None else await _found(owner)
    if owner is None or found is None or found.spec is None:
        return None
    return owner, _replicas(found.spec)


def _owner(number: int) -> str | None:
    """The set that a pod of this name belongs to, if to any."""
    name = socket.gethostname()
    owner = name.rpartition("-")[0]
    return owner if owner and name == f"{owner}-{number}" and own_namespace() is not None else None


async def _found(owner: str) -> "StatefulSet | None":
    try:
        async with asyncio.timeout(PATIENCE):
            return await _asked(owner, own_namespace() or "")
    except ImportError as error:
        raise Unavailable("the package lightkube is not installed") from error
    except TimeoutError as error:
        raise Unavailable(f"the API server does not answer in {PATIENCE:g} s") from error
    except Exception as error:  # a client's errors have no common root
        raise Unavailable(f"the API server does not say: {error}") from error


def judged(found: "StatefulSet | None", owner: str, number: int) -> str | None:
    """Of what the API server has told of the set; None: there is none."""
    if found is None or (found.metadata and found.metadata.deletionTimestamp):
        return f"the StatefulSet {owner} is being deleted"
    if found.spec is None:
        return None
    first = (found.spec.ordinals.start if found.spec.ordinals else None) or 0
    count = _replicas(found.spec)
    if first <= number < first + count:
        return None
    return f"the StatefulSet {owner} has {count} replicas now, from {first} on"


def _replicas(spec: "StatefulSetSpec") -> int:
    return 1 if spec.replicas is None else spec.replicas


def own_namespace() -> str | None:
    """Of this pod; None where there is none, or it may not ask anything."""
    try:
        return NAMESPACE.read_text().strip()
    except OSError:
        return None


async def _asked(owner: str, namespace: str) -> "StatefulSet | None":
    """Raises what the client raises."""
    from lightkube import ApiError, AsyncClient, KubeConfig
    from lightkube.resources.apps_v1 import StatefulSet as Resource

    client = AsyncClient(KubeConfig.from_service_account().get(), namespace=namespace, trust_env=False)
    try:
        return await client.get(Resource, owner)
    except ApiError as error:
        if error.status.code == 404:
            return None
        raise
    finally:
        await client.close()
