"""Actions over REST: create and update, read, delete, list (spec: rest-api.md §6). Invoking is the edge's.

The order of the checks is upstream's, since the first that fails is what the caller sees: rights, body, sizes, limits,
kind, and only then the store. A write tells the action cache whatever came of it: an answer that got lost on its way
from the store may belong to a write that happened.

There are no packages yet, so a path with a package ends, for its owner, in 404.
"""

import msgspec

from upcall.controller.call import Call, ok, query_boolean, query_page
from upcall.core.actions import check_put, create, read_put, update, without_code
from upcall.core.rights import Right, check_right
from upcall.errors import Conflict, NotFound, Unreadable
from upcall.http.body import read_json
from upcall.http.envelope import Answer
from upcall.model import texts
from upcall.model.documents import KeyValue
from upcall.model.entities import Action, ActionLimits
from upcall.ports import Query

COLLECTION = "actions"


class ExecSummary(msgspec.Struct):
    binary: bool


class ActionSummary(msgspec.Struct):
    """An action in a list: exactly these members (spec: entities.md §9)."""

    namespace: str
    name: str
    version: str
    publish: bool
    annotations: list[KeyValue]
    limits: ActionLimits
    exec: ExecSummary
    updated: int


async def put_action(call: Call) -> Answer:
    path, name = _checked(call, "PUT")
    parts = call.parts
    overwrite = query_boolean(call.request, "overwrite")
    put = read_put(await read_json(call.request), parts.manifest)
    check_put(put, parts.limits, call.identity, parts.kinds)
    try:
        old, rev = await _read(call, path, name)
    except NotFound:
        action = create(put, path, name, parts.limits, parts.manifest, now=parts.now())
        await _write(call, action, None)
        return ok(action)
    if not overwrite:
        raise Conflict(texts.EXISTS)
    action = update(old, put, parts.manifest, now=parts.now())
    await _write(call, action, rev)
    return ok(action)


async def get_action(call: Call) -> Answer:
    path, name = _checked(call, "READ")
    code = query_boolean(call.request, "code", default=True)
    action, _ = await _read(call, path, name)
    return ok(action if code else without_code(action))


async def delete_action(call: Call) -> Answer:
    path, name = _checked(call, "DELETE")
    action, rev = await _read(call, path, name)
    try:
        await call.parts.store.delete(Action, action.id, rev)
    except (NotFound, Conflict):
        raise Conflict(texts.CONCURRENT_UPDATE) from None
    finally:
        call.parts.written(action.id)
    return ok(action)


async def list_actions(call: Call) -> Answer:
    check_right(call.identity, "READ", call.namespace)
    page = query_page(call.request, COLLECTION, call.parts.limits)
    query = Query(namespace=call.namespace, skip=page.skip, limit=page.limit, whole=False)
    if page.count:
        return ok({COLLECTION: await call.parts.store.count(Action, query)})
    return ok([summary(action) for action in await call.parts.store.list(Action, query)])


async def list_package(call: Call) -> Answer:
    check_right(call.identity, "READ", f"{call.namespace}/{call.path['package']}")
    raise NotFound


def summary(action: Action) -> ActionSummary:
    return ActionSummary(
        action.namespace,
        action.name,
        action.version,
        action.publish,
        action.annotations,
        action.limits,
        ExecSummary(action.exec.binary is True),
        action.updated,
    )


def _checked(call: Call, right: Right) -> tuple[str, str]:
    """Path and name of the action that the caller has the right to."""
    path, name, package = call.namespace, call.path["name"], call.path.get("package")
    if package is None:
        check_right(call.identity, right, path, name)
        return path, name
    check_right(call.identity, right, f"{path}/{package}", name)
    raise NotFound


async def _read(call: Call, path: str, name: str) -> tuple[Action, str]:
    try:
        stored = await call.parts.store.get(Action, f"{path}/{name}")
    except NotFound:
        raise NotFound from None
    except Unreadable:
        raise Unreadable(texts.CORRUPTED) from None
    assert isinstance(stored.doc, Action)
    return stored.doc, stored.rev


async def _write(call: Call, action: Action, rev: str | None) -> None:
    try:
        await call.parts.store.put(action, rev)
    except Conflict:
        raise Conflict(texts.CONCURRENT_UPDATE) from None
    finally:
        call.parts.written(action.id)
