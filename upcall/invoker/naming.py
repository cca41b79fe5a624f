"""Names of containers (spec: container.md §4.5): `wsk<unique name><id>_<n>_<A>_<B>`."""

import re

from upcall.model.names import InvokerId

_NOT_PREFIX = re.compile(r"[^a-zA-Z0-9_.-]")
_NOT_PART = re.compile(r"[^a-zA-Z0-9_]")


def name_prefix(instance: InvokerId) -> str:
    """What all containers of one Invoker begin with."""
    unique = instance.unique_name if isinstance(instance.unique_name, str) else ""
    return _NOT_PREFIX.sub("", f"wsk{unique}{instance.instance}")


def container_name(prefix: str, number: int, first: str, second: str) -> str:
    """`first` and `second` are namespace and action, or `prewarm` and the kind."""
    return f"{prefix}_{number}_{_NOT_PART.sub('', first)}_{_NOT_PART.sub('', second)}"
