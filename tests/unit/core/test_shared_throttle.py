"""Limits that several controllers hold together (docs/adr/0014-controllers.md): what they do is played over an ordered
log, in every order, and counted from outside."""

from collections import Counter
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.core.counts import MOST, Counts
from upcall.core.throttle import Held, Rates, Throttles
from upcall.errors import Throttled
from upcall.model.entities import Identity, NamespaceId
from upcall.model.sizes import SystemLimits

NOON = 1_764_000_000.0 - 1_764_000_000 % 60
MINUTE = int(NOON) // 60
USER = Identity("guest", NamespaceId("guest", "u"), {})


class Entry(msgspec.Struct):
    """A message in the log: who, its number, what it says, and what it has heard of the others."""

    sender: int
    number: int
    rates: Mapping[str, int]
    seen: dict[int, int]


class Node:
    """A controller that reads the log at its own pace."""

    def __init__(self, name: int, size: int, limit: int) -> None:
        self.name = name
        self.throttles = Throttles(SystemLimits(invocations_per_minute=limit, concurrent_invocations=10_000), {})
        self.throttles.size = size
        self.throttles.rates.turn(NOON)
        self.others = [each for each in range(size) if each != name]
        self.heard = dict.fromkeys(self.others, 0)
        self.acknowledged = dict.fromkeys(self.others, 0)
        self.position = 0
        self.number = 0
        self.passed = 0
        self.waiting: list[tuple[int, Held]] = []

    def attempt(self) -> None:
        try:
            held = self.throttles.admit(USER, NOON)
        except Throttled:
            return
        if held is None:
            self.passed += 1
        else:
            self.waiting.append((self.number + 1, held))

    def say(self, log: list[Entry]) -> None:
        self.number += 1
        rates = self.throttles.rates
        said = rates.tell(rates.changes(), self.number)
        log.append(Entry(self.name, self.number, said, dict(self.heard)))

    def read(self, log: list[Entry]) -> None:
        if self.position == len(log):
            return
        entry = log[self.position]
        self.position += 1
        if entry.sender == self.name:
            return
        self.throttles.rates.hear_of(MINUTE, str(entry.sender), entry.rates)
        self.heard[entry.sender] = entry.number
        self.acknowledged[entry.sender] = entry.seen[self.name]
        self.throttles.seen = min(self.acknowledged.values())
        self.decide()

    def decide(self) -> None:
        """Those whose message all others have heard."""
        for asked, held in [each for each in self.waiting if each[0] <= self.throttles.seen]:
            self.waiting.remove((asked, held))
            try:
                passes = self.throttles.judge(held, NOON)
            except Throttled:
                continue
            assert passes, "all have heard of it"
            self.passed += 1


def fill(nodes: list[Node], log: list[Entry], limit: int) -> None:
    """Who comes later gets all that is left."""
    while sum(node.passed for node in nodes) < limit:
        before = sum(node.passed for node in nodes)
        for node in nodes:
            node.attempt()
            for each in (*nodes, *nodes):
                each.say(log)
                for reader in nodes:
                    while reader.position < len(log):
                        reader.read(log)
        assert before < sum(node.passed for node in nodes) <= limit


STEPS = st.lists(st.tuples(st.sampled_from(["attempt", "say", "read", "read"]), st.integers(0, 2)), max_size=200)


@given(STEPS, st.integers(2, 3), st.integers(0, 12))
def test_no_order_of_events_lets_more_pass_than_the_limit_and_in_the_end_none_waits(
    steps: list[tuple[str, int]], size: int, limit: int
) -> None:
    nodes, log = [Node(name, size, limit) for name in range(size)], list[Entry]()
    for what, who in steps:
        node = nodes[who % size]
        node.attempt() if what == "attempt" else node.say(log) if what == "say" else node.read(log)
        assert sum(each.passed for each in nodes) <= limit
    for _ in range(3):
        for node in nodes:
            node.say(log)
        for node in nodes:
            while node.position < len(log):
                node.read(log)
    assert [node.waiting for node in nodes] == [[]] * size
    attempts = sum(node.throttles.rates.attempts("u") for node in nodes)
    passed = sum(node.passed for node in nodes)
    assert passed == attempts if attempts <= limit else passed <= limit
    assert sum(node.throttles.rates.taken.get("u", 0) for node in nodes) == passed
    fill(nodes, log, limit)


