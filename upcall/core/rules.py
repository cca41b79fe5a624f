"""Rules: from the body of a PUT to the document (spec: triggers-rules.md §4).

Whether a rule is active is written in its trigger's document (`upcall.core.triggers`).
"""

import msgspec

from upcall.core.fields import check_sizes, malformed, read_annotations, read_member, read_publish, read_version
from upcall.core.limits import effective
from upcall.core.references import read_reference
from upcall.core.triggers import ACTIVE, INACTIVE
from upcall.errors import BadRequest
from upcall.model import texts
from upcall.model.documents import KeyValue
from upcall.model.entities import Identity, Rule
from upcall.model.names import FIRST_VERSION, FullyQualifiedName, Json, next_version
from upcall.model.sizes import SystemLimits


class RulePut(msgspec.Struct, frozen=True):
    """A request to create or update; None is what the request does not say."""

    trigger: FullyQualifiedName | None = None
    action: FullyQualifiedName | None = None
    version: str | None = None
    publish: bool | None = None
    annotations: list[KeyValue] | None = None


def read_rule(body: Json, namespace: str) -> RulePut:
    """`namespace` is the rule's, which `_` stands for. Raises BadRequest in upstream's words."""
    if not isinstance(body, dict):
        raise malformed(texts.object_in_field("trigger"))
    return RulePut(
        trigger=read_member(body, "trigger", lambda value: read_reference(value, namespace)),
        action=read_member(body, "action", lambda value: read_reference(value, namespace)),
        version=read_member(body, "version", read_version),
        publish=read_member(body, "publish", read_publish),
        annotations=read_member(body, "annotations", read_annotations),
    )


def read_state(body: Json) -> str:
    """`{"status": "active"}` or `inactive`. Raises BadRequest."""
    state = body.get("status") if isinstance(body, dict) else None
    if state not in (ACTIVE, INACTIVE):
        raise malformed(texts.rule_state(state))
    assert isinstance(state, str)
    return state


def check_rule(put: RulePut, system: SystemLimits, identity: Identity) -> None:
    """Raises TooLarge."""
    check_sizes(None, put.annotations, effective(system, identity.limits).parameters)


def create_rule(put: RulePut, namespace: str, name: str, *, now: int) -> Rule:
    """The first document; `now` is epoch ms. Raises BadRequest where trigger or action are not given."""
    if put.trigger is None or put.action is None:
        raise BadRequest(texts.RULE_INCOMPLETE)
    return Rule(
        namespace,
        name,
        put.trigger,
        put.action,
        put.version or FIRST_VERSION,
        put.publish or False,
        put.annotations or [],
        now,
    )


def update_rule(old: Rule, put: RulePut, *, now: int) -> Rule:
    """The next document: what is given replaces the old as a whole."""
    return Rule(
        old.namespace,
        old.name,
        put.trigger or old.trigger,
        put.action or old.action,
        put.version or next_version(old.version),
        old.publish if put.publish is None else put.publish,
        old.annotations if put.annotations is None else put.annotations,
        now,
    )
