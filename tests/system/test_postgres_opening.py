"""The store in PostgreSQL is opened, or it is said why not: versions, rights, passwords."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.contract.documents import action
from tests.system.operating import upcall
from upcall.errors import Misconfigured
from upcall.model.entities import Action
from upcall.model.store_url import PostgresUrl
from upcall.store import choice
from upcall.store.postgres import PostgresStore
from upcall.store.postgres_changes import Changes
from upcall.store.postgres_link import Connection, Link
from upcall.store.postgres_migrate import MIGRATIONS, migrate

if TYPE_CHECKING:
    from tests.system.postgres import Server

pytest_plugins = ["tests.system.postgres"]

SECRET = "s3cr3t-Word"


@pytest.fixture
async def url(postgres: "Server") -> PostgresUrl:
    return PostgresUrl(await postgres.database())


@pytest.fixture
async def connection(url: PostgresUrl) -> AsyncIterator[Connection]:
    made = await asyncpg.connect(url.url)
    yield made
    await made.close()


@pytest.fixture
async def keeper(postgres: "Server", url: PostgresUrl) -> AsyncIterator[str]:
    """A role that has to give a password."""
    await postgres.run(f"CREATE ROLE keeper LOGIN PASSWORD '{SECRET}'")
    yield "keeper"
    await postgres.run("DROP OWNED BY keeper", database=url.url.partition("?")[0].rpartition("/")[2])
    await postgres.run("DROP ROLE keeper")


def test_the_files_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(file.name[:4]) for file in MIGRATIONS.glob("*.sql"))
    assert numbers == list(range(1, len(numbers) + 1))


async def test_many_that_start_together_make_the_tables_once(url: PostgresUrl, connection: Connection) -> None:
    stores = await asyncio.gather(*(PostgresStore(url, owner=number % 2 == 0).open() for number in range(6)))
    await asyncio.gather(*(store.close() for store in stores))
    assert await connection.fetch("SELECT number FROM upcall.version") == [(len(list(MIGRATIONS.glob("*.sql"))),)]


def more_steps(folder: Path, *texts: str) -> Path:
    """The files that are, and newer ones."""
    files = [file.read_text() for file in sorted(MIGRATIONS.glob("*.sql"))]
    for number, text in enumerate([*files, *texts], 1):
        (folder / f"{number:04}_step.sql").write_text(text)
    return folder


async def test_the_next_version_keeps_what_is_there(url: PostgresUrl, connection: Connection, tmp_path: Path) -> None:
    async with PostgresStore(url) as store:
        await store.put(action())
    folder = more_steps(tmp_path, "CREATE TABLE upcall.more (n int)")
    await migrate(connection, url.masked, folder)
    assert await connection.fetchval("SELECT count(*) FROM upcall.documents") == 1
    assert await connection.fetchval("SELECT count(*) FROM upcall.more") == 0
    with pytest.raises(Misconfigured, match=r"database version 2, this release .* up to 1: a newer release wrote it"):
        await PostgresStore(url).open()


async def test_a_step_that_fails_leaves_the_version_before(
    url: PostgresUrl, connection: Connection, tmp_path: Path
) -> None:
    await migrate(connection, url.masked)
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await migrate(connection, url.masked, more_steps(tmp_path, "CREATE TABLE upcall.more (n int); nonsense"))
    assert await connection.fetchval("SELECT to_regclass('upcall.more')") is None
    async with PostgresStore(url) as store:
        await store.put(action())


async def test_a_command_changes_no_older_database(url: PostgresUrl, connection: Connection, tmp_path: Path) -> None:
    await migrate(connection, url.masked)
    with pytest.raises(Misconfigured, match="Start this release's 'upcall serve' once"):
        await migrate(connection, url.masked, more_steps(tmp_path, "SELECT 1"), owner=False)


async def test_passwords_are_asked_for_and_never_shown(
    url: PostgresUrl, postgres: "Server", keeper: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = url.url.partition("?")[0].rpartition("/")[2]
    await postgres.run(f"GRANT CREATE ON DATABASE {name} TO {keeper}")
    right = PostgresUrl(postgres.url(name, keeper, SECRET))
    async with PostgresStore(right) as store:
        await store.put(action())
        await store.get(Action, "guest/hello")
    wrong = PostgresUrl(postgres.url(name, keeper, f"not-{SECRET}"))
    with pytest.raises(Misconfigured, match="refuses the user or the password") as refused:
        await PostgresStore(wrong).open()
    done = await asyncio.to_thread(
        upcall, "user", "list", "guest", environment={"UPCALL_STORE": wrong.url, "UPCALL_DATA": "/nonexistent"}
    )
    assert done.code == 1
    assert "postgresql://keeper:***@" in done.err
    for text in (str(refused.value), repr(wrong), done.out, done.err, caplog.text):
        assert SECRET not in text


async def test_who_may_not_make_a_schema_is_told_what_to_do(url: PostgresUrl, postgres: "Server", keeper: str) -> None:
    name = url.url.partition("?")[0].rpartition("/")[2]
    with pytest.raises(Misconfigured, match=f"GRANT CREATE ON DATABASE {name} TO keeper"):
        await PostgresStore(PostgresUrl(postgres.url(name, keeper, SECRET))).open()


async def test_a_server_that_is_not_there_and_a_database_that_is_not(postgres: "Server", tmp_path: Path) -> None:
    with pytest.raises(
        Misconfigured, match=r"cannot be used: No such file or directory\. Look whether the server runs"
    ):
        await PostgresStore(PostgresUrl(f"postgresql://u@/d?host={tmp_path}")).open()
    with pytest.raises(Misconfigured, match="the database does not exist"):
        await PostgresStore(PostgresUrl(postgres.url("no_such"))).open()


async def test_a_platform_waits_for_a_server_that_starts_with_it(
    postgres: "Server", tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = (await postgres.database()).partition("?")[0].rpartition("/")[2]
    (door := tmp_path / "door").mkdir()
    absent = PostgresUrl(f"postgresql://postgres@/{name}?host={door}")

    async def start() -> bool:
        async with choice.opened(absent, tmp_path, "normal") as store:
            return await store.identity("no", "body") is None

    starting = asyncio.create_task(start())
    async with asyncio.timeout(20):
        while "does not answer: No such file or directory; waiting 20 s for it" not in caplog.text:
            await asyncio.sleep(0.01)
    socket = ".s.PGSQL.5432"
    (door / socket).symlink_to(postgres.folder / socket)
    assert await starting
    assert len(caplog.records) == 1


async def test_a_platform_waits_no_longer_than_that_and_not_for_what_will_not_change(
    postgres: "Server", tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "PATIENCE", 0.0)
    with pytest.raises(
        Misconfigured, match=r"cannot be used: No such file or directory\. Look whether the server runs"
    ):
        async with choice.opened(PostgresUrl(f"postgresql://u@/d?host={tmp_path}"), tmp_path, "normal"):
            pass
    monkeypatch.undo()
    caplog.clear()
    with pytest.raises(Misconfigured, match="the database does not exist"):
        async with choice.opened(PostgresUrl(postgres.url("no_such")), tmp_path, "normal"):
            pass
    assert not caplog.records


async def test_behind_a_pooler_that_hands_sessions_around_nothing_is_kept(
    url: PostgresUrl, postgres: "Server", monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Such a one hears nothing of what others notify, as one that listens in another database."""

    class Elsewhere(Link):
        async def connect(self) -> Connection:
            return await asyncpg.connect(postgres.url())

    monkeypatch.setattr("upcall.store.postgres_changes.BEAT", 0.2)
    link = await Elsewhere(url).open()
    changes = Changes(link)
    await changes.open()
    assert changes.current is None
    assert "pool_mode = session" in caplog.text
    await changes.close()
    await link.close()


