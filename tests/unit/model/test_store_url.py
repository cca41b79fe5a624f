from pathlib import Path

import pytest

from upcall.model.store_url import PostgresUrl, SqliteUrl, parse_store


@pytest.mark.parametrize(
    ("text", "path"),
    [("sqlite:////var/lib/a.db", "/var/lib/a.db"), ("sqlite:///a/b.db", "a/b.db"), ("sqlite:////a%20b.db", "/a b.db")],
)
def test_a_file(text: str, path: str) -> None:
    assert parse_store(text) == SqliteUrl(Path(path))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://u:pw@h:5433/db", "postgresql://u:***@h:5433/db"),
        ("postgres://u@h/db", "postgresql://u@h/db"),
        ("postgresql://u:p%40w@h1:1,h2:2/db?sslmode=require", "postgresql://u:***@h1:1,h2:2/db"),
        ("postgresql://u@/db?host=/run/pg&password=pw&sslpassword=pw", "postgresql://u@/db?host=/run/pg"),
        ("postgresql://u:pw@[::1]:5432/db", "postgresql://u:***@[::1]:5432/db"),
        ("postgresql:///db", "postgresql:///db"),
    ],
)
def test_a_database_is_shown_without_its_password(text: str, masked: str) -> None:
    found = parse_store(text)
    assert isinstance(found, PostgresUrl)
    assert found.url == text.replace("postgres://", "postgresql://")
    assert found.masked == masked
    assert repr(found) == f"PostgresUrl({masked})"


@pytest.mark.parametrize(
    "text",
    [
        "upcall.db",
        "mysql://u:secret@h/db",
        "sqlite://secret",
        "sqlite:///",
        "postgresql://u:sec/ret@h/db",
        "postgresql://u:sec?ret@h/db",
        "postgresql://u:sec#ret@h/db",
        "postgresql://u:secret@h:port/db",
        "postgresql://h:secret/db",
        "postgresql://h:99999/db",
        "postgresql://u:secret@[::1/db",
        "postgresql://u:secret\n@h/db",
    ],
)
def test_what_is_none_is_refused_without_quoting_a_password(text: str) -> None:
    with pytest.raises(ValueError, match=r"store|file|URL") as refused:
        parse_store(text)
    if not text.startswith("sqlite"):
        assert "secret" not in str(refused.value)
        assert "sec" not in str(refused.value).replace("second", "")
