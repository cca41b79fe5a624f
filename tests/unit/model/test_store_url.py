from pathlib import Path

import pytest

from upcall.model.store_url import CouchUrl, PostgresUrl, SqliteUrl, parse_store


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
        "couchdb://u:sec/ret@h/",
        "couchdb://u:secret@h:port/x_",
        "couchdb://u:secret@/x_",
        "couchdb://u:secret@h/x_/y",
        "couchdb://u:secret@h/x_?a=b",
    ],
)
def test_what_is_none_is_refused_without_quoting_a_password(text: str) -> None:
    with pytest.raises(ValueError, match=r"store|file|URL") as refused:
        parse_store(text)
    if not text.startswith("sqlite"):
        assert "secret" not in str(refused.value)
        assert "sec" not in str(refused.value).replace("second", "")


def test_databases_of_couchdb() -> None:
    found = parse_store("couchdb://who:p%40w@h:5985/whisk_local_")
    assert isinstance(found, CouchUrl)
    assert (found.url, found.username, found.password) == ("http://h:5985", "who", "p@w")
    assert (found.subjects, found.entities) == ("whisk_local_subjects", "whisk_local_whisks")
    assert found.activations == "whisk_local_activations"
    assert found.masked == "couchdb://who:***@h:5985/whisk_local_"
    assert "p@w" not in repr(found)


def test_databases_of_couchdb_over_https_and_with_names_of_their_own() -> None:
    found = parse_store("couchdbs://[::1]")
    assert isinstance(found, CouchUrl)
    assert (found.url, found.masked) == ("https://[::1]:6984", "couchdbs://[::1]:6984/")
    named = CouchUrl(host="h", port=1, username="u", password="pw", subjects="s", entities="e", activations="a")
    assert named.masked == "couchdb://u:***@h:1/s,e,a"
