"""Packages and bindings: from the body of a PUT to the document, and what a caller may reach through them
(spec: rest-api.md §4, §7; entities.md §4).

A package is asked for by its name, which may be a binding's: the *chain* is what lies on the way from there to the
package that has the actions, which is the last one. `binding` among the annotations is the platform's: it says what a
binding stands for, and what a client sends under that key is dropped.
"""

from collections.abc import Sequence

import msgspec

from upcall.core.fields import (
    check_sizes,
    inherit,
    malformed,
    read_annotations,
    read_member,
    read_parameters,
    read_publish,
    read_version,
)
from upcall.core.limits import effective
from upcall.errors import BadRequest, Conflict, Forbidden, Malformed
from upcall.model import texts
from upcall.model.documents import KeyValue
from upcall.model.entities import Binding, Identity, Package, Parameter
from upcall.model.names import FIRST_VERSION, Json, name_error, namespace_error, next_version
from upcall.model.sizes import SystemLimits

BINDING = "binding"
NONE = Binding()
RESERVED = "default"
"""What web actions without a package are called by."""

Chain = Sequence[Package]
"""The package that was asked for first, the one with the actions last."""


class PackagePut(msgspec.Struct, frozen=True):
    """A request to create or update; None is what the request does not say."""

    binding: Binding | None = None
    parameters: list[Parameter] | None = None
    version: str | None = None
    publish: bool | None = None
    annotations: list[KeyValue] | None = None


def read_package(body: Json, own: str) -> PackagePut:
    """`own` is what `_` stands for. Raises BadRequest in upstream's words."""
    if not isinstance(body, dict):
        raise malformed(texts.object_in_field(BINDING))
    return PackagePut(
        binding=read_member(body, BINDING, lambda value: _read_binding(value, own)),
        parameters=read_member(body, "parameters", read_parameters),
        version=read_member(body, "version", read_version),
        publish=read_member(body, "publish", read_publish),
        annotations=read_member(body, "annotations", read_annotations),
    )


def check_package(put: PackagePut, name: str, system: SystemLimits, identity: Identity) -> None:
    """Raises BadRequest where the name is reserved, TooLarge."""
    if name == RESERVED:
        raise Malformed(texts.package_reserved(name))
    check_sizes(put.parameters, put.annotations, effective(system, identity.limits).parameters)


def create_package(put: PackagePut, namespace: str, name: str, *, now: int) -> Package:
    """The first document; `now` is epoch ms."""
    binding = put.binding or NONE
    return Package(
        namespace,
        name,
        put.version or FIRST_VERSION,
        put.publish or False,
        binding,
        put.parameters or [],
        _annotations(put.annotations or [], binding),
        now,
    )


def update_package(old: Package, put: PackagePut, *, now: int) -> Package:
    """The next document: parameters and annotations are replaced as a whole. Raises Conflict where a package with
    actions of its own would become a binding."""
    if put.binding not in (None, NONE) and old.binding == NONE:
        raise Conflict(texts.PACKAGE_NO_BINDING)
    binding = old.binding if put.binding in (None, NONE) else put.binding
    return Package(
        old.namespace,
        old.name,
        put.version or next_version(old.version),
        old.publish if put.publish is None else put.publish,
        binding or NONE,
        old.parameters if put.parameters is None else put.parameters,
        _annotations(old.annotations if put.annotations is None else put.annotations, binding or NONE),
        now,
    )


def check_reach(identity: Identity, chain: Chain) -> None:
    """May the caller read what is in the package? A binding is for its owner alone, what it stands for has to be the
    owner's too or published. Raises Forbidden."""
    own = identity.namespace.name
    for package in chain:
        if package.namespace != own and (package.binding != NONE or not package.publish):
            raise forbidden(chain[0].id)


def forbidden(resource: str) -> Forbidden:
    """What is told of a package of others, whether or not there is one."""
    return Forbidden(texts.not_authorized(f"'{resource}'"))


def check_target(chain: Chain) -> None:
    """May a binding stand for the first of them? Raises BadRequest."""
    if chain[0].binding != NONE:
        raise BadRequest(texts.BINDING_TO_BINDING)


def outer_parameters(chain: Chain) -> list[Sequence[Parameter]]:
    """What an action in the package inherits, the outermost first: of the package, then of bindings to it."""
    return [package.parameters for package in reversed(chain)]


def merged_parameters(chain: Chain) -> list[Parameter]:
    """What a package shows as its parameters."""
    return inherit(outer_parameters(chain[1:]), chain[0].parameters)


def _read_binding(value: Json, own: str) -> Binding:
    if not isinstance(value, dict):
        raise malformed(texts.object_in_field("namespace"))
    if not value:
        return NONE
    for member in ("namespace", "name"):
        if member not in value:
            raise malformed(texts.member_missing(member))
        if not isinstance(value[member], str):
            raise malformed(texts.expected("String", value[member]))
    namespace, name = value["namespace"], value["name"]
    namespace = own if namespace == "_" else namespace
    wrong = namespace_error(namespace) or name_error(name)
    if wrong:
        raise malformed(wrong)
    return Binding(namespace, name)


def _annotations(annotations: Sequence[KeyValue], binding: Binding) -> list[KeyValue]:
    kept = [entry for entry in annotations if entry.key != BINDING]
    if binding == NONE:
        return kept
    return [*kept, KeyValue(BINDING, {"name": binding.name, "namespace": binding.namespace})]