@given(st.integers(2, 4), st.integers(0, 100))
def test_a_burst_at_one_of_them_gets_all_of_the_limit(size: int, limit: int) -> None:
    nodes, log = [Node(name, size, limit) for name in range(size)], list[Entry]()
    for _ in range(limit + 5):
        nodes[0].attempt()
    for _ in range(2):
        for node in nodes:
            node.say(log)
            for each in nodes:
                each.read(log)
    assert nodes[0].passed == limit


def throttles(running: dict[str, int], others: dict[str, int], size: int = 2) -> Throttles:
    made = Throttles(SystemLimits(invocations_per_minute=10_000, concurrent_invocations=30), running)
    made.size = size
    made.running.hear("1@1", others)
    return made


def test_the_texts_show_what_all_have_and_the_limit_of_all() -> None:
    made = throttles({"u": 10}, {"u": 20})
    made.asked = NOON
    with pytest.raises(Throttled, match=r"^Too many concurrent requests in flight \(count: 30, allowed: 30\)\.$"):
        made.admit(USER, NOON)
    rates = Rates()
    rates.turn(NOON)
    rates.hear_of(MINUTE, "1@1", {"u": 59})
    rates.charge("u", 60, NOON)
    with pytest.raises(Throttled, match=r"^Too many requests in the last minute \(count: 61, allowed: 60\)\.$"):
        rates.charge("u", 60, NOON)


@pytest.mark.parametrize("since", [-1, 3600], ids=["a while ago", "before the clock was set back"])
def test_what_others_had_in_flight_refuses_nobody_before_they_are_asked_again(since: float) -> None:
    made = throttles({"u": 10}, {"u": 20})
    made.asked = NOON + since
    held = made.admit(USER, NOON)
    assert held is not None
    made.running.hear("1@1", {"u": 3})
    made.asked = NOON
    assert made.judge(held, NOON)


def test_our_own_that_fill_the_limit_refuse_at_once() -> None:
    with pytest.raises(Throttled, match="count: 30"):
        throttles({"u": 30}, {}).admit(USER, NOON)


def test_the_last_places_in_flight_are_given_too() -> None:
    running = {"u": 14}
    made = throttles(running, {"u": 15})
    made.running.touch_all()
    made.running.tell(made.running.changes(), 1)
    made.seen, made.asked = 1, NOON
    assert made.admit(USER, NOON) is None


def test_far_from_the_limit_nobody_is_asked() -> None:
    assert throttles({"u": 9}, {"u": 10}).admit(USER, NOON) is None


def test_where_others_do_not_answer_what_is_known_decides() -> None:
    made = throttles({"u": 10}, {"u": 19})
    held = made.admit(USER, NOON)
    assert held is not None
    made.settle(held, NOON)
    made.running.hear("1@1", {"u": 20})
    with pytest.raises(Throttled):
        made.settle(held, NOON)


def test_what_the_rate_has_let_pass_is_not_refused_by_it_while_it_waits_for_others() -> None:
    made = throttles({"u": 10}, {"u": 20})
    held = made.admit(USER, NOON)
    assert held is not None
    made.rates.hear_of(MINUTE, "1@1", {"u": 10_000})
    made.running.hear("1@1", {"u": 0})
    assert made.judge(held, NOON)


def test_an_attempt_is_refused_by_its_own_number_and_not_by_those_that_came_later() -> None:
    made = Throttles(SystemLimits(invocations_per_minute=3, concurrent_invocations=30), {})
    made.size = 2
    assert made.admit(USER, NOON) is None
    held = [made.admit(USER, NOON), made.admit(USER, NOON)]
    with pytest.raises(Throttled):
        made.admit(USER, NOON)
    made.rates.tell(made.rates.changes(), 1)
    made.seen = 1
    assert [each is not None and made.judge(each, NOON) for each in held] == [True, True]


