"""What every store does (spec: `upcall.ports.Store`; system-tests.md §7: artifacts, activations, subjects)."""

import asyncio

import msgspec
import pytest
from msgspec import UNSET, Raw

from tests.contract.documents import Note, action, activation, subject
from upcall import errors
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Action, Exec, Limits, Subject, UserLimits
from upcall.ports import Query, Store

ABSENT = "9-00"


pytest_plugins = ["tests.system.postgres", "tests.system.pouchdb"]


class TestDocuments:
    async def test_what_goes_in_comes_out(self, store: Store) -> None:
        doc = action(code="print('ä\x00💡')")
        rev = await store.put(doc)
        assert rev.startswith("1-")
        stored = await store.get(Action, "guest/hello")
        assert (stored.doc, stored.rev) == (doc, rev)
        assert await store.get(Action, "guest/hello", rev) == stored

    async def test_a_stored_document_is_nobodys_object(self, store: Store) -> None:
        doc = action()
        await store.put(doc)
        doc.version = "9.9.9"
        (await store.get(Action, doc.id)).doc.name = "other"  # type: ignore[attr-defined]
        assert (await store.get(Action, doc.id)).doc == action()

    async def test_an_update_counts_the_revision_up(self, store: Store) -> None:
        first = await store.put(action())
        second = await store.put(action(code="second"), first)
        assert second.startswith("2-")
        assert (await store.get(Action, "guest/hello", second)).doc == action(code="second")

    async def test_an_update_may_take_the_code_away(self, store: Store) -> None:
        rev = await store.put(action())
        sequence = action()
        sequence.exec = Exec("sequence", components=["/guest/a"])
        await store.put(sequence, rev)
        found = (await store.get(Action, "guest/hello")).doc
        assert found == sequence

    async def test_empty_code_is_code(self, store: Store) -> None:
        await store.put(action(code=""))
        assert (await store.get(Action, "guest/hello")).doc == action(code="")

    async def test_large_code(self, store: Store) -> None:
        doc = action(code="x" * 3_000_000)
        await store.put(doc)
        assert (await store.get(Action, doc.id)).doc == doc

    async def test_creating_twice_conflicts(self, store: Store) -> None:
        await store.put(action())
        with pytest.raises(errors.Conflict, match=texts.CONCURRENT_UPDATE):
            await store.put(action(code="other"))
        assert (await store.get(Action, "guest/hello")).doc == action()

    async def test_a_stale_revision_conflicts(self, store: Store) -> None:
        first = await store.put(action())
        await store.put(action(code="second"), first)
        with pytest.raises(errors.Conflict, match=texts.CONCURRENT_UPDATE):
            await store.put(action(code="third"), first)
        with pytest.raises(errors.Conflict, match=texts.CONCURRENT_UPDATE):
            await store.delete(Action, "guest/hello", first)
        assert (await store.get(Action, "guest/hello")).doc == action(code="second")

    async def test_updating_what_is_not_there_conflicts(self, store: Store) -> None:
        with pytest.raises(errors.Conflict):
            await store.put(action(), ABSENT)

    async def test_what_is_not_there_is_not_found(self, store: Store) -> None:
        for kind in (Action, Subject, Activation):
            with pytest.raises(errors.NotFound):
                await store.get(kind, "guest/nothing")
            with pytest.raises(errors.NotFound):
                await store.delete(kind, "guest/nothing", ABSENT)

    async def test_deleted_is_not_found_and_can_be_made_again(self, store: Store) -> None:
        first = await store.put(action())
        await store.delete(Action, "guest/hello", first)
        with pytest.raises(errors.NotFound):
            await store.get(Action, "guest/hello")
        with pytest.raises(errors.NotFound):
            await store.delete(Action, "guest/hello", first)
        again = await store.put(action(code="again"))
        assert again != first
        assert (await store.get(Action, "guest/hello")).doc == action(code="again")

    async def test_deleting_without_a_revision_is_refused(self, store: Store) -> None:
        await store.put(action())
        with pytest.raises(errors.Conflict):
            await store.delete(Action, "guest/hello", "")

    async def test_another_revision_than_the_current_is_unreadable(self, store: Store) -> None:
        first = await store.put(action())
        await store.put(action(code="second"), first)
        with pytest.raises(errors.Unreadable):
            await store.get(Action, "guest/hello", first)

    async def test_entities_share_one_id_space(self, store: Store) -> None:
        rev = await store.put(action())
        with pytest.raises(errors.Conflict, match=texts.CONFORMANCE):
            await store.get(Note, "guest/hello")
        with pytest.raises(errors.Conflict):
            await store.put(Note("guest", "hello"))
        with pytest.raises(errors.Conflict, match=texts.CONFORMANCE):
            await store.put(Note("guest", "hello"), rev)
        with pytest.raises(errors.Conflict, match=texts.CONFORMANCE):
            await store.delete(Note, "guest/hello", rev)

    async def test_subjects_have_a_space_of_their_own(self, store: Store) -> None:
        await store.put(action(name="limits"))
        await store.put(Limits("guest", UserLimits(invocations_per_minute=7)))
        assert (await store.get(Limits, "guest/limits")).doc == Limits("guest", UserLimits(invocations_per_minute=7))
        assert (await store.get(Action, "guest/limits")).doc == action(name="limits")

    async def test_a_document_of_another_shape_is_unreadable(self, store: Store) -> None:
        class Note2(Note):
            text: int = 0  # type: ignore[assignment]

        await store.put(Note("guest", "n", text="words"))
        with pytest.raises(errors.Unreadable, match=texts.CORRUPTED):
            await store.get(Note2, "guest/n")

    async def test_other_kinds_are_kept_as_well(self, store: Store) -> None:
        await store.put(Note("guest/pkg", "n", "text", 4))
        assert (await store.get(Note, "guest/pkg/n")).doc == Note("guest/pkg", "n", "text", 4)


