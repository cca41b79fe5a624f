"""What an Invoker asks its driver for, and how much work it takes at a time."""

from collections.abc import Sequence

from upcall.core.events import Create
from upcall.core.pool import PoolConfig
from upcall.invoker.activate import Work
from upcall.invoker.canary import provable
from upcall.invoker.naming import container_name, name_prefix
from upcall.model.entities import BLACKBOX, Action
from upcall.model.images import parse_image
from upcall.model.names import InvokerId
from upcall.model.runtimes import Deployment, Manifest
from upcall.model.sizes import SystemLimits
from upcall.ports import ContainerSpec

CANARY = "whisk.system"
"""Whose container the canary has."""
DEPLOYMENT = Deployment()
"""No registries, nothing that is there already."""


class Specs:
    """Of one Invoker; containers are numbered."""

    def __init__(self, instance: InvokerId, manifest: Manifest, deployment: Deployment = DEPLOYMENT) -> None:
        self._names = name_prefix(instance)
        self._manifest = manifest
        self._deployment = deployment
        self._count = 0

    def of(self, command: Create, work: Work | None) -> ContainerSpec:
        """For an activation, or to be kept ready."""
        self._count += 1
        tenant = work.message.user.namespace.name if work else ""
        first, second = (tenant, work.recipe.name) if work else ("prewarm", command.kind)
        image, pull, sentinels = self._own(work.action) if work and command.kind == BLACKBOX else self._managed(command)
        return ContainerSpec(
            kind=command.kind,
            image=image,
            memory=command.memory,
            name=container_name(self._names, self._count, first, second),
            tenant=tenant,
            owner=work.message.action.namespace if work else "",
            concurrency=work.recipe.concurrency if work else 1,
            pull=pull,
            sentinels=sentinels,
        )

    def canary(self, memory: int, kinds: Sequence[str]) -> ContainerSpec:
        """Of the first of a driver's kinds that all can be tried of, else of the first that there is."""
        offered = [runtime for kind in kinds if (runtime := self._manifest.runtime(kind))] or self._manifest.all
        runtime = next((each for each in offered if provable(each.kind)), offered[0])
        return ContainerSpec(
            kind=runtime.kind,
            image=str(self._deployment.managed(runtime.image)),
            memory=memory,
            name=container_name(self._names, 0, "canary", runtime.kind),
            tenant=CANARY,
            sentinels=runtime.sentinelled_logs,
        )

    def _managed(self, command: Create) -> tuple[str, bool, bool]:
        """Image, whether it is fetched, whether sentinels end its logs."""
        runtime = self._manifest.runtime(command.kind)
        if runtime is None:
            return "", False, True
        return str(self._deployment.managed(runtime.image)), False, runtime.sentinelled_logs

    def _own(self, action: Action) -> tuple[str, bool, bool]:
        """The same of an action that names its image (spec: store.md §3.1)."""
        image = parse_image(str(action.exec.image or ""))
        if self._manifest.is_native(image, self._deployment.local_prefix):
            return str(self._deployment.native(image)), False, True
        return str(self._deployment.foreign(image)), True, False


def default_units(pool: PoolConfig, limits: SystemLimits, factor: float = 0.5) -> int:
    """Upstream's `maxPeek` (spec: bus.md §4): as many as could run at once; `factor` is `concurrent-peek-factor`."""
    most = pool.memory // limits.memory.min
    return max(1, most, int(most * limits.concurrency.max * factor))
