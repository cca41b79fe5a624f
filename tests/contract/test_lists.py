"""What lists take in memory, in every store."""

import pytest
from msgspec import UNSET, structs

from tests.contract.documents import action, activation
from upcall import errors
from upcall.model.activation import Activation
from upcall.model.entities import Action
from upcall.ports import Query, Store
from upcall.store import coding

pytest_plugins = ["tests.system.postgres", "tests.system.pouchdb"]


async def test_lists_that_are_not_whole_are_small(store: Store) -> None:
    record, made = activation(1), action(at=1)
    await store.put(made)
    store.record(record)
    await store.flush()
    (listed,) = await store.list(Activation, Query(namespace="guest", whole=False))
    assert listed.subject in (record.subject, "")
    assert listed.response.size in (record.response.size, UNSET)
    response = structs.replace(record.response, result=UNSET, size=listed.response.size)
    assert listed == structs.replace(record, logs=[], response=response, subject=listed.subject)
    (shown,) = await store.list(Action, Query(namespace="guest", whole=False))
    assert (shown.name, shown.parameters, shown.annotations) == (made.name, [], made.annotations)


async def test_whole_records_are_listed_as_far_as_memory_is_for_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coding, "LARGEST_LIST", 3000)
    for number in (1, 2, 3):
        store.record(structs.replace(activation(number), logs=["x" * 1000]))
    await store.flush()
    assert len(await store.list(Activation, Query(namespace="guest", limit=2))) == 2
    assert len(await store.list(Activation, Query(namespace="guest", whole=False))) == 3
    with pytest.raises(errors.BadRequest, match="limit"):
        await store.list(Activation, Query(namespace="guest"))
    monkeypatch.setattr(coding, "LARGEST_LIST", 10)
    assert len(await store.list(Activation, Query(namespace="guest", limit=1))) == 1


async def test_records_of_one_moment_are_listed_once_each(store: Store) -> None:
    """More than fit on a page, wherever a page ends."""
    for number in range(1, 121):
        store.record(activation(number, at=7 if number <= 100 else number))
    await store.flush()
    for skip in (0, 3):
        found = await store.list(Activation, Query(namespace="guest", limit=0, skip=skip))
        assert len({each.activation_id for each in found}) == len(found) == 120 - skip
