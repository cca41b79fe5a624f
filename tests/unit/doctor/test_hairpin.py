"""A pod and its own Service: silence is blamed on the node's traffic that does not turn round, and nothing else is."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from upcall.doctor.checks.dependencies import CHECKS
from upcall.doctor.facts.dependencies import Dependencies, Hairpin, hairpin, service_of


@contextmanager
def listening(host: str, port: int = 0, backlog: int = 16) -> Iterator[socket.socket]:
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(backlog)
        yield made


@contextmanager
def silent(host: str, port: int) -> Iterator[None]:
    """Nobody accepts there, and no more connections wait than may: the kernel drops the next."""
    with listening(host, port, backlog=0), socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex((host, port))
        yield


def named(found: Hairpin | None) -> list[str]:
    facts = Dependencies(role="controller", itself=found)
    return [each.id for check in CHECKS for each in check(facts)]


def test_a_service_that_answers() -> None:
    with listening("127.0.0.1") as own, listening("127.0.0.2", own.getsockname()[1]):
        found = asyncio.run(hairpin("127.0.0.2", own.getsockname()[1]))
    assert found == Hairpin("127.0.0.2", silent=False)
    assert named(found) == []


def test_a_service_that_is_silent() -> None:
    with listening("127.0.0.1") as own, silent("127.0.0.2", own.getsockname()[1]):
        found = asyncio.run(hairpin("127.0.0.2", own.getsockname()[1]))
    assert named(found) == ["K8S-06"]


def test_what_is_no_question() -> None:
    with listening("127.0.0.1") as own:
        port = own.getsockname()[1]
        assert asyncio.run(hairpin("127.0.0.2", port)) is None  # refused
        assert asyncio.run(hairpin("none.invalid", port)) is None
    assert asyncio.run(hairpin("127.0.0.2", port)) is None
    assert named(None) == []


@pytest.mark.parametrize(("hostname", "service"), [("owdev-controller-0", "owdev-controller"), ("web-7d9f-x2", "")])
def test_the_service_of_a_pod(hostname: str, service: str) -> None:
    assert service_of(hostname) == service
