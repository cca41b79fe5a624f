"""What an activation that never ran comes to (spec: container.md §4.2, §7.1)."""

from upcall.core.events import Job, Reason
from upcall.errors import StartFailed
from upcall.model import texts
from upcall.model.activation import DEVELOPER_ERROR, WHISK_ERROR, Response, error


def abort_response(reason: Reason, cause: object, job: Job) -> Response:
    """Of a job that the pool gives up."""
    if isinstance(cause, Response):
        return cause
    if isinstance(cause, StartFailed):
        return start_response(cause)
    if reason == "too-big":
        return error(WHISK_ERROR, texts.memory_unavailable(job.memory))
    if reason == "drain":
        return error(WHISK_ERROR, texts.SHUTDOWN)
    return error(WHISK_ERROR, texts.RUN_DIED if reason == "init" else texts.PROVISION)


def start_response(failure: StartFailed) -> Response:
    """What a container that did not come up means for its activation."""
    return error(DEVELOPER_ERROR if failure.developer else WHISK_ERROR, str(failure) or texts.PROVISION)


def is_excused(cause: object) -> bool:
    """Whether it is a tenant's doing, whatever its status says, and no controller may hold it against this Invoker."""
    return isinstance(cause, StartFailed) and cause.excused
