"""`upcall backup`: what it holds, while others write, and what it refuses."""

import os
import pty
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.system.operating import upcall
from tests.system.serving import Platform, running
from upcall.errors import Misconfigured
from upcall.store import backup


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("backup") / "data") as platform:
        platform.create("hello", "def main(args): return args")
        yield platform


def ids(file: Path) -> list[str]:
    """Of the records in a copy."""
    with closing(sqlite3.connect(file)) as connection:
        return [row[0].partition("/")[2] for row in connection.execute("SELECT id FROM activations ORDER BY n")]


def restored(file: Path, folder: Path) -> Path:
    """As the help says."""
    folder.mkdir(mode=0o700)
    shutil.copy(file, folder / "upcall.db")
    return folder


def test_a_restored_copy_has_everything_with_its_keys(platform: Platform, tmp_path: Path) -> None:
    pair = upcall("user", "create", "alice", data=platform.data).out.strip()
    upcall("limits", "set", "alice", "--invocationsPerMinute", "7", data=platform.data)
    id = platform.invoke("hello", {"n": 1}).body["activationId"]
    assert platform.call("GET", f"activations/{id}").status == 200
    until_written = platform.call("GET", "activations").body
    code, out, err = upcall("backup", str(tmp_path / "copy"), data=platform.data)
    assert (code, err) == (0, "")
    assert out.endswith("MB, checked\n")
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy"], "one file, and nothing beside it"
    with running(restored(tmp_path / "copy", tmp_path / "new")) as other:
        assert other.auth == platform.auth
        assert other.call("GET", f"activations/{id}").body["response"]["result"] == {"n": 1}
        assert other.invoke("hello", {"n": 2}, "blocking=true&result=true").body == {"n": 2}
        assert other.call("GET", "actions", auth=pair).status == 200
        assert len(other.call("GET", "activations").body) == len(until_written) + 1
    assert upcall("limits", "get", "alice", data=tmp_path / "new").out == "invocationsPerMinute = 7\n"


def test_under_load_it_is_of_one_moment(platform: Platform, tmp_path: Path) -> None:
    """No record lacks one that was there before it."""
    going = True

    def load() -> list[str]:
        made = []
        while going:
            made.append(platform.invoke("hello", {"x": "y" * 5000}).body["activationId"])
        return made

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load)
        copies = [tmp_path / f"copy{number}" for number in range(3)]
        outcomes = [upcall("backup", str(copy), data=platform.data) for copy in copies]
        going = False
        made = loading.result()
    assert [outcome.code for outcome in outcomes] == [0, 0, 0], outcomes
    for copy in copies:
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        held = [id for id in ids(copy) if id in made]
        assert held == made[: len(held)]


def test_it_is_of_one_moment_whatever_is_written_between_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    assert upcall("user", "create", "alice", data=data).code == 0
    steps = []
    with closing(sqlite3.connect(data / "upcall.db", isolation_level=None)) as writer:
        writer.execute("CREATE TABLE filler (a)")
        writer.executemany("INSERT INTO filler VALUES (?)", [("x" * 4000,)] * 100)

        def write(done: int, all: int) -> None:
            steps.append((done, all))
            writer.execute("DELETE FROM filler WHERE rowid % 2 = 0")
            writer.execute("INSERT INTO filler VALUES ('late')")

        monkeypatch.setattr(backup, "PAGES", 10)
        backup.back_up(data / "upcall.db", tmp_path / "copy", write)
    assert len(steps) > 5, "it began once"
    assert steps[-1][0] == steps[-1][1]
    with closing(sqlite3.connect(tmp_path / "copy")) as copy:
        assert copy.execute("SELECT count(*), max(length(a)), min(length(a)) FROM filler").fetchone() == (
            100,
            4000,
            4000,
        )


def test_a_file_that_is_there_stays_unless_forced(platform: Platform, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_text("precious")
    code, out, err = upcall("backup", str(copy), data=platform.data)
    assert (code, out) == (1, "")
    assert "is there already" in err
    assert "--force" in err
    assert copy.read_text() == "precious"
    assert upcall("backup", "--force", str(copy), data=platform.data).code == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.read_bytes().startswith(b"SQLite format 3")


def test_what_cannot_be_copied_is_said_in_one_line_and_leaves_nothing(platform: Platform, tmp_path: Path) -> None:
    here = str(platform.data)
    for words, text in (
        (("copy", "--data", str(tmp_path / "none")), "there is no database in"),
        ((str(tmp_path / "none" / "copy"), "--data", here), "No such file or directory"),
        (("/dev/full/copy", "--data", here), "Not a directory"),
    ):
        code, out, err = upcall("backup", *words)
        assert (code, out) == (1, ""), words
        assert text in err
        assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_database_gives_no_copy(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert upcall("user", "create", "alice", data=data).code == 0
    file = data / "upcall.db"
    content = bytearray(file.read_bytes())
    at = content.index(b"alice")  # within a page of the documents
    content[at - at % 4096 : at - at % 4096 + 200] = b"\xff" * 200
    file.write_bytes(content)
    code, out, err = upcall("backup", str(tmp_path / "copy"), data=data)
    assert (code, out) == (1, "")
    assert "cannot be copied" in err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data"]


def test_a_copy_that_finds_no_room_leaves_nothing(platform: Platform, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "upcall", "backup", str(tmp_path / "copy"), "--data", str(platform.data)]
    limited = ["bash", "-c", 'ulimit -f 8; exec "$@"', "-", *words]  # files of 8 KB
    done = subprocess.run(limited, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "cannot be copied" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def on_a_terminal() -> Callable[[], str]:
    """What `_progress` writes to one."""

    def run() -> str:
        code = (
            "from upcall.cli.backup import _progress\n"
            "show = _progress()\n"
            "for done in range(0, 50_001, 250): show(done, 50_000)\n"
        )
        ours, theirs = pty.openpty()
        subprocess.run([sys.executable, "-c", code], stderr=theirs, stdin=theirs, check=True, timeout=60)
        os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            return terminal.read(100_000).decode()

    return run


def test_a_terminal_sees_how_far_a_large_one_is(on_a_terminal: Callable[[], str]) -> None:
    shown = on_a_terminal()
    assert " 50 % copied" in shown
    assert shown.rstrip().endswith("100 % copied checking …")


def test_the_error_names_both_files(tmp_path: Path) -> None:
    (tmp_path / "upcall.db").write_text("garbage " * 1000)
    with pytest.raises(Misconfigured, match="not an SQLite database"):
        backup.back_up(tmp_path / "upcall.db", tmp_path / "copy", lambda *_: None)
    assert not list(tmp_path.glob("copy*"))


def test_what_has_not_ended_is_not_in_the_copy_where_it_would_run_again(platform: Platform, tmp_path: Path) -> None:
    platform.create("slow", "import time\ndef main(args): time.sleep(1)")
    large = {"argument": "x" * 500_000}  # fills the log ahead of the database, else no row would come there
    assert platform.invoke("slow", large, query="blocking=false").status == 202

    def rows(file: Path) -> int:
        with closing(sqlite3.connect(file)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM journal").fetchone()
        return int(count)

    while rows(platform.data / "upcall.db") == 0:
        pass
    assert upcall("backup", str(tmp_path / "copy"), data=platform.data).code == 0
    assert rows(tmp_path / "copy") == 0
