"""Who may see the data folder, and whose it is."""

import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from upcall.errors import Misconfigured
from upcall.ownership import held, owned, private_file, private_folder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_folder_that_is_made_or_empty_becomes_private(tmp_path: Path) -> None:
    assert mode(private_folder(tmp_path / "a" / "b")) == 0o700
    (tmp_path / "empty").mkdir(mode=0o755)
    assert mode(private_folder(tmp_path / "empty")) == 0o700


def test_a_folder_with_other_files_keeps_its_mode_until_it_is_ours(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "other").touch()
    assert mode(private_folder(tmp_path)) == 0o755
    with owned(tmp_path):
        assert mode(tmp_path / "lock") == 0o600


def test_the_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert private_folder(Path("data")) == tmp_path / "data"


def test_an_owned_folder_is_refused_with_its_owner(tmp_path: Path) -> None:
    with owned(tmp_path) as first:
        first.announce(3233)
        with pytest.raises(Misconfigured, match=r"in use by process \d+ on port 3233; stop it"), owned(tmp_path):
            pass
    with owned(tmp_path):
        pass


def test_whether_a_folder_is_held_is_seen_without_holding_it(tmp_path: Path) -> None:
    assert not held(tmp_path)
    assert not (tmp_path / "lock").exists()
    with owned(tmp_path):
        assert held(tmp_path)
    assert not held(tmp_path)


def test_who_only_looks_keeps_no_owner_out(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    look = os.open(tmp_path / "lock", os.O_RDONLY)
    fcntl.flock(look, fcntl.LOCK_SH)

    def leave() -> None:
        time.sleep(0.02)
        os.close(look)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(leave)
        with owned(tmp_path):
            assert held(tmp_path)


def test_a_private_file_is_the_folders_owners(tmp_path: Path) -> None:
    os.close(private_file(tmp_path / "own"))
    assert mode(tmp_path / "own") == 0o600
    if os.geteuid() == 0:  # only root makes files for others
        os.chown(tmp_path, 54321, 54321)
        os.close(private_file(tmp_path / "theirs"))
        assert ((tmp_path / "theirs").stat().st_uid, (tmp_path / "own").stat().st_uid) == (54321, 0)
        os.close(private_file(tmp_path / "own"))
        assert (tmp_path / "own").stat().st_uid == 0, "what is there stays whose it is"
