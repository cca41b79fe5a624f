"""What a pod's status says of the container that runs the action. Pure.

An image that cannot be fetched, and a program that is not there, do not become better: the pod has failed, though
Kubernetes would go on trying. A pod that has no node yet waits: one may be added.
"""

import msgspec
from lightkube.models.core_v1 import ContainerStatus
from lightkube.resources.core_v1 import Pod

from upcall.containers.kubernetes.spec import CONTAINER
from upcall.errors import StartFailed
from upcall.model import texts

_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_STILL = frozenset({"ContainerCreating", "PodInitializing", ""})
_MISSING = ("executable file not found", "no such file or directory")


class State(msgspec.Struct, frozen=True):
    """At one moment."""

    host: str = ""
    """Its address, where its container runs."""
    over: bool = False
    """It runs no more, and never will."""
    exhausted: bool = False
    """It was killed for want of memory."""
    failure: str = ""
    """Why it does not come up, in Kubernetes' words: its reason, and its message."""
    waits: str = ""
    """For what, where it has no node."""


def state(pod: Pod) -> State:
    status = pod.status
    if status is None:
        return State()
    container = next((each for each in status.containerStatuses or () if each.name == CONTAINER), None)
    ended = status.phase in ("Failed", "Succeeded")
    if container is None or container.state is None:
        return State(over=ended, failure=_why(status.reason, status.message) if ended else "", waits=_waits(pod))
    now = container.state
    if now.terminated is not None:
        end = now.terminated
        return State(
            over=True,
            exhausted=end.reason == "OOMKilled",
            failure=_why(end.reason, end.message or f"exit code {end.exitCode}"),
        )
    if now.waiting is not None:
        return State(over=ended, failure=_unwell(container))
    leaving = pod.metadata is not None and pod.metadata.deletionTimestamp is not None
    return State(host=status.podIP or "" if now.running else "", over=ended or leaving)


def is_pull(told: State) -> bool:
    """Whether its image could not be fetched."""
    return told.failure.partition(":")[0] in _IMAGE


def failed(image: str, told: State, users: bool) -> StartFailed:
    """What the caller hears; `users`: the image is a user's own."""
    if is_pull(told):
        return StartFailed(texts.pull_failed(image) if users else texts.PROVISION, developer=users)
    if any(sign in told.failure for sign in _MISSING):
        return StartFailed(texts.executable_missing(image), developer=True)
    if told.exhausted:
        return StartFailed(texts.MEMORY_EXHAUSTED, developer=True)
    return StartFailed(texts.PROVISION, excused=users)


def _unwell(container: ContainerStatus) -> str:
    assert container.state is not None
    assert container.state.waiting is not None
    waiting = container.state.waiting
    return "" if (waiting.reason or "") in _STILL else _why(waiting.reason, waiting.message)


def _why(reason: str | None, message: str | None) -> str:
    return f"{reason or 'it ended'}: {message or 'no message'}"


def _waits(pod: Pod) -> str:
    conditions = pod.status.conditions if pod.status else None
    return next((each.message or "" for each in conditions or () if each.reason == "Unschedulable"), "")
