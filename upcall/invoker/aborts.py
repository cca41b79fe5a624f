"""What an activation comes to that never ran, or that a stop cuts short (spec: container.md §4.2, §7.1)."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from upcall.core.events import Job, Reason
from upcall.errors import StartFailed
from upcall.model import texts
from upcall.model.activation import DEVELOPER_ERROR, WHISK_ERROR, Response, error
from upcall.telemetry import about

if TYPE_CHECKING:
    from upcall.invoker.activate import Work

log = logging.getLogger(__name__)


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


def cut_short(works: Sequence["Work"]) -> None:
    """The platform stops: what runs is answered now."""
    if works:
        log.warning("%d activations do not end in time and are answered with an error", len(works))
    for work in works:
        log.warning("answered with an error, as the platform stops", extra=about(work.message))
        work.abandon(error(WHISK_ERROR, texts.SHUTDOWN))
