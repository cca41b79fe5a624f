"""Which names and times a document from elsewhere may have."""

import pytest

from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Action, ActionLimits, Exec, Limits, NamespaceKey, Package, Subject, UserLimits
from upcall.store.coding import MOST
from upcall.transfer.names import refusal


def an_action(namespace: str = "guest", name: str = "hello", updated: int = 0) -> Action:
    return Action(namespace, name, Exec("python:3"), ActionLimits(1000, 256), updated=updated)


FINE: list[Document] = [
    an_action(),
    an_action("guest/pkg", "größe", MOST),
    Package("guest", "a b@c.d&e-f"),
    Subject("jürgen", [NamespaceKey("x", "u", "k")]),
    Limits("guest", UserLimits()),
    Activation("guest", "hello", "s", "0" * 32, 5),
]

WRONG: list[tuple[Document, str]] = [
    (an_action(".."), "its namespace's name is '..', which no URL can hold"),
    (an_action("guest/."), "its package's name is '.', which no URL can hold"),
    (an_action("guest/a/b"), "its package's name has a slash"),
    (an_action("guest/"), "its package's name is empty"),
    (an_action(name=" "), "its name is empty"),
    (an_action(name="a\x7f"), "its name has a control character"),
    (an_action(name="a" * 257), "its name has more than 256 characters"),
    (an_action(updated=-1), "its time is none"),
    (an_action(updated=MOST + 1), "its time is none"),
    (Package("guest/pkg", "x"), "its namespace's name has a slash"),
    (Subject("a/b"), "its subject's name has a slash"),
    (Subject("alice", [NamespaceKey("", "u", "k")]), "its namespace's name is empty"),
    (Limits("", UserLimits()), "its namespace's name is empty"),
    (Activation("guest", "hello", "s", "a/b", 5), "its activation's id has a slash"),
    (Activation("guest", "hello", "s", "0" * 32, -5), "its time is none"),
]


@pytest.mark.parametrize("doc", FINE)
def test_what_is_kept(doc: Document) -> None:
    assert refusal(doc, doc.id) is None


@pytest.mark.parametrize(("doc", "why"), WRONG)
def test_what_is_refused(doc: Document, why: str) -> None:
    assert refusal(doc, doc.id) == why


def test_an_id_that_is_anothers() -> None:
    assert refusal(an_action(), "guest/other\x1b") == "its members say that it is guest/hello"
