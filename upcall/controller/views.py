"""Activation records as REST shows them (spec: entities.md §6): status in words, `end` and `duration` only once ended.

The result stays the bytes that the runtime sent.
"""

import msgspec
from msgspec import UNSET, Raw, UnsetType

from upcall.model.activation import STATUS, SUCCESS, Activation, Response

_encode = msgspec.json.Encoder().encode


class ResponseView(msgspec.Struct):
    """Of `GET /activations/{id}/result` too."""

    status: str
    success: bool
    result: Raw | UnsetType = UNSET
    size: int | UnsetType = UNSET


class ActivationView(msgspec.Struct, rename="camel"):
    namespace: str
    name: str
    version: str
    subject: str
    activation_id: str
    start: int
    response: ResponseView
    logs: list[str]
    annotations: Raw
    publish: bool
    end: int | UnsetType = UNSET
    duration: int | UnsetType = UNSET
    cause: str | UnsetType = UNSET


def response_view(response: Response) -> ResponseView:
    status = response.status_code
    return ResponseView(STATUS[status], status == SUCCESS, response.result, _set(response.size))


def activation_view(activation: Activation, logs: bool = True) -> ActivationView:
    """The whole record; a blocking caller gets it without logs."""
    end: int | UnsetType = UNSET
    duration: int | UnsetType = UNSET
    if activation.end:
        end, duration = activation.end, _set(activation.duration)
        if duration is UNSET:
            duration = end - activation.start
    return ActivationView(
        activation.namespace,
        activation.name,
        activation.version,
        activation.subject,
        activation.activation_id,
        activation.start,
        response_view(activation.response),
        activation.logs if logs else [],
        activation.annotations,
        activation.publish,
        end,
        duration,
        activation.cause or UNSET,
    )


def activation_bytes(activation: Activation, logs: bool = True) -> bytes:
    return _encode(activation_view(activation, logs))


def result_bytes(response: Response) -> bytes:
    """The result alone; an empty object where the record has none."""
    return b"{}" if response.result is UNSET else bytes(response.result)


def _set(value: int | UnsetType | None) -> int | UnsetType:
    return UNSET if value is None else value
