"""What controllers tell each other, as bytes: how much it may be, and what is not taken for it."""

from typing import Any

import msgspec
import pytest

from upcall.bus.codec import decode
from upcall.controller.cluster import ENTRIES
from upcall.errors import Unreadable
from upcall.model.messages import ClusterMessage


def test_a_message_with_all_it_may_hold_is_far_below_what_brokers_take() -> None:
    uuids = {f"23bc46b1-71f6-4ed5-8c54-{number:012d}": 1_000_000 for number in range(ENTRIES)}
    size = len(msgspec.json.encode(ClusterMessage("0", 1764000000456, 10**9, rates=uuids)))
    assert size < 100_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"controller": ""},
        {"controller": "two\nlines"},
        {"controller": "x" * 200},
        {"incarnation": 10**30},
        {"number": -1},
        {"minute": 10**30},
        {"rates": {"u": -5}},
        {"running": {"u": -5}},
        {"running": {"u": 10**30}},
        {"running": {f"u{number}": 1 for number in range(20_000)}},
        {"seen": {"0": [1, -1]}},
    ],
)
def test_what_no_controller_says_is_no_message(wrong: dict[str, Any]) -> None:
    right = {"controller": "a", "incarnation": 1, "number": 1}
    assert decode("cluster", msgspec.json.encode(right)) == ClusterMessage("a", 1, 1)
    with pytest.raises(Unreadable):
        decode("cluster", msgspec.json.encode(right | wrong))
