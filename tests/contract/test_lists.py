"""What lists take in memory, in every store."""

import pytest
from msgspec import UNSET, Raw, structs

from tests.contract.documents import action, activation
from upcall import errors
from upcall.model.activation import Activation
from upcall.model.documents import Document, KeyValue
from upcall.model.entities import Action, Binding, Package, Parameter, Rule, RuleLink, Trigger
from upcall.model.names import FullyQualifiedName
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


async def test_packages_triggers_and_rules(store: Store) -> None:
    """Each kind has a list of its own, whole or not, and what they carry comes back."""
    name, link = FullyQualifiedName("guest", "t"), FullyQualifiedName("guest/p", "a")
    parameters = [Parameter("a", Raw(b'{"b":1}'))]
    bound = Package("guest", "b", binding=Binding("whisk.system", "utils"), parameters=parameters, updated=2)
    made: list[Document] = [
        Package("guest", "p", publish=True, parameters=parameters, updated=1),
        bound,
        Trigger("guest", "t", parameters=parameters, rules={"guest/r": RuleLink(link, "active")}, updated=3),
        Rule("guest", "r", name, link, annotations=[KeyValue("k", [1])], updated=4),
    ]
    for document in made:
        await store.put(document)
    await store.put(action("a", "guest/p", at=5))
    for document in made:
        assert (await store.get(type(document), document.id)).doc == document
    for whole in (True, False):
        query = Query(namespace="guest", whole=whole)
        assert [each.name for each in await store.list(Package, query)] == ["b", "p"]
        assert [each.binding for each in await store.list(Package, query)] == [bound.binding, Binding()]
        assert [each.name for each in await store.list(Trigger, query)] == ["t"]
        assert await store.list(Rule, query) == [made[3]]
    assert [await store.count(kind, Query(namespace="guest")) for kind in (Package, Trigger, Rule)] == [2, 1, 1]


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
