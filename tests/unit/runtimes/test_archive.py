"""What an unpacked zip's files are: as old as the zip says, where it says so for certain."""

import io
import os
import py_compile
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from upcall.runtimes.python.archive import unpack

THEN = 1_600_000_001
"""Odd: the date that every zip has knows two seconds only."""


def entry(name: str, extra: bytes) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
    made.extra = extra
    return made


def utc(seconds: int, flags: int = 1, size: int = 5) -> bytes:
    return struct.pack("<HHBi", 0x5455, size, flags, seconds)


def packed(files: dict[zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for info, data in files.items():
            archive.writestr(info, data)
    return buffer.getvalue()


@pytest.mark.parametrize("extra", [utc(THEN), struct.pack("<HHH", 0x7875, 2, 1) + utc(THEN)])
def test_a_file_is_as_old_as_its_time_in_utc(tmp_path: Path, extra: bytes) -> None:
    unpack(packed({entry("a.py", extra): b""}), str(tmp_path))
    assert (tmp_path / "a.py").stat().st_mtime == THEN


@pytest.mark.parametrize(
    "extra", [b"", utc(THEN, flags=2), struct.pack("<HHBBB", 0x7875, 3, 1, 2, 3), b"UT\x01\x00\x01"]
)
def test_a_date_without_a_place_is_left_out(tmp_path: Path, extra: bytes) -> None:
    before = time.time() - 10
    unpack(packed({entry("a.py", extra): b""}), str(tmp_path))
    assert (tmp_path / "a.py").stat().st_mtime >= before


@pytest.mark.parametrize(("compiled", "value"), [(THEN, "bytecode"), (THEN + 1, "its text")])
def test_bytecode_counts_for_the_source_that_it_was_made_of(tmp_path: Path, compiled: int, value: str) -> None:
    source = tmp_path / "dep.py"
    source.write_text("y = 'bytecode'\n")
    os.utime(source, (compiled, compiled))
    made = Path(py_compile.compile(str(source), doraise=True) or "")
    cache = f"__pycache__/{made.name}"
    files = {entry("dep.py", utc(THEN)): b"y = 'its text'\n", entry(cache, utc(THEN)): made.read_bytes()}
    unpack(packed(files), str(tmp_path / "action"))
    argv = [sys.executable, "-B", "-c", "import dep; print(dep.y)"]
    done = subprocess.run(argv, cwd=tmp_path / "action", capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{value}\n"
