"""Kubernetes takes every name and label value that we make, and no two containers of an Invoker share one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.containers.kubernetes.labels import Maker, tenant_labels
from upcall.containers.kubernetes.names import label_value, pod_name
from upcall.invoker.naming import container_name, name_prefix
from upcall.model.names import InvokerId

MAKER = Maker(invoker=3, release="owdev", instance="6f", boot="0001-ab")
POD = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
"""As the API's refusals print them."""


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ("wskowdev-invoker-00_33_guest_hello", "wskowdev-invoker-00-33-guest-hello"),
        ("wsk00_1_prewarm_nodejs10", "wsk00-1-prewarm-nodejs10"),
        ("wsk0_7_Guest_Hello(1)", "wsk0-7-guest-hello1"),
        ("wsk0_7_guest_" + "a" * 80, "wsk0-7-guest-" + "a" * 50),
        ("wsk0_7_guest_" + "a" * 49 + "_" + "b" * 20, "wsk0-7-guest-" + "a" * 49),
        ("wska.b0_7_guest_hello", "wska.b0-7-guest-hello"),
        ("wsk_7__", "wsk-7"),
    ],
)
def test_pods_have_upstreams_names(container: str, expected: str) -> None:
    assert pod_name(container) == expected


def test_where_upstreams_is_no_name_it_becomes_one() -> None:
    assert pod_name("wska.-b.0_7_guest_hello") == "wska--b-0-7-guest-hello"


def test_the_number_that_tells_pods_apart_is_never_cut_off() -> None:
    prefix = name_prefix(InvokerId(instance=0, user_memory="1 GB", unique_name="u" * 80))
    names = {pod_name(container_name(prefix, number, "guest", "hello")) for number in (1, 2, 12)}
    assert len(names) == 3
    assert all(len(name) <= 63 for name in names)


@given(
    unique=st.text(max_size=90), number=st.integers(1, 10**9), first=st.text(max_size=80), second=st.text(max_size=80)
)
def test_any_name_is_legal_and_tells_its_number(unique: str, number: int, first: str, second: str) -> None:
    prefix = name_prefix(InvokerId(instance=0, user_memory="1 GB", unique_name=unique))
    name = pod_name(container_name(prefix, number, first, second))
    assert len(name) <= 63
    assert POD.fullmatch(name)
    assert name != pod_name(container_name(prefix, number + 1, first, second))


@given(st.text(max_size=100), st.text(max_size=100))
def test_any_text_has_a_label_value_of_its_own(text: str, other: str) -> None:
    value = label_value(text)
    assert len(value) <= 63
    assert VALUE.fullmatch(value)
    assert (value == label_value(other)) == (text == other)


def test_legal_label_values_stay_as_they_are() -> None:
    assert label_value("guest") == "guest"
    assert label_value("") == ""
    assert label_value("a" * 63) == "a" * 63
    assert label_value("a@b.com").startswith("a-b.com-")


def test_labels_are_upstreams_and_say_who_made_the_pod() -> None:
    assert MAKER.labels("wsk00-1-prewarm-nodejs20") == {
        "name": "wsk00-1-prewarm-nodejs20",
        "user-action-pod": "true",
        "invoker": "invoker3",
        "release": "owdev",
        "upcall.instance": "6f",
        "upcall.boot": "0001-ab",
    }
    assert tenant_labels("guest", "hello") == {"openwhisk/action": "hello", "openwhisk/namespace": "guest"}


def test_a_later_life_is_kin_and_has_not_made_it() -> None:
    later = Maker(invoker=3, release="owdev", instance="6f", boot="0002-cd")
    other = Maker(invoker=4, release="owdev", instance="6f", boot="0001-ab")
    labels = MAKER.labels("a")
    assert MAKER.made(labels)
    assert not later.made(labels)
    assert later.kin().items() <= labels.items()
    assert not other.kin().items() <= labels.items()
