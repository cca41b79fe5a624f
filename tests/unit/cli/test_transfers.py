"""The other side of an import or an export, and from when on records are wanted."""

import time
from pathlib import Path

import pytest

from upcall.cli import transfers
from upcall.cli.refusal import Refused
from upcall.model.store_url import CouchUrl

URL = "couchdb://whisk:inside@db:1234/test_"


def couch(url: str = URL, file: Path | None = None, names: tuple[str | None, ...] = (None, None, None)) -> CouchUrl:
    return transfers.couch(url, file, *names)


def test_databases_by_prefix_or_by_name() -> None:
    found = couch()
    assert (found.subjects, found.entities, found.activations) == ("test_subjects", "test_whisks", "test_activations")
    found = couch(names=("a", None, "c"))
    assert (found.subjects, found.entities, found.activations) == ("a", "test_whisks", "c")


def test_the_password_of_the_file_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert couch().password == "inside"
    monkeypatch.setenv(transfers.PASSWORD, "variable")
    assert couch().password == "variable"
    file = tmp_path / "password"
    file.write_bytes(b"of the file\r\nmore\n")
    assert couch(file=file).password == "of the file"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_has_no_password(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Refused, match="password cannot be read"):
        couch(file=file)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-11-01", 1793491200000),
        ("2026-11-01T12:00", 1793534400000),
        ("2026-11-01T12:00+02:00", 1793527200000),
    ],
)
def test_a_date(text: str, ms: int) -> None:
    assert transfers.moment(text, activations=True) == ms


def test_a_time_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1795400000.0)
    assert transfers.moment("7d", activations=True) == 1794795200000
    assert transfers.moment(None, activations=False) == 0


@pytest.mark.parametrize("text", ["yesterday", "", "1900-01-01", "99999999d", "inf"])
def test_no_moment(text: str) -> None:
    with pytest.raises(Refused, match="--since"):
        transfers.moment(text, activations=True)
