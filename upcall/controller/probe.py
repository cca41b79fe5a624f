"""The test action by which a controller sees whether an Invoker can work (spec: load-balancer.md §4, bus.md §8.1).

It gives back its arguments. Each controller writes its own at its start and sends it under a transaction id that is
made once: by that id, start included, the answers are known. Invokers treat it as any other activation.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable

import msgspec
from msgspec import UNSET

from upcall.errors import Conflict, Failed, Misconfigured, NotFound, Unavailable
from upcall.http.ids import ids
from upcall.model.documents import KeyValue
from upcall.model.entities import Action, ActionLimits, Exec, Identity, NamespaceId
from upcall.model.messages import SYSTEM, ActivationMessage
from upcall.model.names import FIRST_VERSION, ControllerId, FullyQualifiedName, Transid
from upcall.model.runtimes import Manifest
from upcall.model.sizes import SystemLimits
from upcall.ports import Store

log = logging.getLogger(__name__)

NAME = "invokerHealthTestAction"
IDENTITIES = {
    "nodejs": "function main(params) { return params; }",
    "python": "def main(args):\n    return args\n",
    "php": "<?php\nfunction main(array $args) : array { return $args; }\n",
    "ruby": "def main(args)\n  args\nend\n",
}
"""By family of kinds."""
PATIENCE, RETRY = 60.0, 1.0
"""seconds"""


class Probes:
    """Those of one life of a controller."""

    def __init__(self, controller: str, epoch_ms: int) -> None:
        self.transid: Transid = ["sid_invokerHealth", epoch_ms]
        key = str(uuid.uuid4())
        self._user = Identity(SYSTEM, NamespaceId(SYSTEM, key), {"api_key": f"{key}:{ids.transaction() * 2}"}, [])
        self._controller = ControllerId(controller)
        self._action = FullyQualifiedName(SYSTEM, f"{NAME}{controller}", FIRST_VERSION)

    def message(self) -> ActivationMessage:
        return ActivationMessage(
            self.transid, self._action, None, self._user, ids.activation(), self._controller, False, UNSET, [], {}
        )


def health_action(controller: str, manifest: Manifest, limits: SystemLimits) -> Action:
    """Of the first default kind of the manifest for which a program is known. Raises Misconfigured."""
    for family, runtimes in manifest.runtimes.items():
        runtime = next((runtime for runtime in runtimes if runtime.default), None)
        if runtime is not None and family in IDENTITIES and not runtime.deprecated:
            return Action(
                SYSTEM,
                f"{NAME}{controller}",
                Exec(runtime.kind, IDENTITIES[family], binary=False),
                ActionLimits(limits.timeout.std, limits.memory.min, limits.logs.std, limits.concurrency.std),
                annotations=[KeyValue("exec", runtime.kind), KeyValue("provide-api-key", False)],
            )
    raise Misconfigured(
        f"The runtimes manifest has no default kind of {', '.join(IDENTITIES)}: Invokers are tested with an action of "
        "one of these; add one to the manifest."
    )


async def write(
    store: Store,
    action: Action,
    patience: float = PATIENCE,
    retry: float = RETRY,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Create or replace it, unless it is there as it is. Raises Unavailable where the store does not take it in
    `patience` seconds."""
    end = clock() + patience
    while True:
        try:
            await _upsert(store, action)
        except (Failed, Conflict) as error:
            if clock() >= end:
                raise Unavailable(
                    f"The action {action.id}, by which Invokers are tested, could not be written in {patience:g} s "
                    f"({error}): the controller ends. It needs a store that takes writes."
                ) from error
            log.warning("the action by which Invokers are tested cannot be written yet: %s", error)
            await asyncio.sleep(retry)
        else:
            return


async def _upsert(store: Store, action: Action) -> None:
    try:
        stored = await store.get(Action, action.id)
    except NotFound:
        revision, there = None, None
    else:
        revision, there = stored.rev, stored.doc
    now = time.time_ns() // 1_000_000
    if not isinstance(there, Action) or msgspec.structs.replace(there, updated=0) != action:
        await store.put(msgspec.structs.replace(action, updated=now), revision)
