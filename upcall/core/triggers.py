"""Triggers: from the body of a PUT to the document, their rules, and what their firing comes to
(spec: triggers-rules.md §2, §3)."""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Raw, structs

from upcall.core.fields import (
    check_sizes,
    malformed,
    read_annotations,
    read_member,
    read_parameters,
    read_publish,
    read_version,
)
from upcall.core.limits import effective
from upcall.errors import BadRequest, UpcallError
from upcall.model import texts
from upcall.model.activation import APPLICATION_ERROR, SUCCESS, WHISK_ERROR, Activation, Response
from upcall.model.documents import KeyValue
from upcall.model.entities import Identity, Parameter, RuleLink, Trigger
from upcall.model.names import FIRST_VERSION, Json, name_error, next_version
from upcall.model.sizes import SystemLimits

FEED = "feed"
HEADERS = "__ow_headers"
ACTIVE, INACTIVE = "active", "inactive"

_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, Raw]).decode


class TriggerPut(msgspec.Struct, frozen=True):
    """A request to create or update; None is what the request does not say."""

    parameters: list[Parameter] | None = None
    version: str | None = None
    publish: bool | None = None
    annotations: list[KeyValue] | None = None


def read_trigger(body: Json) -> TriggerPut:
    """Raises BadRequest in upstream's words."""
    if not isinstance(body, dict):
        raise malformed(texts.object_in_field("parameters"))
    return TriggerPut(
        parameters=read_member(body, "parameters", read_parameters),
        version=read_member(body, "version", read_version),
        publish=read_member(body, "publish", read_publish),
        annotations=read_member(body, "annotations", read_annotations),
    )


def check_trigger(put: TriggerPut, system: SystemLimits, identity: Identity) -> None:
    """Raises TooLarge."""
    check_sizes(put.parameters, put.annotations, effective(system, identity.limits).parameters)


def create_trigger(put: TriggerPut, namespace: str, name: str, *, now: int) -> Trigger:
    """The first document; `now` is epoch ms. Raises BadRequest where its feed cannot be an action's name; whether there
    is such an action nobody asks."""
    annotations = put.annotations or []
    feed = next((entry.value for entry in annotations if entry.key == FEED), "feed")
    if not _is_path(feed):
        raise BadRequest(texts.FEED_NAME)
    return Trigger(
        namespace,
        name,
        put.version or FIRST_VERSION,
        put.publish or False,
        put.parameters or [],
        annotations,
        updated=now,
    )


def update_trigger(old: Trigger, put: TriggerPut, *, now: int) -> Trigger:
    """The next document: what is given replaces the old as a whole; the rules stay."""
    return structs.replace(
        old,
        version=put.version or next_version(old.version),
        publish=old.publish if put.publish is None else put.publish,
        parameters=old.parameters if put.parameters is None else put.parameters,
        annotations=old.annotations if put.annotations is None else put.annotations,
        updated=now,
    )


def with_rule(trigger: Trigger, rule: str, link: RuleLink | None, *, now: int) -> Trigger:
    """With the state of one rule (`namespace/name`), or without the rule."""
    rules = links(trigger)
    if link is None:
        rules.pop(rule, None)
    else:
        rules[rule] = link
    return structs.replace(trigger, rules=rules or UNSET, updated=now)


def links(trigger: Trigger) -> dict[str, RuleLink]:
    """Its rules by `namespace/name`; a copy."""
    return dict(trigger.rules) if isinstance(trigger.rules, dict) else {}


def arguments(trigger: Trigger, headers: Mapping[str, str], payload: bytes) -> bytes:
    """What each rule's action is called with: the trigger's parameters, under the request's headers, under what came
    with it (a JSON object, or nothing)."""
    values = {parameter.key: parameter.value for parameter in trigger.parameters}
    values[HEADERS] = Raw(_encode(headers))
    return _encode({**values, **(_members(payload) if payload else {})})


def started(rule: str, action: str, activation: str) -> str:
    """The log line of a rule that called its action."""
    return _line(SUCCESS, rule, action, activationId=activation)


def passed_over(rule: str, action: str) -> str:
    """The log line of a rule that is inactive."""
    return _line(APPLICATION_ERROR, rule, action, error=texts.rule_inactive(rule, action))


def failed(rule: str, action: str, error: UpcallError) -> str:
    """The log line of a rule whose action could not be called."""
    status = WHISK_ERROR if error.status >= 500 else APPLICATION_ERROR
    return _line(status, rule, action, error=str(error) or texts.DEFAULTS.get(error.status, texts.DEFAULTS[500]))


def trigger_record(
    trigger: Trigger, identity: Identity, id: str, payload: bytes, lines: list[str], *, now: int
) -> Activation:
    """The record of a firing, which has no end: it is a success whatever came of the rules."""
    return Activation(
        namespace=identity.namespace.name,
        name=trigger.name,
        subject=identity.subject,
        activation_id=id,
        start=now,
        response=Response(SUCCESS, Raw(payload or b"{}")),
        logs=lines,
        version=trigger.version,
    )


def _line(status: int, rule: str, action: str, **more: str) -> str:
    entry = {"statusCode": status, "success": status == SUCCESS, "rule": rule, "action": action, **more}
    return _encode(entry).decode()


def _is_path(feed: Json) -> bool:
    if not isinstance(feed, str):
        return False
    segments = feed.removeprefix("/").split("/")
    return len(segments) <= 3 and not any(map(name_error, segments))
