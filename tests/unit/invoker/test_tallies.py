"""Counts by action: bounded, and none is lost."""

from upcall.invoker.tallies import OTHERS, Tallies
from upcall.testing import a_message, an_action, an_identity


def start(tallies: Tallies, action: str, version: str = "1", caller: str = "guest") -> None:
    """As an activation does."""
    key = f"{caller} {action} {version}"
    message = a_message(an_action(action), user=an_identity(caller))
    (tallies.by_key.get(key) or tallies.of(key, message)).starts["warmed"] += 1


def counts(tallies: Tallies) -> dict[tuple[str, str, str], int]:
    return {tally.name: tally.started for tally in tallies.all()}


def test_versions_of_an_action_are_counted_together_and_callers_apart() -> None:
    tallies = Tallies()
    start(tallies, "a", "1")
    start(tallies, "a", "2")
    start(tallies, "a", "2", caller="other")
    assert counts(tallies) == {("guest", "guest", "a"): 2, ("other", "guest", "a"): 1}


def test_too_many_names_are_counted_together_and_what_is_not_used_makes_room() -> None:
    tallies = Tallies(names=3, keys=10)
    for name in "abcd":
        start(tallies, name)
    assert counts(tallies) == {("guest", "guest", name): 1 for name in "abc"} | {OTHERS: 1}
    start(tallies, "a")
    for name in "efg":
        start(tallies, name)
    found = counts(tallies)
    assert found[("guest", "guest", "a")] == 2
    assert sum(found.values()) == 8
    assert len(found) <= 4
    assert ("guest", "guest", "b") not in found


def test_keys_are_bounded_and_what_they_counted_is_kept() -> None:
    tallies = Tallies(keys=2)
    for version in "12345":
        start(tallies, "a", version)
    assert len(tallies.by_key) <= 2
    assert counts(tallies) == {("guest", "guest", "a"): 5}
