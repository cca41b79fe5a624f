"""An action's `exec` from a file and flags, and back."""

import base64
from pathlib import Path

import click
import pytest

from upcall.cli.codefile import Wanted, content, exec_of, file_name
from upcall.cli.refusal import Refused

PACKED = b"PK\x03\x04"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.js", "nodejs:default"),
        ("a.py", "python:default"),
        ("a.PY", "python:default"),
        ("a.swift", "swift:default"),
        ("a.php", "php:default"),
        ("a.rb", "ruby:default"),
        ("a.rs", "rust:default"),
        ("a.go", "go:default"),
    ],
)
def test_the_extension_says_the_kind(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_text("code ☃\n")
    assert exec_of(str(tmp_path / name), Wanted(), "_") == {"kind": kind, "code": "code ☃\n"}


def test_packed_code_is_base64_whatever_its_bytes(tmp_path: Path) -> None:
    for name in ("a.zip", "a.jar", "a.balx"):
        (tmp_path / name).write_bytes(b"text")
    sent = base64.b64encode(b"text").decode()
    assert exec_of(str(tmp_path / "a.jar"), Wanted(main="Main"), "_") == {
        "kind": "java:default",
        "code": sent,
        "main": "Main",
    }
    assert exec_of(str(tmp_path / "a.balx"), Wanted(), "_") == {"kind": "ballerina:default", "code": sent}
    assert exec_of(str(tmp_path / "a.zip"), Wanted(kind="nodejs:20"), "_") == {"kind": "nodejs:20", "code": sent}


def test_programs_and_images(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(b"\x7fELF\xff")
    sent = base64.b64encode(b"\x7fELF\xff").decode()
    native = {"kind": "blackbox", "image": "openwhisk/dockerskeleton", "code": sent}
    assert exec_of(str(path), Wanted(native=True), "_") == native
    assert exec_of(str(path), Wanted(docker="me/img:1"), "_") == {**native, "image": "me/img:1"}
    assert exec_of(None, Wanted(docker="me/img:1"), "_") == {"kind": "blackbox", "image": "me/img:1"}
    assert exec_of(None, Wanted(), "_") is None


def test_sequences_name_whole_actions() -> None:
    made = exec_of("a, /ns/b,p/c", Wanted(sequence=True), "guest")
    assert made == {"kind": "sequence", "components": ["/guest/a", "/ns/b", "/guest/p/c"]}


@pytest.mark.parametrize(
    ("artifact", "wanted"),
    [
        ("a.foo", Wanted()),
        ("a.zip", Wanted()),
        ("a.jar", Wanted()),
        (None, Wanted(kind="python:3")),
        (None, Wanted(native=True)),
        (None, Wanted(main="main")),
        (None, Wanted(sequence=True)),
        ("a,,b", Wanted(sequence=True)),
        ("a.py", Wanted(kind="python:3", native=True)),
        ("a.py", Wanted(docker="a/b", sequence=True)),
    ],
)
def test_flags_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: str | None, wanted: Wanted
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.foo", "a.zip", "a.jar", "a.py"):
        (tmp_path / name).write_bytes(PACKED)
    with pytest.raises(click.UsageError):
        exec_of(artifact, wanted, "_")


@pytest.mark.parametrize(
    ("held", "name"),
    [
        ({"kind": "python:3", "binary": False}, "a.py"),
        ({"kind": "python:3", "binary": True}, "a.zip"),
        ({"kind": "nodejs:20"}, "a.js"),
        ({"kind": "java:8", "binary": True}, "a.jar"),
        ({"kind": "blackbox", "binary": False}, "a"),
        ({"kind": "blackbox", "binary": True}, "a.zip"),
    ],
)
def test_names_of_saved_code(held: dict[str, object], name: str) -> None:
    assert file_name("a", held) == name


def test_what_was_sent_comes_back() -> None:
    assert content({"kind": "python:3", "code": "x = '☃'", "binary": False}) == "x = '☃'".encode()
    assert content({"kind": "python:3", "code": "UEsDBA==", "binary": True}) == PACKED


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ({"kind": "sequence", "components": []}, "this is a sequence"),
        ({"kind": "blackbox", "image": "a/b"}, "this is an image"),
        ({"kind": "python:3"}, "this is an action without code"),
        ({"kind": "python:3", "code": "$", "binary": True}, "is no base64"),
    ],
)
def test_what_cannot_be_saved(held: dict[str, object], says: str) -> None:
    with pytest.raises(Refused, match=says):
        content(held)
