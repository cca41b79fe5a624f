"""MAC addresses by which the rules know containers."""

from upcall.containers.docker import macs
from upcall.containers.docker.macs import Macs


def numbers(text: str) -> int:
    return int(text.replace(":", ""), 16)


def test_each_is_matched_by_its_platforms_rules_and_by_no_others() -> None:
    ours, others = Macs(0x0A), Macs(0xFF)
    for made, tag in ((ours.take(), 0x0A), (others.take(), 0xFF)):
        for known in (0x0A, 0xFF):
            mask, value = macs.of_tag(known)
            assert (numbers(made) & numbers(mask) == numbers(value)) == (known == tag)
        mask, value = macs.of_all()
        assert numbers(made) & numbers(mask) == numbers(value)
        assert numbers(made) >> 40 & 3 == 2  # one of nobody's factory, and no group's


def test_no_two_that_live_have_the_same() -> None:
    ours = Macs(1)
    held = [ours.take() for _ in range(1000)]
    seen = set()
    for _ in range(70_000):
        mac = ours.take()
        assert mac.startswith(ours.prefix)
        seen.add(mac)
        ours.give_back(mac)
    assert len(set(held)) == 1000
    assert not seen & set(held)


def test_one_that_was_given_back_comes_again_and_giving_twice_is_nothing() -> None:
    ours = Macs(1)
    first = ours.take()
    ours.give_back(first)
    ours.give_back(first)
    assert first in {ours.take() for _ in range(1 << 16)}
