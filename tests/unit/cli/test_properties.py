"""Whose operator's key goes to which server."""

import os
from pathlib import Path

import pytest

from upcall.cli.properties import Properties, find


def a_process(data: Path, name: str, address: str, written: float = 100.0) -> None:
    """What a role leaves in its folder; its password is its name."""
    folder = data / name
    folder.mkdir()
    (folder / ".wskprops").write_text(f"APIHOST={address}\nNAMESPACE=_\n")
    (folder / ".operator").write_text(f"user:{name}\n")
    os.utime(folder / ".wskprops", (written, written))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number in range(2):
        a_process(tmp_path, f"invoker{number}", f"http://127.0.0.1:{8080 + number}")
    a_process(tmp_path, "controllera", "http://10.0.0.1:8090")
    return tmp_path


def found(data: Path, server: str, **environment: str) -> Properties:
    return find({"apihost": server}, {"UPCALL_DATA": str(data), "WSK_CONFIG_FILE": str(data / "none"), **environment})


@pytest.mark.parametrize(
    ("server", "key"),
    [
        ("http://127.0.0.1:8080", "user:invoker0"),
        ("http://localhost:8081", "user:invoker1"),
        ("[::1]:8081", "user:invoker1"),
        ("http://10.0.0.1:8090", "user:controllera"),
        ("http://10.0.0.2:8080", ""),
        ("http://127.0.0.1:8090", ""),
        ("http://127.0.0.1:8079", ""),
        ("http://127.0.0.1", ""),
        ("http://127.0.0.1:x", ""),
        ("http://[::1", ""),
    ],
)
def test_a_process_of_this_machine_is_known_by_its_address(data: Path, server: str, key: str) -> None:
    assert found(data, server).get("operator") == key


def test_of_two_that_had_the_address_the_later_one_counts(data: Path) -> None:
    a_process(data, "invoker9", "http://127.0.0.1:8080", written=99.0)
    assert found(data, "localhost:8080").get("operator") == "user:invoker0"
    a_process(data, "controller0", "http://127.0.0.1:8080", written=101.0)
    assert found(data, "localhost:8080").get("operator") == "user:controller0"


def test_what_is_given_comes_first_and_no_other_key_goes_along(data: Path) -> None:
    assert found(data, "localhost:8080", UPCALL_OPERATOR="me:x").get("operator") == "me:x"
    assert found(data, "localhost:8080").get("auth") == ""
    (data / "invoker0" / ".operator").unlink()
    assert found(data, "localhost:8080").get("operator") == ""
