"""Packages and bindings over REST: create and update, read, delete, list (spec: rest-api.md §7).

The owner may do everything; others read what is published. A package's actions are documents of their own, so that a
package with actions is deleted only where the caller says so (`force`).
"""

import msgspec
from msgspec import UNSET, UnsetType

from upcall.controller import documents
from upcall.controller.call import Call, ok, query_boolean, query_page
from upcall.core.packages import (
    NONE,
    Chain,
    PackagePut,
    check_package,
    check_target,
    create_package,
    merged_parameters,
    read_package,
    update_package,
)
from upcall.core.rights import check_right
from upcall.errors import BadRequest, Conflict, Forbidden, NotFound
from upcall.http.body import read_json
from upcall.http.envelope import Answer
from upcall.model import texts
from upcall.model.documents import KeyValue
from upcall.model.entities import Action, Binding, Package, Parameter
from upcall.ports import Query

COLLECTION = "packages"
FEED = "feed"


class PackageAction(msgspec.Struct):
    """An action or feed where its package is shown."""

    name: str
    version: str
    annotations: list[KeyValue]


class PackageView(msgspec.Struct):
    """A package as REST shows it; `actions` and `feeds` are there where one is read."""

    namespace: str
    name: str
    version: str
    publish: bool
    annotations: list[KeyValue]
    parameters: list[Parameter]
    binding: Binding
    updated: int
    actions: list[PackageAction] | UnsetType = UNSET
    feeds: list[PackageAction] | UnsetType = UNSET


class PackageSummary(msgspec.Struct):
    """A package in a list: exactly these members (spec: entities.md §9)."""

    namespace: str
    name: str
    version: str
    publish: bool
    annotations: list[KeyValue]
    updated: int
    binding: Binding | bool


async def put_package(call: Call) -> Answer:
    check_right(call.identity, "PUT", call.namespace, call.path["name"])
    parts, name = call.parts, call.path["name"]
    overwrite = query_boolean(call.request, "overwrite")
    put = read_package(await read_json(call.request), call.identity.namespace.name)
    check_package(put, name, parts.limits, call.identity)
    target = await _target(call, put)
    try:
        old, rev = await documents.read(call, Package, f"{call.namespace}/{name}")
    except NotFound:
        if target is not None:
            check_target(target)
        package = create_package(put, call.namespace, name, now=parts.now())
        package.parameters = call.parts.policy.lock(package.parameters)
        await documents.write(call, package, None)
        return ok(_view(package))
    if not overwrite:
        raise Conflict(texts.EXISTS)
    package = update_package(old, put, now=parts.now())
    if target is not None:
        check_target(target)
    package.parameters = call.parts.policy.lock(package.parameters)
    await documents.write(call, package, rev)
    return ok(_view(package))


async def get_package(call: Call) -> Answer:
    id = f"{call.namespace}/{call.path['name']}"
    try:
        chain = await call.parts.resolver.chain(call.identity, id)
    except NotFound:
        raise NotFound(texts.package_missing(id)) from None
    if call.parts.policy.execute_only and chain[-1].namespace != call.identity.namespace.name:
        bound = len(chain) > 1
        raise Forbidden(texts.bound_package(call.path["name"]) if bound else texts.shared_package(id))
    shown = _view(chain[0], merged_parameters(chain))
    actions = await _actions(call, chain)
    shown.actions = [_in_package(each) for each in actions if not _is_feed(each)]
    shown.feeds = [_in_package(each) for each in actions if _is_feed(each)]
    return ok(shown)


async def delete_package(call: Call) -> Answer:
    name = call.path["name"]
    check_right(call.identity, "DELETE", call.namespace, name)
    force = query_boolean(call.request, "force")
    package, rev = await documents.read(call, Package, f"{call.namespace}/{name}")
    if package.binding == NONE:
        actions = await _actions(call, (package,))
        if actions and not force:
            raise Conflict(texts.package_not_empty(len(actions)))
        for action in actions:
            await _delete_action(call, action.id)
    await documents.delete(call, package, rev)
    return ok(_view(package))


async def list_packages(call: Call) -> Answer:
    """One's own, or of another namespace those that are shared."""
    page = query_page(call.request, COLLECTION, call.parts.limits)
    store = call.parts.store
    if call.namespace == call.identity.namespace.name:
        query = Query(namespace=call.namespace, skip=page.skip, limit=page.limit, whole=False)
        if page.count:
            return ok({COLLECTION: await store.count(Package, query)})
        return ok([_summary(package) for package in await store.list(Package, query)])
    shared = [
        package
        for package in await store.list(Package, Query(namespace=call.namespace, limit=0, whole=False))
        if package.publish and package.binding == NONE
    ][page.skip :]
    return ok({COLLECTION: len(shared)} if page.count else [_summary(package) for package in shared[: page.limit]])


async def _target(call: Call, put: PackagePut) -> Chain | None:
    """What the binding shall stand for."""
    if put.binding is None or put.binding == NONE:
        return None
    id = f"{put.binding.namespace}/{put.binding.name}"
    try:
        return await call.parts.resolver.chain(call.identity, id)
    except NotFound:
        raise BadRequest(texts.BINDING_TO_NOTHING) from None
    except Conflict:
        raise Conflict(texts.BINDING_TO_OTHER) from None


async def _actions(call: Call, chain: Chain) -> list[Action]:
    package = chain[-1]
    query = Query(namespace=package.namespace, package=package.name, limit=0, whole=False)
    return list(await call.parts.store.list(Action, query))


async def _delete_action(call: Call, id: str) -> None:
    """Whatever revision it is at; one that is gone is no error."""
    try:
        stored = await call.parts.store.get(Action, id)
        await call.parts.store.delete(Action, id, stored.rev)
    except NotFound:
        pass
    except Conflict:
        raise Conflict(texts.CONCURRENT_UPDATE) from None
    finally:
        call.parts.written(id)


def _view(package: Package, parameters: list[Parameter] | None = None) -> PackageView:
    return PackageView(
        package.namespace,
        package.name,
        package.version,
        package.publish,
        package.annotations,
        package.parameters if parameters is None else parameters,
        package.binding,
        package.updated,
    )


def _summary(package: Package) -> PackageSummary:
    return PackageSummary(
        package.namespace,
        package.name,
        package.version,
        package.publish,
        package.annotations,
        package.updated,
        False if package.binding == NONE else package.binding,
    )


def _in_package(action: Action) -> PackageAction:
    return PackageAction(action.name, action.version, action.annotations)


def _is_feed(action: Action) -> bool:
    return any(entry.key == FEED for entry in action.annotations)
