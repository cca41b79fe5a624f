"""How to run an action: what an invoke needs to know of it, worked out once per document."""

from collections.abc import Callable

import msgspec
from msgspec import Raw

from upcall.core.balance import Job
from upcall.core.compositions import CONDUCTOR, is_truthy
from upcall.core.packages import Chain, outer_parameters
from upcall.core.params import Defaults, defaults_of
from upcall.core.references import read_reference
from upcall.model.entities import SEQUENCE, Action, ActionLimits, Exec
from upcall.model.names import FullyQualifiedName
from upcall.ports import Stored

NOTHING = Defaults({}, Raw(b"{}"), [], {}, frozenset())
"""A sequence's own parameters, and those of its package, are nobody's arguments."""


class Plan(msgspec.Struct, frozen=True):
    """Of one revision."""

    name: FullyQualifiedName
    revision: str
    defaults: Defaults
    job: Job
    kind: str
    timeout: float
    """seconds"""
    limits: ActionLimits
    composed: bool = False
    """Whether the controller runs it (`upcall.controller.compose`)."""
    conductor: bool = False
    components: tuple[FullyQualifiedName, ...] = ()
    """Of a sequence."""


def components(exec_: Exec) -> list[FullyQualifiedName]:
    """Of a sequence that is stored, or to be."""
    given = exec_.components if isinstance(exec_.components, list) else []
    return [read_reference(name, "_") for name in given]


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
    sequence = action.exec.kind == SEQUENCE
    conductor = not sequence and is_truthy(action.annotation(CONDUCTOR))
    return Plan(
        name,
        stored.rev,
        NOTHING if sequence else defaults_of(action, outer_parameters(chain)),
        job,
        action.exec.kind,
        action.limits.timeout / 1000,
        action.limits,
        composed=sequence or conductor,
        conductor=conductor,
        components=tuple(components(action.exec)) if sequence else (),
    )
