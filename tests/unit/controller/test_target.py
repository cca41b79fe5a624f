"""The URL of an invoke (spec: rest-api.md §2, §3, §6.5)."""

import pytest

from upcall.controller.target import Target, parse_target
from upcall.model import texts

BASE = b"/api/v1/namespaces/_/actions/"


@pytest.mark.parametrize(
    "url",
    [
        b"/",
        b"/api/v1/namespaces/_/actions",
        BASE,
        BASE + b"a/",
        BASE + b"/a",
        BASE + b"a/b/c",
        b"/api/v1/namespaces//actions/a",
        b"/api/v1/namespaces/_/triggers/a",
        b"/api/v2/namespaces/_/actions/a",
        b"/api%2Fv1/namespaces/_/actions/a",
        b"http://host",
        b"*",
        b"",
    ],
)
def test_other_routes(url: bytes) -> None:
    assert parse_target(url) is None


def test_an_action_and_one_in_a_package() -> None:
    assert parse_target(BASE + b"a") == Target("_", "", "a", "a")
    assert parse_target(b"/api/v1/namespaces/n%20s/actions/p/a%40b") == Target("n s", "p", "a@b", "p/a@b")


@pytest.mark.parametrize(
    "url",
    [
        b"/%61pi/v%31/namespaces/_/%61ctions/a?blocking=true",
        b"http://host:1" + BASE + b"a?blocking=true",
        BASE + b"a?blocking=true#part",
    ],
)
def test_other_spellings_of_the_same_url(url: bytes) -> None:
    assert parse_target(url) == Target("_", "", "a", "a", blocking=True)


def test_an_empty_flag_counts_as_absent() -> None:
    assert parse_target(BASE + b"a?blocking=&result") == Target("_", "", "a", "a")


@pytest.mark.parametrize("name", [b"a%2Fb", b"%FF", b"%C3%A9", b"a+b", b"\xc3\xa9", b"a%20"])
def test_names_that_are_illegal(name: bytes) -> None:
    target = parse_target(BASE + name)
    assert target is not None
    assert target.name_problem == texts.NAME_ILLEGAL


def test_options() -> None:
    target = parse_target(BASE + b"a?blocking=YES&result=on&timeout=1&other=&blocking=0")
    assert target == Target("_", "", "a", "a", blocking=True, result=True, timeout=1)


@pytest.mark.parametrize("value", [b"0", b"60001", b"-1", b"1.5", b"x", b"", b"%D9%A1", b"+5", b"9" * 5000])
def test_a_wait_out_of_bounds(value: bytes) -> None:
    target = parse_target(BASE + b"a?timeout=" + value)
    assert target is not None
    assert target.query_problem == texts.malformed_query("timeout", texts.TIMEOUT_PARAMETER)
