"""The action by which Invokers are tested (spec: load-balancer.md §4)."""

import msgspec
import pytest

from upcall.controller.probe import health_action, write
from upcall.errors import Misconfigured, Unavailable
from upcall.model.documents import Document
from upcall.model.entities import Action
from upcall.model.runtimes import parse_manifest
from upcall.model.sizes import SystemLimits
from upcall.store.fake import FakeStore
from upcall.testing import MANIFEST


class Moody(FakeStore):
    """Refuses so many writes."""

    refusals = 0
    writes = 0

    async def put(self, doc: Document, rev: str | None = None) -> str:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("the disk is full")
        self.writes += 1
        return await super().put(doc, rev)


def manifest(*kinds: tuple[str, str]) -> bytes:
    """Family and kind."""
    return msgspec.json.encode(
        {"runtimes": {family: [{"kind": kind, "image": {"name": "x"}}] for family, kind in kinds}}
    )


def test_it_has_the_first_kind_that_is_known_and_the_least_memory() -> None:
    action = health_action("7", MANIFEST, SystemLimits())
    assert (action.id, action.version, action.exec.kind) == (
        "whisk.system/invokerHealthTestAction7",
        "0.0.1",
        "python:3",
    )
    assert (action.limits.memory, action.limits.timeout) == (128, 60_000)
    assert action.annotation("provide-api-key") is False
    node = health_action("0", parse_manifest(manifest(("swift", "swift:5"), ("nodejs", "nodejs:20"))), SystemLimits())
    assert (node.exec.kind, node.exec.code) == ("nodejs:20", "function main(params) { return params; }")


def test_a_manifest_without_a_known_kind_is_refused_in_words() -> None:
    with pytest.raises(Misconfigured, match="no default kind of nodejs, python, php, ruby"):
        health_action("0", parse_manifest(manifest(("swift", "swift:5"))), SystemLimits())


async def test_it_is_written_replaced_where_it_differs_and_left_where_it_does_not() -> None:
    store = Moody()
    action = health_action("0", MANIFEST, SystemLimits())
    for _ in range(2):
        await write(store, action)
        assert store.writes == 1
    other = msgspec.structs.replace(action, exec=msgspec.structs.replace(action.exec, kind="python:2"))
    await write(store, other)
    assert store.writes == 2
    stored = (await store.get(Action, action.id)).doc
    assert isinstance(stored, Action)
    assert (stored.exec.kind, stored.updated > 0) == ("python:2", True)


async def test_a_store_that_takes_it_later_is_waited_for() -> None:
    store = Moody()
    store.refusals = 3
    await write(store, health_action("0", MANIFEST, SystemLimits()), retry=0)
    assert store.writes == 1


async def test_a_store_that_does_not_take_it_in_time_ends_the_start_in_one_sentence() -> None:
    store, times = Moody(), iter([0.0, 30.0, 59.9, 60.0])
    store.refusals = 10
    with pytest.raises(Unavailable, match=r"could not be written in 60 s \(the disk is full\): the controller ends"):
        await write(store, health_action("0", MANIFEST, SystemLimits()), retry=0, clock=lambda: next(times))
    assert store.refusals == 7
