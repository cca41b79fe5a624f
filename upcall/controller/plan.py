"""How to run an action: what an invoke needs to know of it, worked out once per document."""

from collections.abc import Callable

import msgspec

from upcall.core.balance import Job
from upcall.core.params import Defaults, defaults_of
from upcall.model.entities import Action, Exec
from upcall.model.names import FullyQualifiedName
from upcall.ports import Stored


class Plan(msgspec.Struct, frozen=True):
    """Of one revision."""

    name: FullyQualifiedName
    revision: str
    defaults: Defaults
    job: Job
    kind: str
    timeout: float
    """seconds"""


def plan_of(stored: Stored, pulled: Callable[[Exec], bool]) -> Plan:
    action = stored.doc
    assert isinstance(action, Action)
    job = Job(
        action.namespace.partition("/")[0],
        action.id,
        action.limits.memory,
        action.limits.concurrency,
        pulled(action.exec),
        action.version,
    )
    name = FullyQualifiedName(action.namespace, action.name, action.version)
    return Plan(name, stored.rev, defaults_of(action), job, action.exec.kind, action.limits.timeout / 1000)
