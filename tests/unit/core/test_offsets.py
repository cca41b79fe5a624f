"""core.offsets: what a commit's metadata tells a later life."""

from base64 import b85encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.core.offsets import LIMIT, TAG, Commit, Offsets, Verdict, check
from upcall.errors import InvalidTransition, Misconfigured

CUT = TAG + b85encode(b"\x00\x02\x01\x80").decode()
"""The second entry's varint lacks its end."""
SKIP, STARTED, NEW, FULL = Verdict.SKIP, Verdict.STARTED, Verdict.NEW, Verdict.FULL


def a_feed(*offsets: int, base: int = 0, text: str = "", limit: int = LIMIT) -> Offsets:
    """Offsets with these delivered."""
    made = Offsets(Commit(base, text), limit)
    for offset in offsets:
        made.arrive(offset)
    return made


def verdicts(committed: Commit, *offsets: int) -> list[Verdict]:
    """What the next life says of them."""
    life = Offsets(committed)
    return [life.arrive(offset) for offset in offsets]


def test_the_base_is_the_lowest_offset_not_done() -> None:
    feed = a_feed(5, 6, 7, base=5)
    feed.done(6)
    assert feed.base == 5
    feed.done(5)
    assert feed.base == 7
    feed.done(7)
    assert feed.commit() == Commit(8, "")


def test_a_restart_tells_done_started_and_waiting_apart() -> None:
    feed = a_feed(0, 1, 2, 3, 4)
    feed.start(0)
    feed.start(1)
    feed.start(3)
    feed.done(1)
    assert verdicts(feed.commit(), 0, 1, 2, 3, 4, 5) == [STARTED, SKIP, NEW, STARTED, NEW, NEW]


def test_nothing_started_and_nothing_done_is_a_plain_offset() -> None:
    assert a_feed(3, 4, base=3).commit() == Commit(3, "")


def test_an_activation_refused_before_it_started_is_done() -> None:
    feed = a_feed(0, 1)
    feed.done(1)
    assert verdicts(feed.commit(), 0, 1) == [NEW, SKIP]


def test_a_start_that_an_earlier_life_made_stays_told_until_it_is_done() -> None:
    feed = a_feed(0, 1, 2)
    feed.start(2)
    second = Offsets(feed.commit())
    second.arrive(0)
    second.start(0)
    assert verdicts(second.commit(), 0, 1, 2, 3) == [STARTED, NEW, STARTED, NEW]


def test_an_offset_delivered_twice_in_one_life_is_skipped() -> None:
    feed = a_feed(0, 1)
    feed.start(0)
    assert [feed.arrive(0), feed.arrive(1), feed.arrive(2), feed.arrive(0)] == [SKIP, SKIP, NEW, SKIP]
    feed.done(2)


def test_offsets_that_do_not_exist_do_not_hold_the_base_back() -> None:
    feed = a_feed(10, 20, base=7)
    feed.done(20)
    assert feed.base == 10
    feed.done(10)
    assert feed.commit() == Commit(21, "")


def test_what_retention_removed_is_forgotten() -> None:
    feed = a_feed(0, 1, 2)
    feed.start(0)
    feed.start(2)
    later = Offsets(feed.commit())
    assert [later.arrive(2), later.arrive(3)] == [STARTED, NEW]
    assert later.base == 2


def test_a_group_without_a_commit_starts_anywhere() -> None:
    feed = a_feed(base=-1001)
    assert [feed.base, feed.arrive(0), feed.base] == [0, NEW, 0]


@pytest.mark.parametrize("act", [Offsets.start, Offsets.done])
@pytest.mark.parametrize("offset", [1, 2, 3, 9])
def test_only_an_offset_in_hand_can_start_or_end(act: Callable[[Offsets, int], None], offset: int) -> None:
    earlier = a_feed(0, 1, 2, 3)
    earlier.done(2)
    feed = a_feed(0, base=0, text=earlier.commit().text)
    with pytest.raises(InvalidTransition, match="base 0"):
        act(feed, offset)


def test_thousands_pass_one_that_runs_for_long() -> None:
    feed = a_feed(0)
    feed.start(0)
    for offset in range(1, 200_000):
        assert feed.arrive(offset) is NEW
        feed.start(offset)
        feed.done(offset)
    commit = feed.commit()
    assert len(commit.text) < 30
    assert verdicts(commit, 0, 1, 199_999, 200_000) == [STARTED, SKIP, SKIP, NEW]


def test_delivery_stops_at_the_limit_and_goes_on_when_something_is_done() -> None:
    feed = Offsets(Commit(0, ""))
    taken = 0
    while feed.arrive(taken) is NEW:
        feed.start(taken)
        taken += 1
    assert taken == 3251
    assert feed.room == 0
    assert LIMIT - 25 <= len(feed.commit().text) <= LIMIT
    assert feed.arrive(taken) is FULL
    feed.done(1000)
    assert feed.arrive(taken) is NEW


