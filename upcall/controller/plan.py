"""How to run an action: what an invoke needs to know of it, worked out once per document."""

from collections.abc import Callable

import msgspec

from upcall.core.balance import Job
from upcall.core.packages import Chain, outer_parameters
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


def called_by(plan: Plan, namespace: str) -> Plan:
    """The same for another namespace's calls: each has Invokers of its own that come first."""
    job = msgspec.structs.replace(plan.job, namespace=namespace, hash=-1)
    return msgspec.structs.replace(plan, job=job)


def plan_of(stored: Stored, pulled: Callable[[Exec], bool], chain: Chain = ()) -> Plan:
    """`chain` are the packages through which the action was found."""
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
    binding = chain[0].id if len(chain) > 1 else None
    name = FullyQualifiedName(action.namespace, action.name, action.version, binding)
    return Plan(
        name,
        stored.rev,
        defaults_of(action, outer_parameters(chain)),
        job,
        action.exec.kind,
        action.limits.timeout / 1000,
    )
