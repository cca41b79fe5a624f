"""Whether a pod of a StatefulSet goes for good: its ordinal is beyond those that the set has now, or the set itself is
gone (D8). Needs `get` on the set, by its name.

The set is called as the host without the ordinal, and lives in the namespace of the pod's service account.
"""

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from upcall.errors import Unavailable

if TYPE_CHECKING:
    from lightkube.models.apps_v1 import StatefulSet

NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
PATIENCE = 5.0
"""Seconds for the API server."""


async def departing(number: int) -> str | None:
    """Why this pod does not come back, in a sentence; None where it does, or is none of a set. Raises Unavailable with
    the reason where nobody can say."""
    name = socket.gethostname()
    owner, namespace = name.rpartition("-")[0], own_namespace()
    if name != f"{owner}-{number}" or not owner or namespace is None:
        return None
    try:
        async with asyncio.timeout(PATIENCE):
            found = await _asked(owner, namespace)
    except ImportError as error:
        raise Unavailable("the package lightkube is not installed") from error
    except TimeoutError as error:
        raise Unavailable(f"the API server does not answer in {PATIENCE:g} s") from error
    except Exception as error:  # a client's errors have no common root
        raise Unavailable(f"the API server does not say: {error}") from error
    return judged(found, owner, number)


def judged(found: "StatefulSet | None", owner: str, number: int) -> str | None:
    """Of what the API server has told of the set; None: there is none."""
    if found is None or (found.metadata and found.metadata.deletionTimestamp):
        return f"the StatefulSet {owner} is being deleted"
    if found.spec is None:
        return None
    first = (found.spec.ordinals.start if found.spec.ordinals else None) or 0
    replicas = 1 if found.spec.replicas is None else found.spec.replicas
    if first <= number < first + replicas:
        return None
    return f"the StatefulSet {owner} has {replicas} replicas now, from {first} on"


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
