"""The balancer's arithmetic: hash, steps, parts (spec: load-balancer.md §2, §8)."""

from math import gcd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.core.balance import java_hash, part_sizes, placement_hash, step_sizes


@pytest.mark.parametrize(
    ("text", "hashed"),
    [
        ("", 0),
        ("a", 97),
        ("guest", 98708952),
        ("polygenelubricants", -(2**31)),
        ("hello world", 1794106052),
        ("ä€", 228 * 31 + 8364),
        ("😀", 0xD83D * 31 + 0xDE00),
    ],
)
def test_the_hash_is_that_of_java(text: str, hashed: int) -> None:
    assert java_hash(text) == hashed


def test_a_placement_hash_is_not_negative() -> None:
    assert placement_hash("", "polygenelubricants") == 0
    assert placement_hash("guest", "guest/hello") == abs(java_hash("guest") ^ java_hash("guest/hello"))
    assert placement_hash("a", "b") == placement_hash("b", "a") == 3
    negative = java_hash("x") ^ java_hash("hello wurld of mine")
    assert placement_hash("x", "hello wurld of mine") == abs(negative)


@pytest.mark.parametrize(
    ("size", "steps"),
    [(0, []), (1, [1]), (2, [1]), (3, [1, 2]), (4, [1, 3]), (5, [1, 2, 3]), (9, [1, 2, 5, 7]), (10, [1, 3, 7])],
)
def test_step_sizes(size: int, steps: list[int]) -> None:
    assert step_sizes(size) == steps


@pytest.mark.parametrize("size", range(100))
def test_step_sizes_are_all_that_the_definition_gives(size: int) -> None:
    found: list[int] = []
    for number in range(1, size + 1):
        if gcd(number, size) == 1 and all(gcd(number, other) == 1 for other in found):
            found.append(number)
    assert step_sizes(size) == found


@pytest.mark.parametrize("size", range(1, 100))
def test_step_sizes_are_prime_to_the_size_and_to_each_other(size: int) -> None:
    steps = step_sizes(size)
    assert all(gcd(step, size) == 1 for step in steps)
    assert all(gcd(one, other) == 1 for one in steps for other in steps if one != other)
    for step in steps:
        assert {step * number % size for number in range(size)} == set(range(size))


@pytest.mark.parametrize(
    ("size", "managed", "blackbox", "sizes"),
    [
        (0, 0.9, 0.1, (0, 0)),
        (1, 0.9, 0.1, (1, 1)),
        (2, 0.9, 0.1, (2, 1)),
        (3, 0.9, 0.1, (3, 1)),
        (10, 0.9, 0.1, (9, 1)),
        (20, 0.9, 0.1, (18, 2)),
        (10, 0.8, 0.1, (8, 2)),
        (10, 0.5, 0.5, (5, 5)),
        (100, 0.07, 0.5, (7, 93)),
        (10, 1.0, 1.0, (10, 10)),
        (10, 0.9, 0.5, (9, 5)),
        (10, 0.0, 0.0, (1, 10)),
        (10, 1.0, 0.0, (10, 1)),
        (10, 7.0, 5.0, (10, 10)),
        (3, 0.1, 0.1, (1, 2)),
    ],
)
def test_how_many_are_for_managed_runtimes_and_for_images(
    size: int, managed: float, blackbox: float, sizes: tuple[int, int]
) -> None:
    assert part_sizes(size, managed, blackbox) == sizes


@given(st.integers(1, 300), st.floats(0, 1), st.floats(0, 1))
def test_nobody_is_left_out_of_both_parts(size: int, managed: float, blackbox: float) -> None:
    first, last = part_sizes(size, managed, blackbox)
    assert 1 <= first <= size
    assert 1 <= last <= size
    assert first + last >= size
