"""Who may do what (spec: rest-api.md §4).

The owner of a resource is whoever's namespace is the root of its path; the owner may do everything that the collection
supports. Others reach only what is in a published package (`upcall.core.packages`); everything else is refused here,
with a text that says nothing about whether the resource exists.
"""

from collections.abc import Collection
from typing import Literal

from upcall.errors import Forbidden
from upcall.model import texts
from upcall.model.entities import Identity

Right = Literal["READ", "PUT", "DELETE", "ACTIVATE"]


def check_right(identity: Identity, right: Right, path: str, name: str | None = None) -> None:
    """May `identity` do it to `name` in `path` (`namespace[/package]`), or to a collection where there is no name?
    Raises Forbidden, which names the resource that was in the way: the package, where there is one."""
    namespace, _, package = path.partition("/")
    if namespace == identity.namespace.name and right in identity.rights:
        return
    resource = path if package or name is None else f"{path}/{name}"
    raise Forbidden(texts.not_authorized(f"'{resource}'"))


def check_kind(identity: Identity, kind: str, whitelist: Collection[str] = ()) -> None:
    """Raises Forbidden unless the deployment's whitelist or the namespace's own has the kind, or both are empty."""
    own = identity.limits.allowed_kinds
    allowed = {*whitelist, *(own if isinstance(own, list) else ())}
    if allowed and kind not in allowed:
        raise Forbidden(texts.not_authorized(f"actions of kind '{kind}'"))