def test_without_the_driver_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(Misconfigured, match=r"PostgreSQL needs the package asyncpg: .* -m pip install asyncpg"):
        choice.beside(PostgresUrl("postgresql://u@h/d"))


async def test_commands_work_on_it_and_backup_names_postgresql_s_own_tool(url: PostgresUrl, tmp_path: Path) -> None:
    where = {"UPCALL_STORE": url.url, "UPCALL_DATA": str(tmp_path)}

    async def run(*words: str) -> tuple[int, str, str]:
        return await asyncio.to_thread(upcall, *words, environment=where)

    code, auth, _ = await run("user", "create", "alice")
    assert code == 0
    assert (await run("user", "whois", auth.strip()))[:2] == (0, "subject: alice\nnamespace: alice\n")
    assert (await run("user", "block", "alice"))[0] == 0
    assert (await run("user", "whois", auth.strip()))[0] == 1
    assert (await run("limits", "set", "alice", "--invocationsPerMinute", "7"))[0] == 0
    assert (await run("limits", "get", "alice", "--store", url.url))[1] == "invocationsPerMinute = 7\n"
    code, _, err = await run("backup", str(tmp_path / "copy"))
    assert code != 0
    assert "pg_dump --format=custom --schema=upcall" in err
    assert os.listdir(tmp_path) == []
