"""Owner and others, kinds."""

import pytest

from upcall.core.rights import Right, check_kind, check_right
from upcall.errors import Forbidden
from upcall.model.entities import RIGHTS, Identity, NamespaceId, UserLimits

DENIED = "The supplied authentication is not authorized to access {}."


def identity(kinds: list[str] | None = None, rights: list[str] = RIGHTS) -> Identity:
    limits = UserLimits(allowed_kinds=kinds)
    return Identity("alice-subject", NamespaceId("alice", "uuid"), {"api_key": "u:k"}, rights, limits)


@pytest.mark.parametrize("right", ["READ", "PUT", "DELETE", "ACTIVATE"])
@pytest.mark.parametrize(("path", "name"), [("alice", None), ("alice", "hello"), ("alice/pkg", "hello")])
def test_the_owner_may_do_everything(right: Right, path: str, name: str | None) -> None:
    check_right(identity(), right, path, name)


@pytest.mark.parametrize("right", ["READ", "PUT", "DELETE", "ACTIVATE"])
@pytest.mark.parametrize(
    ("path", "name", "resource"),
    [
        ("bob", None, "'bob'"),
        ("bob", "hello", "'bob/hello'"),
        ("bob/pkg", "hello", "'bob/pkg'"),
        ("alicex", "hello", "'alicex/hello'"),
        ("Alice", None, "'Alice'"),
    ],
)
def test_others_may_do_nothing(right: Right, path: str, name: str | None, resource: str) -> None:
    with pytest.raises(Forbidden) as refused:
        check_right(identity(), right, path, name)
    assert str(refused.value) == DENIED.format(resource)


def test_the_owner_needs_the_right_as_well() -> None:
    with pytest.raises(Forbidden):
        check_right(identity(rights=["READ"]), "PUT", "alice", "hello")


@pytest.mark.parametrize(
    ("own", "whitelist", "allowed"),
    [
        (None, (), True),
        ([], (), True),
        (["python:3.11"], (), True),
        (["nodejs:20"], (), False),
        (["nodejs:20"], ("python:3.11",), True),
        (None, ("nodejs:20",), False),
        ([], ("nodejs:20",), False),
    ],
)
def test_kinds_are_the_union_of_both_lists(own: list[str] | None, whitelist: tuple[str, ...], allowed: bool) -> None:
    if allowed:
        check_kind(identity(own), "python:3.11", whitelist)
        return
    with pytest.raises(Forbidden) as refused:
        check_kind(identity(own), "python:3.11", whitelist)
    assert str(refused.value) == DENIED.format("actions of kind 'python:3.11'")
