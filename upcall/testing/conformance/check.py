"""A check: an id, what has to hold, where that is written, and the function that looks.

A check returns when all holds. It raises `Failed` with what was found instead, or `NotInReach` where nobody can tell
here: a fact about the Invoker, or a way to stop it, was not given.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from upcall.testing.conformance.world import World

T = TypeVar("T")
Body = Callable[["World"], None]


class Failed(Exception):
    """The Invoker does something else."""


class NotInReach(Exception):
    """It cannot be looked at, for this reason."""


class Check(NamedTuple):
    id: str
    """`area.name`"""
    spec: str
    what: str
    body: Body


CHECKS: dict[str, Check] = {}
"""By id, in the order of their areas; filled by `upcall.testing.conformance.every`."""


def check(id: str, spec: str, what: str) -> Callable[[Body], Body]:
    """Register the function under the id."""

    def registered(body: Body) -> Body:
        if id in CHECKS:
            raise ValueError(f"two checks are called {id}")
        CHECKS[id] = Check(id, spec, what, body)
        return body

    return registered


def equal(what: str, found: object, expected: object) -> None:
    """Raises Failed where the two differ; a bool is no number here, as in JSON."""
    if found != expected or isinstance(found, bool) != isinstance(expected, bool):
        raise Failed(f"{what}: {_short(found)} where {_short(expected)} is expected")


def true(what: str, met: object) -> None:
    """Raises Failed with `what`, which says what is wrong."""
    if not met:
        raise Failed(what)


def faultless(what: str, faults: list[str]) -> None:
    """Raises Failed where something was found."""
    if faults:
        raise Failed(f"{what}: {'; '.join(faults[:5])}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text)} characters)"
