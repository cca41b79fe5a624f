import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.documents import action
from upcall.errors import Misconfigured
from upcall.store.migrate import APPLICATION, MIGRATIONS, migrate
from upcall.store.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "upcall.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def steps(folder: Path, *texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for number, text in enumerate(texts, 1):
        (folder / f"{number:04}_step.sql").write_text(text)
    return folder


def version(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def test_the_files_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(file.name[:4]) for file in MIGRATIONS.glob("*.sql"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_fresh_file_gets_the_newest_version(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection, path)
    assert version(connection) == len(list(MIGRATIONS.glob("*.sql")))
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
    assert connection.execute("SELECT count(*) FROM activations").fetchone() == (0,)


def test_again_it_changes_nothing(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection, path)
    before = connection.execute("SELECT * FROM sqlite_master").fetchall()
    migrate(connection, path)
    assert connection.execute("SELECT * FROM sqlite_master").fetchall() == before


def test_an_empty_file_is_a_fresh_one(connection: sqlite3.Connection, path: Path) -> None:
    path.touch()
    migrate(connection, path)
    assert version(connection) > 0


def test_only_what_is_missing_is_applied(connection: sqlite3.Connection, path: Path, tmp_path: Path) -> None:
    first, second = "CREATE TABLE t (a);", "INSERT INTO t VALUES (';');\nALTER TABLE t ADD COLUMN b;"
    migrate(connection, path, steps(tmp_path / "sql", first))
    assert version(connection) == 1
    migrate(connection, path, steps(tmp_path / "sql", first, second))
    assert version(connection) == 2
    assert connection.execute("SELECT * FROM t").fetchall() == [(";", None)]


def test_a_guest_makes_a_fresh_file_and_leaves_an_older_one(
    connection: sqlite3.Connection, path: Path, tmp_path: Path
) -> None:
    migrate(connection, path, steps(tmp_path / "sql", "CREATE TABLE t (a);"), owner=False)
    assert version(connection) == 1
    folder = steps(tmp_path / "sql", "CREATE TABLE t (a);", "CREATE TABLE u (a);")
    with pytest.raises(Misconfigured, match=r"version 1, .* writes version 2, .*Use that release's command"):
        migrate(connection, path, folder, owner=False)
    assert version(connection) == 1


def test_many_may_make_a_fresh_file_at_once(path: Path) -> None:
    def make(_: int) -> int:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
            migrate(connection, path)
            return version(connection)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(make, range(8))) == {len(list(MIGRATIONS.glob("*.sql")))}


def test_a_step_that_fails_leaves_nothing(connection: sqlite3.Connection, path: Path, tmp_path: Path) -> None:
    folder = steps(tmp_path / "sql", "CREATE TABLE t (a);", "CREATE TABLE u (a); CREATE TABLE t (a);")
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(connection, path, folder)
    assert version(connection) == 1
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]


def test_a_disk_that_refuses_is_named(connection: sqlite3.Connection, path: Path, tmp_path: Path) -> None:
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(Misconfigured, match=r"upcall\.db cannot be brought to database version 1: .*full.*--data"):
        migrate(connection, path, steps(tmp_path / "sql", "CREATE TABLE t (a); CREATE TABLE u (a);"))


async def test_a_newer_database_is_refused_and_not_touched(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection, path)
    connection.execute("PRAGMA user_version = 77")
    before = path.read_bytes()
    with pytest.raises(Misconfigured, match=r"upcall\.db has database version 77.* up to \d+.*Start that release"):
        await SqliteStore(path).open()
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_and_not_touched(path: Path) -> None:
    path.write_text("garbage " * 1000)
    with pytest.raises(Misconfigured, match=r"upcall\.db is not an SQLite database.*--data"):
        await SqliteStore(path).open()
    assert path.read_text() == "garbage " * 1000


async def test_another_programs_database_is_refused(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("CREATE TABLE theirs (a)")
    with pytest.raises(Misconfigured, match="another program"):
        await SqliteStore(path).open()


async def test_a_folder_that_is_missing_is_named(path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"nowhere/upcall\.db cannot be opened.*Make its folder"):
        await SqliteStore(path.parent / "nowhere" / path.name).open()


async def test_the_file_holds_keys_and_is_its_owners_alone(path: Path) -> None:
    async with SqliteStore(path) as store:
        await store.put(action())
        assert path.stat().st_mode & 0o077 == 0
        assert path.with_name("upcall.db-wal").stat().st_mode & 0o077 == 0
