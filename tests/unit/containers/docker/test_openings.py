"""What containers may reach though it be the host's: the API and resolvers."""

from pathlib import Path

import pytest

from upcall.containers.docker.openings import Opening, api, is_name, resolvers


def addresses(openings: tuple[Opening, ...]) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(each.address, each.port, each.protocols) for each in openings]


def dns(*found: str) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(each, 53, ("tcp", "udp")) for each in found]


def test_resolvers_are_those_that_containers_are_given(tmp_path: Path) -> None:
    assert addresses(resolvers(("10.0.0.2", "fd00::2", "10.0.0.2"), ())) == dns("10.0.0.2", "fd00::2")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("nameserver 10.0.0.2\nnameserver fe80::1%eth0\nsearch a.b\n", None, ("10.0.0.2", "fe80::1")),
        ("nameserver 127.0.0.53\n", "nameserver 192.168.1.1\n", ("192.168.1.1",)),
        ("nameserver 127.0.0.53\nnameserver 10.0.0.2\n", "nameserver 192.168.1.1\n", ("10.0.0.2",)),
        ("nameserver\nnameserver nonsense\n# nameserver 1.1.1.1\n", None, ()),
        (None, None, ()),
    ],
)
def test_else_the_hosts_own_but_for_its_loopback(
    tmp_path: Path, first: str | None, second: str | None, expected: tuple[str, ...]
) -> None:
    files = (tmp_path / "first", tmp_path / "second")
    for file, text in zip(files, (first, second), strict=True):
        if text is not None:
            file.write_text(text)
    assert addresses(resolvers((), files)) == dns(*expected)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", []),
        ("http://10.0.0.1", [("10.0.0.1", 80)]),
        ("https://10.0.0.1", [("10.0.0.1", 443)]),
        ("https://[fd00::1]:31001", [("fd00::1", 31001)]),
        ("http://127.0.0.1:3233", []),  # the container's own
    ],
)
def test_the_api_is_where_its_url_says(url: str, expected: list[tuple[str, int]]) -> None:
    assert [(each.address, each.port) for each in api(url)] == expected


def test_names_need_dns_and_addresses_do_not() -> None:
    urls = ("http://ow.example", "http://localhost:80", "https://10.0.0.1", "https://[fd00::1]:31001", "")
    assert [is_name(url) for url in urls] == [True, True, False, False, False]