def test_what_was_only_delivered_costs_a_commit_nothing() -> None:
    feed = a_feed(*range(1000))
    feed.start(0)
    feed.done(2)
    assert len(feed.commit().text) < 20
    assert verdicts(feed.commit(), 0, 1, 2, 3, 999) == [STARTED, NEW, SKIP, NEW, NEW]


def test_a_limit_that_holds_nothing_is_refused() -> None:
    with pytest.raises(Misconfigured, match="4095"):
        Offsets(Commit(0, ""), limit=40)


@pytest.mark.parametrize("text", ["", "null", "NONE", '{"a":1}', "é", "x" * 5000, "upcal"])
def test_foreign_metadata_is_a_plain_offset(text: str) -> None:
    assert verdicts(Commit(7, text), 7, 8) == [NEW, NEW]


def test_our_text_at_another_offset_is_a_plain_offset() -> None:
    feed = a_feed(0, 1)
    feed.start(0)
    assert verdicts(Commit(1, feed.commit().text), 1) == [NEW]


@pytest.mark.parametrize("text", [TAG, TAG + "é", TAG + "\x00", TAG + "0", CUT, "upcall", "upcall2:abc"])
def test_our_text_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured):
        Offsets(Commit(0, text))


@given(text=st.text(), base=st.integers(0, 2**62))
def test_any_foreign_text_is_a_plain_offset(text: str, base: int) -> None:
    if not text.startswith("upcall"):
        assert verdicts(Commit(base, text), base, base + 1) == [NEW, NEW]


class World:
    """A broker's log, its group's commit, the truth about every offset, and the life that runs now."""

    def __init__(self, log: list[int], limit: int) -> None:
        self.log = log
        self.limit = limit
        self.committed = Commit(0, "")
        self.told: dict[int, Verdict] = {}  # what the last commit must say; NEW where it names nothing
        self.ran: list[int] = []
        self.ended: set[int] = set()
        self.restart()

    def restart(self) -> None:
        self.life = Offsets(self.committed, self.limit)
        self.now = dict(self.told)
        self.waiting: list[int] = []
        self.starting: list[int] = []
        self.running: list[int] = []  # or started in an earlier life: what is left is to end it
        self.position = sum(offset < self.committed.offset for offset in self.log)
        assert all(self.now[offset] is SKIP for offset in self.log[: self.position]), "done below the base"

    def deliver(self, _: int) -> None:
        if self.position == len(self.log):
            return
        offset = self.log[self.position]
        verdict = self.life.arrive(offset)
        if verdict is FULL:
            assert self.waiting or self.starting or self.running, "a pause ends when something is done"
            return
        self.position += 1
        assert verdict is self.now.get(offset, NEW)
        if verdict is NEW:
            self.waiting.append(offset)
        elif verdict is STARTED:
            self.running.append(offset)

    def start(self, pick: int) -> None:
        if self.waiting:
            offset = self.waiting.pop(pick % len(self.waiting))
            self.life.start(offset)
            self.now[offset] = STARTED
            self.starting.append(offset)

    def commit(self, _: int) -> None:
        """The broker has it; then all that was starting runs."""
        self.committed = self.life.commit()
        assert len(self.committed.text) <= self.limit
        self.told = dict(self.now)
        self.ran += self.starting
        self.running += self.starting
        self.starting = []

    def crash(self, pick: int) -> None:
        """At any point; also between a commit and its acknowledgement, when nothing has run yet."""
        if pick % 2:
            ran = list(self.ran)
            self.commit(0)
            self.ran = ran
        self.restart()

    def end(self, pick: int) -> None:
        """Of what runs, or refused while it waits."""
        hands = self.running if self.running and pick % 3 else self.waiting
        if hands:
            offset = hands.pop(pick % len(hands))
            self.life.done(offset)
            self.now[offset] = SKIP
            self.ended.add(offset)


def a_log(gaps: list[int]) -> list[int]:
    log, offset = [], 0
    for gap in gaps:
        offset += gap
        log.append(offset)
        offset += 1
    return log


MOVES = ("deliver", "deliver", "deliver", "start", "start", "commit", "end", "end", "crash")


@given(
    gaps=st.lists(st.sampled_from([0, 0, 0, 0, 1, 70, 20_000]), max_size=60),
    limit=st.sampled_from([48, 64, LIMIT]),
    moves=st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 50)), max_size=150),
)
def test_a_crash_at_any_point_is_told_apart(gaps: list[int], limit: int, moves: list[tuple[str, int]]) -> None:
    """`World.deliver` compares every verdict with what was true at the last commit before the crash."""
    world = World(a_log(gaps), limit)
    for move, pick in moves:
        getattr(world, move)(pick)
        check(world.life)
    world.crash(0)
    while world.position < len(world.log) or world.waiting or world.running:
        world.deliver(0)
        world.end(3 if not world.running else 1)
    assert world.life.commit().text == ""
    assert set(world.log) == world.ended, "nothing is lost"
    assert len(world.ran) == len(set(world.ran)), "nothing runs twice"
