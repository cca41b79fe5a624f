"""Files of logs (spec: logs.md §6, DockerToActivationFile)."""

import asyncio
import json
import os
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from upcall.errors import Misconfigured
from upcall.logs import files
from upcall.logs.files import LogFiles
from upcall.model.activation import Activation
from upcall.testing import a_message, an_action, until

AT = "2026-01-02T03:04:05.123456789Z"
MESSAGE = a_message(an_action("hello"), "1-a")
UUID = MESSAGE.user.namespace.uuid


def a_record(*lines: str) -> Activation:
    return Activation("guest", "hello", "guest-subject", MESSAGE.activation_id, 1000, 1030, 30, logs=list(lines))


def nothing() -> None:
    pass


def written(folder: Path) -> list[Path]:
    """In the order in which they were begun."""
    return sorted(folder.iterdir(), key=lambda path: int(re.findall(r"\d+", path.name)[0]))


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_line_for_each_of_the_log_and_one_of_the_whole_record(tmp_path: Path) -> None:
    record = a_record(f"{AT} stdout: out: ☃", f"{'2026-01-02T03:04:05.12Z':30} stderr: ")
    with LogFiles(tmp_path) as made:
        made.add(record, MESSAGE, nothing)
    whose = {
        "activationId": record.activation_id,
        "action": "guest/hello",
        "namespace": "guest",
        "namespaceId": UUID,
    }
    (path,) = written(tmp_path)
    assert lines(path) == [
        {"log": "out: ☃\n", "stream": "stdout", "time": AT, **whose},
        {"log": "\n", "stream": "stderr", "time": "2026-01-02T03:04:05.12Z", **whose},
        {**json.loads(msgspec.json.encode(record)), "namespaceId": UUID},
    ]


async def test_everybody_may_write_to_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with LogFiles(tmp_path / "made" / "for it"):
            (path,) = written(tmp_path / "made" / "for it")
    finally:
        os.umask(before)
    assert re.fullmatch(r"userlogs-\d{13}\.log", path.name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666


async def test_another_file_begins_where_a_line_would_be_too_much_and_none_is_divided(tmp_path: Path) -> None:
    assert files.LARGEST == 100 << 20
    records = [a_record(f"{AT} stdout: {number:0200d}") for number in range(20)]
    with LogFiles(tmp_path, largest=2000) as made:
        for record in records:
            made.add(record, MESSAGE, nothing)
    found = written(tmp_path)
    assert len(found) > 5
    assert all(path.stat().st_size <= 2000 for path in found)
    logs = [each["log"] for path in found for each in lines(path) if "log" in each]
    assert logs == [f"{number:0200d}\n" for number in range(20)]


async def test_a_line_that_is_larger_than_a_file_has_one_of_its_own(tmp_path: Path) -> None:
    with LogFiles(tmp_path, largest=1000) as made:
        for size in (10, 3000, 10):
            made.add(a_record(f"{AT} stdout: {'x' * size}"), MESSAGE, nothing)
    sizes = [len(each["log"]) - 1 for path in written(tmp_path) for each in lines(path) if "log" in each]
    assert sizes == [10, 3000, 10]


async def test_two_that_begin_in_one_millisecond_have_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upcall.logs.files.time.time_ns", lambda: 1_767_323_045_123_456_789)
    with LogFiles(tmp_path), LogFiles(tmp_path):
        names = [path.name for path in written(tmp_path)]
    assert names == ["userlogs-1767323045123.log", "userlogs-1767323045124.log"]


async def test_a_folder_that_cannot_be_written_to_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match=r"made in .*/file/logs: Not a directory.*UPCALL_LOGS_FOLDER"):
        LogFiles(tmp_path / "file" / "logs").__enter__()


class Slow:
    """A disk that writes nothing until it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may = threading.Event()
        write = os.write
        monkeypatch.setattr(
            "upcall.logs.files.os.write", lambda fd, data: write(fd, data) if self.may.wait(60) else len(data)
        )


async def test_what_waits_for_a_slow_disk_is_bounded_and_the_loop_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)
    monkeypatch.setattr(files, "_MOST", 10_000)
    done: list[int] = []

    def told(number: int) -> Callable[[], None]:
        return lambda: done.append(number)

    with LogFiles(tmp_path) as made:
        for number in range(10):
            made.add(a_record(f"{AT} stdout: {'x' * 2000}"), MESSAGE, told(number))
        await asyncio.sleep(0)
        assert done == [0, 1, 2]
        slow.may.set()
        await until(lambda: done == [*range(10)])
    (path,) = written(tmp_path)
    assert len(lines(path)) == 20


async def test_a_full_disk_is_told_once_and_a_later_line_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, full, told = os.write, True, 0

    def limited(fd: int, data: bytes) -> int:
        if not full:
            return write(fd, data)
        if len(data) > 20:
            return write(fd, data[:20])
        raise OSError(28, "No space left on device")

    def count() -> None:
        nonlocal told
        told += 1

    monkeypatch.setattr("upcall.logs.files.os.write", limited)
    with LogFiles(tmp_path) as made:
        for _ in range(3):
            made.add(a_record(f"{AT} stdout: lost"), MESSAGE, count)
    assert told == 3
    assert [text for text in caplog.messages if "No space left" in text] == [
        f"logs cannot be written to {tmp_path}, and are in their records alone: [Errno 28] No space left on device"
    ]
    full = False
    with LogFiles(tmp_path) as made:
        made.add(a_record(f"{AT} stdout: kept"), MESSAGE, nothing)
    assert [each.get("log") for each in lines(written(tmp_path)[-1])] == ["kept\n", None]
