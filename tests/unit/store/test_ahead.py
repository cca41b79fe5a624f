"""The log ahead of the database: what is read of it after any end of its writer."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from upcall.store import ahead
from upcall.store.ahead import Ahead, paths, read


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return paths(tmp_path / "upcall.db", "records")


@pytest.fixture
def log(files: list[Path]) -> Iterator[Ahead]:
    log = Ahead(files)
    yield log
    log.close()


def entries(files: list[Path]) -> list[bytes]:
    return read(files)[0]


def test_what_was_written_is_read_in_its_order(log: Ahead, files: list[Path]) -> None:
    assert all(log.append(data) for data in (b"one", b"two"))
    log.turn()
    assert log.append(b"three")
    assert entries(files) == [b"one", b"two", b"three"]


def test_a_committed_group_is_gone_and_what_came_after_it_stays(log: Ahead, files: list[Path]) -> None:
    log.append(b"one")
    log.turn()
    log.append(b"two")
    log.clear()
    assert entries(files) == [b"two"]
    log.turn()
    log.append(b"three")
    assert entries(files) == [b"two", b"three"], "the emptied file is the younger one now"
    log.clear()
    assert entries(files) == [b"three"]


def test_a_group_that_fails_leaves_all_until_one_succeeds(log: Ahead, files: list[Path]) -> None:
    log.append(b"one")
    log.turn()
    log.append(b"two")
    log.turn()  # the group after the one that failed: it has both
    log.append(b"three")
    assert entries(files) == [b"one", b"two", b"three"]
    log.clear()
    assert entries(files) == [b"two", b"three"], "three is in no group yet"
    log.turn()
    log.clear()
    assert entries(files) == []


def test_what_is_carried_over_outlasts_the_group(log: Ahead, files: list[Path]) -> None:
    log.append(b"promised")
    log.turn([b"promised"])
    log.clear()
    assert entries(files) == [b"promised"]


def test_entries_of_an_earlier_pass_are_not_read(log: Ahead, files: list[Path]) -> None:
    for _ in range(3):
        log.append(b"x" * 10)
    log.turn()
    log.clear()
    log.append(b"other")
    log.turn()
    log.append(b"y" * 10)
    assert entries(files) == [b"other", b"y" * 10], "two more of the first pass lie behind"


@pytest.mark.parametrize("cut", [1, 5, 9, 12])
def test_a_torn_end_is_left_out(log: Ahead, files: list[Path], cut: int) -> None:
    log.append(b"whole")
    end = log._current.end
    log.append(b"torn apart")
    with files[0].open("r+b") as file:
        file.truncate(end + cut)
    assert entries(files) == [b"whole"]


def test_a_damaged_entry_ends_the_file(log: Ahead, files: list[Path]) -> None:
    for data in (b"one", b"two", b"three"):
        log.append(data)
    data = files[0].read_bytes()
    files[0].write_bytes(data.replace(b"two", b"twx"))
    assert entries(files) == [b"one"]


def full(*_: object) -> int:
    raise OSError(28, "No space left on device")


def test_a_full_disk_says_no_and_the_next_may_fit(
    log: Ahead, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = ahead.RESERVED // 2
    assert log.append(b"x" * size)
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        assert not log.append(b"y" * size)
        assert log.append(b"fits")
    assert log.append(b"z" * size)
    assert entries(files) == [b"x" * size, b"fits", b"z" * size]
    assert files[0].stat().st_size == 2 * ahead.RESERVED


def test_its_files_are_bounded(log: Ahead, files: list[Path]) -> None:
    assert not log.append(b"x" * ahead.BOUND)
    assert files[0].stat().st_size == ahead.RESERVED
    assert log.append(b"x" * (ahead.BOUND - 100))
    assert not log.append(b"y" * 100)
    assert [len(entry) for entry in entries(files)] == [ahead.BOUND - 100]
    assert ahead.BOUND - 100 < files[0].stat().st_size <= ahead.BOUND


def test_a_write_that_fails_or_is_short_is_no_entry(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "IN_PLACE", ())
    with closing(Ahead(files)) as log:
        assert log.append(b"first")
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            assert not log.append(b"lost")
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", lambda fd, data, at: 3)
            assert not log.append(b"half")
        assert log.append(b"fits")
        assert entries(files) == [b"first", b"fits"]


def test_where_room_may_be_lost_again_nothing_is_mapped(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Ahead(files)):
        assert any(str(files[0]) in line for line in mappings()), "ext4 or tmpfs"
    monkeypatch.setattr(ahead, "MOUNTS", files[0].with_name("mountinfo"))
    for mounts in ("", "36 35 0:1 / /x rw - btrfs /dev/x rw\n", "21 1 8:1 / / rw shared:1 - xfs /dev/sda rw\n"):
        ahead.MOUNTS.write_text(mounts.replace("8:1", device(files[0].parent)))
        with closing(Ahead(files)) as log:
            assert log.append(b"entry")
            assert not any(str(files[0]) in line for line in mappings())
            assert entries(files) == [b"entry"]


def test_what_a_burst_has_touched_is_no_memory_of_the_process_afterwards(log: Ahead, files: list[Path]) -> None:
    assert log.append(b"x" * (4 * 1024 * 1024))
    assert resident(files[0]) > 4000
    log.turn()
    log.clear()
    assert resident(files[0]) <= ahead.RESERVED // 1024
    log.turn()
    assert log.append(b"y" * (4 * 1024 * 1024))
    assert entries(files) == [b"y" * (4 * 1024 * 1024)]


def resident(file: Path) -> int:
    """kB of its mapping."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    next(line for line in lines if line.endswith(str(file)))
    return int(next(line for line in lines if line.startswith("Rss:")).split()[1])


def mappings() -> list[str]:
    return Path("/proc/self/maps").read_text().splitlines()


def device(folder: Path) -> str:
    number = folder.stat().st_dev
    return f"{os.major(number)}:{os.minor(number)}"


def test_a_file_that_cannot_take_what_is_carried_over_is_not_turned_to(
    log: Ahead, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(b"first")
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        log.turn([b"a", b"b" * ahead.RESERVED])
    log.clear()
    assert entries(files)[0] == b"first"
    log.turn()
    log.clear()
    assert entries(files) == []


def test_its_room_is_taken_from_the_disk_at_once(log: Ahead, files: list[Path]) -> None:
    assert [path.stat().st_size for path in files] == [ahead.RESERVED] * 2
    assert all(path.stat().st_blocks * 512 >= ahead.RESERVED for path in files)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)


def test_the_next_life_goes_on_behind_the_last_pass(log: Ahead, files: list[Path]) -> None:
    log.append(b"one")
    log.turn()
    log.clear()
    log.append(b"two")
    found, number = read(files)
    assert found == [b"two"]
    later = Ahead(files, number)
    assert entries(files) == []
    later.append(b"three")
    assert entries(files) == [b"three"]
    later.close()


def test_what_is_no_log_has_no_entries(files: list[Path]) -> None:
    assert read(files) == ([], 1)
    files[0].write_bytes(b"")
    files[1].write_bytes(b"something else, and longer than a head")
    assert read(files) == ([], 1)
