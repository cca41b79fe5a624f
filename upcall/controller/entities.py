"""Actions over REST: create and update, read, delete, list (spec: rest-api.md §6). Invoking is the edge's.

The order of the checks is upstream's, since the first that fails is what the caller sees: rights, body, sizes, limits,
kind, and only then the store.

An action is read through a package or a binding, with the parameters that it inherits; written it is in the package
itself.
"""

import msgspec
from msgspec import structs

from upcall.controller import documents
from upcall.controller.call import Call, ok, query_boolean, query_page
from upcall.controller.sequences import check_sequence
from upcall.core.actions import check_put, create, read_put, update, without_code
from upcall.core.fields import inherit
from upcall.core.packages import NONE, Chain, outer_parameters
from upcall.core.rights import Right, check_right
from upcall.errors import BadRequest, Conflict, Forbidden, NotFound
from upcall.http.body import read_json
from upcall.http.envelope import Answer
from upcall.model import texts
from upcall.model.documents import KeyValue
from upcall.model.entities import SEQUENCE, Action, ActionLimits, Package
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
    path, name = await _place(call, "PUT")
    parts = call.parts
    overwrite = query_boolean(call.request, "overwrite")
    put = read_put(await read_json(call.request), parts.manifest, call.identity.namespace.name)
    check_put(put, parts.limits, call.identity, parts.kinds)
    if put.exec is not None and put.exec.kind == SEQUENCE:
        limit = parts.limits.sequence_length
        await check_sequence(parts.resolver, call.identity, put.exec, f"{path}/{name}", limit)
    try:
        old, rev = await documents.read(call, Action, f"{path}/{name}")
    except NotFound:
        action = create(put, path, name, parts.limits, parts.manifest, now=parts.now())
        action = _locked(call, action)
        await documents.write(call, action, None)
        return ok(action)
    if not overwrite:
        raise Conflict(texts.EXISTS)
    action = update(old, put, parts.manifest, now=parts.now())
    action = _locked(call, action)
    await documents.write(call, action, rev)
    return ok(action)


async def get_action(call: Call) -> Answer:
    chain = await _chain(call)
    path, name = chain[-1].id if chain else call.namespace, call.path["name"]
    code = query_boolean(call.request, "code", default=True)
    if chain and call.parts.policy.execute_only and chain[-1].namespace != call.identity.namespace.name:
        bound, package = len(chain) > 1, f"{call.namespace}/{call.path['package']}"
        raise Forbidden(texts.bound_action(f"{package}/{name}") if bound else texts.shared_action(package))
    action, _ = await documents.read(call, Action, f"{path}/{name}")
    if chain:
        action = structs.replace(action, parameters=inherit(outer_parameters(chain), action.parameters))
    return ok(action if code else without_code(action))


async def delete_action(call: Call) -> Answer:
    path, name = await _place(call, "DELETE")
    action, rev = await documents.read(call, Action, f"{path}/{name}")
    await documents.delete(call, action, rev)
    return ok(action)


async def list_actions(call: Call) -> Answer:
    check_right(call.identity, "READ", call.namespace)
    page = query_page(call.request, COLLECTION, call.parts.limits)
    query = Query(namespace=call.namespace, skip=page.skip, limit=page.limit, whole=False)
    if page.count:
        return ok({COLLECTION: await call.parts.store.count(Action, query)})
    return ok([summary(action) for action in await call.parts.store.list(Action, query)])


async def list_package(call: Call) -> Answer:
    """The actions of one package, or of the one that a binding stands for."""
    package = (await _chain(call))[-1]
    page = query_page(call.request, COLLECTION, call.parts.limits)
    query = Query(namespace=package.namespace, package=package.name, skip=page.skip, limit=page.limit, whole=False)
    if page.count:
        return ok({COLLECTION: await call.parts.store.count(Action, query)})
    return ok([summary(action) for action in await call.parts.store.list(Action, query)])


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


def _locked(call: Call, action: Action) -> Action:
    """A sequence's parameter is its components: everybody may read it."""
    if action.exec.kind == SEQUENCE:
        return action
    return structs.replace(action, parameters=call.parts.policy.lock(action.parameters))


async def _chain(call: Call) -> Chain:
    """The packages through which the caller may read; none where the action is in none."""
    package = call.path.get("package")
    if package is not None:
        return await call.parts.resolver.chain(call.identity, f"{call.namespace}/{package}")
    check_right(call.identity, "READ", call.namespace, call.path["name"])
    return ()


async def _place(call: Call, right: Right) -> tuple[str, str]:
    """Path and name of the action that the caller may write. Raises BadRequest where the path is a binding."""
    name, package = call.path["name"], call.path.get("package")
    if package is None:
        check_right(call.identity, right, call.namespace, name)
        return call.namespace, name
    path = f"{call.namespace}/{package}"
    check_right(call.identity, right, path, name)
    holder, _ = await documents.read(call, Package, path)
    if holder.binding != NONE:
        raise BadRequest(texts.NOT_ON_BINDING)
    return path, name
