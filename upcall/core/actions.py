"""Actions: from the body of a PUT to the document (spec: rest-api.md §6.1, entities.md §2–§3).

A request goes through `read_put` (shapes), `check_put` (sizes, limits, kinds), then `create` or `update`. A null
member counts as absent, an unknown one is ignored, and so are `namespace`, `name` and `updated`. The merge rules are
upstream's and differ by member: parameters are replaced as a whole, limits merged by field, annotations merged by key.

Two annotations are the platform's: `exec` (the resolved kind, on every write) and `provide-api-key: false` (on create,
unless the client says otherwise). A document without the latter is older than the feature and means true.
"""

from collections.abc import Collection

import msgspec
from msgspec import UNSET, Raw, structs

from upcall.core.exec import check_supported, exec_size, read_exec
from upcall.core.fields import (
    check_size,
    check_sizes,
    malformed,
    read_annotations,
    read_member,
    read_parameters,
    read_publish,
    read_version,
    unique,
)
from upcall.core.limits import check_limits, effective, standard_limits
from upcall.core.rights import check_kind
from upcall.errors import BadRequest
from upcall.model import texts
from upcall.model.documents import KeyValue
from upcall.model.entities import SEQUENCE, Action, ActionLimits, Exec, Identity, Parameter
from upcall.model.names import FIRST_VERSION, Json, next_version
from upcall.model.runtimes import Manifest
from upcall.model.sizes import SystemLimits

EXEC, API_KEY, COMPONENTS = "exec", "provide-api-key", "_actions"
_LIMITS = {
    "timeout": "time limit",
    "memory": "memory limit",
    "logs": "log limit",
    "concurrency": "concurrency limit",
    "instances": "max concurrency limit",
}


class ActionPut(msgspec.Struct, frozen=True):
    """A request to create or update; None is what the request does not say."""

    exec: Exec | None = None
    parameters: list[Parameter] | None = None
    limits: dict[str, int] = msgspec.field(default_factory=dict)
    version: str | None = None
    publish: bool | None = None
    annotations: list[KeyValue] | None = None
    remove: list[str] = msgspec.field(default_factory=list)
    """Keys of annotations to remove before `annotations` are merged in."""


def read_put(body: Json, manifest: Manifest, own: str = "_") -> ActionPut:
    """`own` is the namespace that `_` stands for. Raises BadRequest in upstream's words."""
    if not isinstance(body, dict):
        raise malformed(texts.object_in_field("exec"))

    return ActionPut(
        exec=read_member(body, "exec", lambda value: read_exec(value, manifest, own)),
        parameters=read_member(body, "parameters", read_parameters),
        limits=read_member(body, "limits", _read_limits) or {},
        version=read_member(body, "version", read_version),
        publish=read_member(body, "publish", read_publish),
        annotations=read_member(body, "annotations", read_annotations),
        remove=read_member(body, "delAnnotations", _read_keys) or [],
    )


def check_put(put: ActionPut, system: SystemLimits, identity: Identity, whitelist: Collection[str] = ()) -> None:
    """Sizes, limits and kind against what holds for the namespace. Raises TooLarge, BadRequest or Forbidden."""
    limits = effective(system, identity.limits)
    if put.exec is not None:
        check_size("exec", exec_size(put.exec), limits.code)
    check_sizes(put.parameters, put.annotations, limits.parameters)
    check_limits(put.limits, limits)
    if put.exec is not None:
        check_kind(identity, put.exec.kind, whitelist)


def create(put: ActionPut, path: str, name: str, system: SystemLimits, manifest: Manifest, *, now: int) -> Action:
    """The first document of an action; `now` is epoch ms. Raises BadRequest."""
    if put.exec is None:
        raise BadRequest(texts.EXEC_UNDEFINED)
    check_supported(put.exec, manifest)
    annotations = put.annotations or []
    if all(entry.key != API_KEY for entry in annotations):
        annotations = [*annotations, KeyValue(API_KEY, False)]
    return Action(
        namespace=path,
        name=name,
        exec=put.exec,
        limits=_merge_limits(standard_limits(system), put.limits),
        version=put.version or FIRST_VERSION,
        publish=put.publish or False,
        parameters=_own_parameters(put.exec, put.parameters or []),
        annotations=_with_kind(annotations, put.exec),
        updated=now,
    )


def update(old: Action, put: ActionPut, manifest: Manifest, *, now: int) -> Action:
    """The next document of an action. Raises BadRequest where its kind is no longer supported."""
    exec_ = put.exec or old.exec
    check_supported(exec_, manifest)
    parameters = put.parameters
    if parameters is None:
        was_sequence = old.exec.kind == SEQUENCE and put.exec is not None
        parameters = [] if was_sequence else old.parameters
    removed = put.remove if SEQUENCE not in (old.exec.kind, exec_.kind) else []
    kept = [entry for entry in old.annotations if entry.key not in removed]
    return Action(
        namespace=old.namespace,
        name=old.name,
        exec=exec_,
        limits=_merge_limits(old.limits, put.limits),
        version=put.version or next_version(old.version),
        publish=old.publish if put.publish is None else put.publish,
        parameters=_own_parameters(exec_, parameters),
        annotations=_with_kind(unique([*kept, *(put.annotations or [])]), exec_),
        updated=now,
    )


def _own_parameters(exec_: Exec, given: list[Parameter]) -> list[Parameter]:
    """A sequence has one alone, which names its components."""
    if exec_.kind != SEQUENCE:
        return given
    return [Parameter(COMPONENTS, Raw(msgspec.json.encode(exec_.components)))]


def without_code(action: Action) -> Action:
    """What `GET …?code=false` shows."""
    return structs.replace(action, exec=structs.replace(action.exec, code=UNSET))


def _read_limits(value: Json) -> dict[str, int]:
    if not isinstance(value, dict):
        raise malformed(texts.object_in_field("timeout"))
    return {
        member: _read_limit(what, value[member]) for member, what in _LIMITS.items() if value.get(member) is not None
    }


def _read_limit(what: str, value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise malformed(texts.limit_malformed(what))
    if value != value // 1:
        raise malformed(texts.limit_not_whole(what))
    return int(value)


def _read_keys(value: Json) -> list[str]:
    if not isinstance(value, list):
        raise malformed(texts.expected("Array", value))
    wrong = [key for key in value if not isinstance(key, str)]
    if wrong:
        raise malformed(texts.expected("String", wrong[0]))
    return value


def _merge_limits(base: ActionLimits, given: dict[str, int]) -> ActionLimits:
    return structs.replace(base, **given)


def _with_kind(annotations: list[KeyValue], exec_: Exec) -> list[KeyValue]:
    return [*(entry for entry in annotations if entry.key != EXEC), KeyValue(EXEC, exec_.kind)]
