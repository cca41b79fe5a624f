"""Names of entities as users write them."""

import click
import pytest

from upcall.cli.client import Client
from upcall.cli.properties import Properties, Value
from upcall.cli.refusal import Refused, exit_code
from upcall.cli.session import Name, name

CLIENT = Client(
    Properties({"apihost": Value("h", ""), "namespace": Value("mine", "")}, ()),
    lambda text: None,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", Name("mine", "hello")),
        ("pkg/hello", Name("mine", "pkg/hello")),
        ("/ns/hello", Name("ns", "hello")),
        ("/ns/pkg/hello", Name("ns", "pkg/hello")),
        ("ns/pkg/hello", Name("ns", "pkg/hello")),
        ("/_/a b", Name("_", "a b")),
    ],
)
def test_names(text: str, expected: Name) -> None:
    assert name(CLIENT, text) == expected
    assert str(expected) == f"/{expected.namespace}/{'/'.join(expected.segments)}"


@pytest.mark.parametrize("text", ["", "/", "/a", "a/", "a//b", "//a", "a/b/c/d", "/a/b/c/d"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(click.UsageError, match="is no name"):
        name(CLIENT, text)


@pytest.mark.parametrize(
    ("status", "code"), [(400, 144), (401, 145), (403, 147), (404, 148), (409, 153), (413, 157), (429, 173), (502, 246)]
)
def test_exit_codes(status: int, code: int) -> None:
    assert exit_code(status) == code


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("h", "https://h"),
        ("h:443", "https://h:443"),
        ("localhost:3233/", "https://localhost:3233"),
        ("http://127.0.0.1:3233", "http://127.0.0.1:3233"),
        ("HTTPS://H/base/", "https://h/base"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_addresses(host: str, url: str) -> None:
    client = Client(Properties({"apihost": Value(host, "")}, ()), lambda text: None)
    assert str(client.address) == url
    assert client.url("web", "a b", "x") == f"{url}/api/v1/web/a%20b/x"


@pytest.mark.parametrize("host", ["", "://", "http://", "ftp://h", "h:x", "h?q", "u@h", "a b"])
def test_what_is_no_address(host: str) -> None:
    with pytest.raises(Refused) as caught:
        Client(Properties({"apihost": Value(host, "")}, ()), lambda text: None)
    assert caught.value.code == 2