def test_counts_of_the_next_minute_wait_for_our_clock_and_those_of_the_last_are_dropped() -> None:
    rates = Rates()
    rates.turn(NOON)
    rates.hear_of(MINUTE + 1, "1@1", {"u": 7})
    rates.hear_of(MINUTE - 1, "1@1", {"u": 5})
    assert rates.others == {}
    rates.turn(NOON + 60)
    assert rates.others == {"u": 7}
    rates.hear_of(MINUTE + 1, "1@1", {"u": 9})
    assert rates.others == {"u": 9}
    rates.turn(NOON + 120)
    assert rates.others == {}


class Naive:
    """The sum of the last that each told."""

    def __init__(self) -> None:
        self.last: dict[str, dict[str, int]] = {}

    def others(self) -> dict[str, int]:
        return dict(sum((Counter(each) for each in self.last.values()), Counter[str]()))


TOLD = st.dictionaries(st.sampled_from("uvw"), st.integers(0, 5), max_size=3)


@given(st.lists(st.tuples(st.sampled_from("ab"), TOLD | st.none())))
def test_what_others_told_adds_up(heard: list[tuple[str, dict[str, int] | None]]) -> None:
    counts, naive = Counts({}), Naive()
    for who, told in heard:
        if told is None:
            counts.forget(who)
            naive.last.pop(who, None)
        else:
            counts.hear(who, told)
            naive.last.setdefault(who, {}).update(told)
        assert counts.others == naive.others()


def test_of_more_counts_than_anybody_has_some_are_kept_and_what_goes_makes_room() -> None:
    counts = Counts({})
    counts.hear("a", {f"u{number}": 1 for number in range(MOST)})
    counts.hear("b", {"u0": 5, "v": 1})
    assert len(counts.others) == MOST
    assert counts.others["u0"] == 1
    counts.hear("a", {"u0": 0, "u1": 3})
    counts.hear("b", {"u0": 5, "v": 1})
    assert (counts.others["u0"], counts.others["u1"]) == (5, 3)
    assert "v" not in counts.others
    counts.forget("a")
    counts.hear("b", {"v": 1})
    assert counts.others == {"u0": 5, "v": 1}


def test_of_the_next_minute_no_more_is_kept() -> None:
    rates = Rates()
    rates.turn(NOON)
    for number in range(4):
        rates.hear_of(MINUTE + 1, f"{number}@1", {f"u{number}-{each}": 1 for each in range(MOST // 2)})
    rates.turn(NOON + 60)
    assert len(rates.others) == MOST


def test_only_what_changed_is_told_and_all_of_it_once_somebody_has_missed_it() -> None:
    own = {"u": 1, "v": 2}
    counts = Counts(own)
    counts.touch_all()
    assert counts.tell(counts.changes(), 1) == {"u": 1, "v": 2}
    own["u"] = 5
    del own["v"]
    counts.touch_all()
    assert counts.tell(counts.changes(), 2) == {"u": 5, "v": 0}
    assert counts.changes() == []
    counts.settle(1)
    counts.tell_again()
    assert counts.floor("u", 2) == 0, "who has missed it knows nothing"
    assert counts.tell(counts.changes(), 3) == {"u": 5, "v": 0}
    counts.settle(3)
    counts.tell_again()
    assert counts.tell(counts.changes(), 4) == {"u": 5}, "what all know to be nothing is forgotten"


def test_others_take_our_count_for_the_least_that_they_may_not_have_heard_to_be_past() -> None:
    own = {"u": 9}
    counts = Counts(own)
    counts.tell(["u"], 1)
    assert counts.floor("u", 0) == 0
    assert counts.floor("u", 1) == 9
    own["u"] = 3
    counts.tell(["u"], 2)
    own["u"] = 8
    counts.tell(["u"], 3)
    assert counts.floor("u", 2) == 3
    assert counts.floor("u", 3) == 8


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(0, 60))
def test_the_least_that_others_may_believe_is_never_more_than_what_they_may_have_heard(
    said: list[int], seen: int
) -> None:
    own = {"u": 0}
    counts = Counts(own)
    for number, count in enumerate(said, 1):
        own["u"] = count
        counts.tell(["u"], number)
    believed = min([0, *said][min(seen, len(said)) :])
    floor = counts.floor("u", seen)
    assert floor == believed if len(said) < 15 else floor <= believed
    assert counts.floor("u", len(said)) == said[-1]
