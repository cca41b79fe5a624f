"""Where groups are committed: on the loop, or in the thread."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from upcall.store.calm import BYTES, ROWS, Calm
from upcall.store.worker import Worker
from upcall.store.writer import Writer


class Rows:
    """A source that keeps what it gave until it is done."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.taken: list[int] = []
        self.weight = 0
        self.ends: list[Exception | None] = []
        self.wake: Callable[[], None] = lambda: None

    def take(self) -> list[int]:
        self.taken, self.rows = self.rows, []
        return self.taken

    def done(self, error: Exception | None) -> None:
        self.ends.append(error)
        if error is not None:
            self.rows = self.taken + self.rows
            self.wake()


class Scene:
    def __init__(self, writer: Writer, path: Path) -> None:
        self.rows = Rows()
        self.rows.wake = writer.wake
        self.writer = writer
        self.path = path
        self.threads: list[bool] = []
        """Of each group, whether it was written on the loop."""
        self.loop = threading.get_ident()
        self.fail: Exception | None = None
        writer.attach(self.rows, self.write)

    def write(self, connection: sqlite3.Connection, rows: Sequence[int]) -> None:
        self.threads.append(threading.get_ident() == self.loop)
        connection.executemany("INSERT INTO numbers VALUES (?)", [(row,) for row in rows])
        if self.fail is not None:
            raise self.fail

    def give(self, *rows: int) -> None:
        self.rows.rows += rows
        self.writer.wake()

    async def ends(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.rows.ends) < count:
                await asyncio.sleep(0.001)

    def stored(self) -> list[int]:
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            return [row[0] for row in connection.execute("SELECT * FROM numbers ORDER BY 1")]


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None, check_same_thread=False, timeout=0)
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE numbers (n INTEGER)")
        return connection

    worker = Worker("test", connect)
    await worker.open()
    yield worker
    await worker.close()


@pytest.fixture
async def scene(worker: Worker, tmp_path: Path) -> Scene:
    return Scene(Writer(worker, linger=0.0), tmp_path / "a.db")


async def test_a_small_group_of_rows_is_committed_on_the_loop(scene: Scene) -> None:
    scene.give(1, 2)
    await asyncio.sleep(0)
    assert (scene.threads, scene.rows.ends, scene.stored()) == ([True], [None], [1, 2])


async def test_jobs_and_what_shares_their_group_are_the_threads(scene: Scene) -> None:
    scene.give(1)
    async with asyncio.timeout(30):
        assert await scene.writer.call(lambda connection: threading.get_ident()) != scene.loop
    assert (scene.threads, scene.rows.ends) == ([False], [None])


@pytest.mark.parametrize(("count", "weight"), [(ROWS + 1, 0), (1, BYTES + 1)])
async def test_a_large_group_is_the_threads(scene: Scene, count: int, weight: int) -> None:
    scene.rows.weight = weight
    scene.give(*range(count))
    await scene.ends(1)
    assert (scene.threads, len(scene.stored())) == ([False], count)


async def test_where_each_commit_waits_for_the_disk_all_are_the_threads(worker: Worker, tmp_path: Path) -> None:
    scene = Scene(Writer(worker, linger=0.0, calm=Calm(ever=False)), tmp_path / "a.db")
    scene.give(1)
    await scene.ends(1)
    assert scene.threads == [False]


async def test_another_process_that_writes_is_waited_for_in_the_thread(scene: Scene) -> None:
    with contextlib.closing(sqlite3.connect(scene.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        scene.give(1)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert scene.rows.ends == [], "and the loop goes on"
        other.execute("COMMIT")
        await scene.ends(1)
    assert (scene.threads, scene.rows.ends, scene.stored()) == ([False], [None], [1])
    scene.give(2)
    await asyncio.sleep(0)
    assert scene.threads == [False, True], "it was no fault of the disk"


async def test_a_failure_on_the_loop_undoes_the_group_and_the_thread_tries_again(scene: Scene) -> None:
    scene.fail = sqlite3.OperationalError("database or disk is full")
    scene.give(1, 2)
    await asyncio.sleep(0)
    assert (scene.threads, len(scene.rows.ends), scene.stored()) == ([True], 1, [])
    assert scene.writer.trouble == "database or disk is full"
    scene.fail = None
    await scene.ends(2)
    assert (scene.threads, scene.rows.ends[1], scene.stored()) == ([True, False], None, [1, 2])
    assert scene.writer.trouble is None


async def test_each_commit_is_told(worker: Worker, tmp_path: Path) -> None:
    commits: list[str] = []
    writer = Writer(worker, linger=0.0, on_commit=lambda: commits.append("one"))
    scene = Scene(writer, tmp_path / "a.db")
    scene.give(1)
    await scene.ends(1)
    await writer.call(lambda connection: None)
    scene.fail = sqlite3.OperationalError("disk I/O error")
    scene.give(2)
    await scene.ends(2)
    assert commits == ["one", "one"]
    scene.fail = None
    await scene.ends(3)