class TestLists:
    @pytest.fixture(autouse=True)
    async def some(self, store: Store) -> None:
        for at, name in enumerate(["a", "b", "c"], 1):
            await store.put(action(name, at=at * 10))
        await store.put(action("d", "guest/pkg", at=25))
        await store.put(action("e", "other", at=15))
        await store.put(Note("guest", "n", updated=12))

    async def names(self, store: Store, query: Query, kind: type[Action] = Action) -> list[str]:
        return [doc.name for doc in await store.list(kind, query)]

    async def test_newest_first_packaged_ones_too(self, store: Store) -> None:
        assert await self.names(store, Query(namespace="guest")) == ["c", "d", "b", "a"]

    async def test_an_update_moves_to_the_front(self, store: Store) -> None:
        rev = (await store.get(Action, "guest/a")).rev
        await store.put(action("a", at=99), rev)
        assert await self.names(store, Query(namespace="guest")) == ["a", "c", "d", "b"]

    async def test_by_package(self, store: Store) -> None:
        assert await self.names(store, Query(namespace="guest", package="pkg")) == ["d"]
        assert await store.count(Action, Query(namespace="guest", package="pkg")) == 1
        assert await self.names(store, Query(namespace="guest", package="none")) == []

    async def test_since_and_upto_are_inclusive(self, store: Store) -> None:
        assert await self.names(store, Query(namespace="guest", since=20, upto=25)) == ["d", "b"]

    async def test_skip_and_limit(self, store: Store) -> None:
        assert await self.names(store, Query(namespace="guest", skip=1, limit=2)) == ["d", "b"]
        assert await self.names(store, Query(namespace="guest", skip=9)) == []
        assert await self.names(store, Query(namespace="guest", limit=0)) == ["c", "d", "b", "a"]
        assert await self.names(store, Query(namespace="guest", skip=10**30, limit=10**30, since=10**30)) == []

    async def test_lists_show_no_code(self, store: Store) -> None:
        (doc,) = await store.list(Action, Query(namespace="other"))
        expected = action("e", "other", at=15)
        expected.exec.code = UNSET
        assert doc == expected

    async def test_count_less_skip_whatever_the_limit(self, store: Store) -> None:
        assert await store.count(Action, Query(namespace="guest", limit=1)) == 4
        assert await store.count(Action, Query(namespace="guest", skip=3)) == 1
        assert await store.count(Action, Query(namespace="guest", skip=5)) == 0
        assert await store.count(Note, Query(namespace="guest")) == 1
        assert await store.count(Action, Query(namespace="nobody")) == 0

    @pytest.mark.parametrize("field", ["skip", "limit", "since", "upto"])
    @pytest.mark.parametrize("kind", [Action, Activation])
    async def test_negative_arguments_are_refused(self, store: Store, field: str, kind: type[Document]) -> None:
        query = msgspec.structs.replace(Query(namespace="guest"), **{field: -1})
        with pytest.raises(ValueError, match="negative"):
            await store.list(kind, query)
        with pytest.raises(ValueError, match="negative"):
            await store.count(kind, query)

    async def test_a_document_that_cannot_be_decoded_is_left_out(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Number(Note):
            text: int = 0  # type: ignore[assignment]

        for doc in (Number("guest", "m1", 1, 1), Note("guest", "m2", "words", 2), Number("guest", "m3", 3, 3)):
            await store.put(doc)
        found = await store.list(Number, Query(namespace="guest", upto=11))
        assert [note.name for note in found] == ["m3", "m1"]
        assert [entry.levelname for entry in caplog.records] == ["ERROR"]
        assert caplog.records[0].getMessage().startswith("guest/m2 is corrupted and left out of lists: ")
        with pytest.raises(errors.Unreadable, match=texts.CORRUPTED):
            await store.get(Number, "guest/m2")


class TestActivations:
    async def test_a_record_can_be_read_at_once(self, store: Store) -> None:
        record = activation(1)
        assert store.record(record)
        expected = msgspec.structs.replace(record)
        record.name = "changed later"
        stored = await store.get(Activation, expected.id)
        assert stored.doc == expected
        await store.flush()
        assert await store.get(Activation, expected.id, stored.rev) == stored

    async def test_a_record_is_listed_at_once(self, store: Store) -> None:
        for number in range(1, 4):
            store.record(activation(number))
        assert await store.count(Activation, Query(namespace="guest")) == 3
        store.record(activation(4))
        assert list(await store.list(Activation, Query(namespace="guest", limit=2))) == [activation(4), activation(3)]

    async def test_many_records(self, store: Store) -> None:
        for number in range(1, 1001):
            assert store.record(activation(number))
        await store.flush()
        assert await store.count(Activation, Query(namespace="guest")) == 1000
        assert [doc.start for doc in await store.list(Activation, Query(namespace="guest", limit=0))] == list(
            range(1000, 0, -1)
        )

    @pytest.mark.parametrize("between", [0, 1, 2], ids=["at once", "while it is written", "after it is durable"])
    async def test_of_two_records_with_one_id_the_first_stays(self, store: Store, between: int) -> None:
        store.record(activation(1))
        if between == 1:
            await asyncio.sleep(0)
        elif between == 2:
            await store.flush()
        store.record(activation(1, name="second"))
        assert (await store.get(Activation, activation(1).id)).doc == activation(1)
        store.record(activation(2))
        await store.flush()
        assert (await store.get(Activation, activation(1).id)).doc == activation(1)
        assert await store.count(Activation, Query(namespace="guest")) == 2

    async def test_put_get_delete(self, store: Store) -> None:
        rev = await store.put(activation(1))
        with pytest.raises(errors.Conflict):
            await store.put(activation(1))
        with pytest.raises(errors.Conflict):
            await store.put(activation(1), rev)
        assert (await store.get(Activation, activation(1).id, rev)).doc == activation(1)
        with pytest.raises(errors.Unreadable):
            await store.get(Activation, activation(1).id, ABSENT)
        with pytest.raises(errors.Conflict):
            await store.delete(Activation, activation(1).id, ABSENT)
        await store.delete(Activation, activation(1).id, rev)
        with pytest.raises(errors.NotFound):
            await store.get(Activation, activation(1).id)

    async def test_what_was_just_recorded_can_be_deleted(self, store: Store) -> None:
        store.record(activation(1))
        await store.delete(Activation, activation(1).id, (await store.get(Activation, activation(1).id)).rev)
        assert await store.count(Activation, Query(namespace="guest")) == 0

    async def test_by_namespace_and_name(self, store: Store) -> None:
        store.record(activation(1, name="hello"))
        store.record(activation(2, name="hello", path="guest/pkg/hello"))
        store.record(activation(3, name="hello", path="provider/pkg/hello", binding="guest/bound"))
        store.record(activation(4, namespace="other", name="hello"))
        trigger = activation(5, name="tick")
        trigger.annotations = Raw(b"[]")
        store.record(trigger)

        async def starts(name: str | None, namespace: str = "guest") -> list[int]:
            query = Query(namespace=namespace, name=name)
            found = [doc.start for doc in await store.list(Activation, query)]
            assert await store.count(Activation, query) == len(found)
            return found

        assert await starts(None) == [5, 3, 2, 1]
        assert await starts("hello") == [1]
        assert await starts("pkg/hello") == [2]
        assert await starts("bound/hello") == [3]
        assert await starts("tick") == [5]
        assert await starts("hello", "other") == [4]
        assert await starts("none") == []

    async def test_since_and_upto_are_inclusive(self, store: Store) -> None:
        for number in range(1, 8):
            store.record(activation(number))
        query = Query(namespace="guest", since=3, upto=5)
        assert [doc.start for doc in await store.list(Activation, query)] == [5, 4, 3]
        assert await store.count(Activation, query) == 3
        assert await store.count(Activation, Query(namespace="guest", upto=2)) == 2
        assert await store.count(Activation, Query(namespace="guest", since=7, skip=3)) == 0

    async def test_flush_and_room_return_when_nothing_waits(self, store: Store) -> None:
        await store.flush()
        await store.room()


class TestSubjects:
    @pytest.fixture(autouse=True)
    async def some(self, store: Store) -> None:
        await store.put(subject("alice-s", ("alice", "u1", "k1"), ("team", "u2", "k2")))
        await store.put(subject("bob-s", ("bob", "u3", "k3"), ("team", "u2", "k4")))
        await store.put(subject("eve-s", ("eve", "u5", "k5"), blocked=True))
        await store.put(Limits("team", UserLimits(invocations_per_minute=5)))

    async def test_both_parts_of_the_credentials_must_match(self, store: Store) -> None:
        found = await store.identity("u1", "k1")
        assert found is not None
        assert (found.subject, found.namespace.name, found.namespace.uuid) == ("alice-s", "alice", "u1")
        assert found.authkey == {"api_key": "u1:k1"}
        assert found.limits == UserLimits()
        for uuid, key in [("u1", "k2"), ("u1", ""), ("", ""), ("u9", "k1"), ("u1", "k1 "), ("u1", "ä\ud800")]:
            assert await store.identity(uuid, key) is None

    async def test_the_credentials_choose_namespace_and_subject_with_limits(self, store: Store) -> None:
        for key, name in [("k2", "alice-s"), ("k4", "bob-s")]:
            found = await store.identity("u2", key)
            assert found is not None
            assert (found.subject, found.namespace.name) == (name, "team")
            assert found.limits == UserLimits(invocations_per_minute=5)

    async def test_a_blocked_subject_is_nobody(self, store: Store) -> None:
        assert await store.identity("u5", "k5") is None
        assert await store.owner("eve") is None

    async def test_by_namespace(self, store: Store) -> None:
        found = await store.owner("team")
        assert found is not None
        assert (found.subject, found.authkey) == ("alice-s", {"api_key": "u2:k2"})
        assert found.limits == UserLimits(invocations_per_minute=5)
        assert await store.owner("nobody") is None

    async def test_all_identities_of_a_namespace(self, store: Store) -> None:
        found = await store.identities("team")
        assert [(each.subject, each.authkey["api_key"]) for each in found] == [("alice-s", "u2:k2"), ("bob-s", "u2:k4")]
        assert all(each.limits == UserLimits(invocations_per_minute=5) for each in found)
        assert list(await store.identities("eve")) == list(await store.identities("nobody")) == []

    async def test_every_change_of_subjects_and_limits_is_told(self, store: Store) -> None:
        seen = [store.changes()]
        rev = (await store.get(Subject, "alice-s")).rev
        rev = await store.put(subject("alice-s", ("alice", "u1", "new")), rev)
        seen.append(store.changes())
        await store.delete(Subject, "alice-s", rev)
        seen.append(store.changes())
        rev = await store.put(Limits("bob", UserLimits(fires_per_minute=0)))
        seen.append(store.changes())
        await store.delete(Limits, "bob/limits", rev)
        seen.append(store.changes())
        assert None not in seen
        assert len(set(seen)) == 5

    async def test_nothing_else_counts_as_a_change_of_them(self, store: Store) -> None:
        before = store.changes()
        rev = await store.put(action())
        store.record(activation(1))
        await store.flush()
        await store.put(action(code="second"), rev)
        await store.identity("u1", "k1")
        assert store.changes() == before

    async def test_changed_and_deleted_credentials(self, store: Store) -> None:
        rev = (await store.get(Subject, "alice-s")).rev
        rev = await store.put(subject("alice-s", ("alice", "u1", "new")), rev)
        assert await store.identity("u1", "k1") is None
        assert await store.identity("u1", "new") is not None
        assert await store.identity("u2", "k2") is None
        await store.delete(Subject, "alice-s", rev)
        assert await store.identity("u1", "new") is None

    async def test_blocked_namespaces(self, store: Store) -> None:
        await store.put(Limits("bob", UserLimits(concurrent_invocations=0)))
        await store.put(Limits("alice", UserLimits(fires_per_minute=0)))
        while (blocked := await store.blocked()) != {"eve", "bob"}:
            assert blocked < {"eve", "bob"}  # of a view that is brought up to date behind our back

    async def test_subjects_are_listed_in_no_namespace(self, store: Store) -> None:
        found = await store.list(Subject, Query(namespace=""))
        assert sorted(doc.subject for doc in found) == ["alice-s", "bob-s", "eve-s"]
