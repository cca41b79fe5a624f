"""How keys are compared: whole, by the function for it, and all of them."""

from hmac import compare_digest

import pytest

from tests.contract.documents import subject
from upcall.errors import Internal
from upcall.store import accounts

KEY = "k" * 64


class Compared:
    """Stands in for `compare_digest` and notes what it got."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, bytes]] = []

    def __call__(self, own: bytes, given: bytes) -> bool:
        self.seen.append((own, given))
        return compare_digest(own, given)


class Unequal(str):
    """A key that cannot be compared but by its bytes."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared by ==")

    __hash__ = str.__hash__


@pytest.mark.parametrize("place", [0, 1, 2, None])
def test_each_key_is_compared_once_and_whole_wherever_the_right_one_is(
    monkeypatch: pytest.MonkeyPatch, place: int | None
) -> None:
    compared = Compared()
    monkeypatch.setattr(accounts, "compare_digest", compared)
    keys = [Unequal(KEY if number == place else f"{number}" * 64) for number in range(3)]
    owners = [subject(f"subject{number}", ("team", "u1", key)) for number, key in enumerate(keys)]
    found = accounts.by_credentials(owners, "u1", Unequal(KEY))
    assert (found and found[0].subject) == (None if place is None else f"subject{place}")
    assert compared.seen == [(bytes(key, "ascii"), KEY.encode()) for key in keys]


def test_a_key_of_another_length_or_alphabet_is_compared_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = Compared()
    monkeypatch.setattr(accounts, "compare_digest", compared)
    for given in ("", "k", "ä\ud800"):
        assert accounts.by_credentials([subject("alice", ("alice", "u1", KEY))], "u1", given) is None
    assert len(compared.seen) == 3


def test_credentials_of_two_namespaces_stand_for_neither_and_a_blocked_subject_s_do_not_count() -> None:
    twice = [subject("alice", ("alice", "u1", KEY)), subject("bobby", ("team", "u1", KEY))]
    with pytest.raises(Internal, match="more than one namespace"):
        accounts.by_credentials(twice, "u1", KEY)
    with pytest.raises(Internal):
        accounts.by_credentials([subject("alice", ("alice", "u1", KEY), ("team", "u1", KEY))], "u1", KEY)
    twice[0].blocked = True
    assert accounts.by_credentials(twice, "u1", KEY) == (twice[1], twice[1].namespaces[0])
