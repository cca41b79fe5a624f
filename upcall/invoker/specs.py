"""What an Invoker asks its driver for, and how much work it takes at a time."""

from upcall.core.events import Create
from upcall.core.pool import PoolConfig
from upcall.invoker.activate import Work
from upcall.invoker.naming import container_name, name_prefix
from upcall.model.entities import BLACKBOX
from upcall.model.names import InvokerId
from upcall.model.runtimes import Manifest
from upcall.model.sizes import SystemLimits
from upcall.ports import ContainerSpec

CANARY = "whisk.system"
"""Whose container the canary has."""


class Specs:
    """Of one Invoker; containers are numbered."""

    def __init__(self, instance: InvokerId, manifest: Manifest) -> None:
        self._names = name_prefix(instance)
        self._manifest = manifest
        self._count = 0

    def of(self, command: Create, work: Work | None) -> ContainerSpec:
        """For an activation, or to be kept ready."""
        self._count += 1
        tenant = work.message.user.namespace.name if work else ""
        first, second = (tenant, work.recipe.name) if work else ("prewarm", command.kind)
        runtime = self._manifest.runtime(command.kind)
        image = work.action.exec.image if work and command.kind == BLACKBOX else runtime and runtime.image
        return ContainerSpec(
            kind=command.kind,
            image=str(image or ""),
            memory=command.memory,
            name=container_name(self._names, self._count, first, second),
            tenant=tenant,
            concurrency=work.recipe.concurrency if work else 1,
        )

    def canary(self, memory: int) -> ContainerSpec:
        """Of the first kind that there is."""
        runtime = self._manifest.all[0]
        name = container_name(self._names, 0, "canary", runtime.kind)
        return ContainerSpec(kind=runtime.kind, image=str(runtime.image), memory=memory, name=name, tenant=CANARY)


def default_units(pool: PoolConfig, limits: SystemLimits, factor: float = 0.5) -> int:
    """Upstream's `maxPeek` (spec: bus.md §4): as many as could run at once; `factor` is `concurrent-peek-factor`."""
    most = pool.memory // limits.memory.min
    return max(1, most, int(most * limits.concurrency.max * factor))
