"""Who may see the data folder, and whose it is."""

import contextlib
import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from upcall import ownership
from upcall.errors import Misconfigured
from upcall.ownership import held, holders, owned, private_file, private_folder, shared, vacant


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


def test_of_folders_those_that_are_held_tell_who_holds_them(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("invoker0", "invoker1", "invoker2", "invoker3")]
    for folder in folders[:3]:
        folder.mkdir()
    with owned(folders[1]):
        pass
    with owned(folders[2]) as owner:
        owner.announce(8080, 512)
        (found,) = holders(folders).items()
        assert (found[0], found[1].pid, found[1].port, found[1].memory) == ("invoker2", os.getpid(), 8080, 512)


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


def test_folders_above_are_made_private_too(tmp_path: Path) -> None:
    private_folder(tmp_path / "a" / "b")
    assert mode(tmp_path / "a") == 0o700


def test_members_hold_a_folder_together_once_the_first_lets_them_in(tmp_path: Path) -> None:
    with shared(tmp_path, "invoker0") as first:
        assert first.first
        first.let_in()
        with shared(tmp_path, "controller0") as second:
            assert not second.first
            assert held(tmp_path)
    assert not held(tmp_path)


def test_who_comes_while_the_first_prepares_waits_for_it(tmp_path: Path) -> None:
    order = []

    def join() -> None:
        with shared(tmp_path, "controller0") as second:
            order.append(f"in, first: {second.first}")

    with ThreadPoolExecutor(1) as pool, shared(tmp_path, "invoker0") as first:
        joining = pool.submit(join)
        time.sleep(0.05)
        order.append("prepared")
        first.let_in()
        joining.result()
    assert order == ["prepared", "in, first: False"]


def test_a_name_is_there_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "NAMES", 1)
    with shared(tmp_path, "invoker0") as first:
        first.let_in()
        with (
            pytest.raises(
                Misconfigured,
                match=rf"invoker0 works with the folder .* already: process {os.getpid()}; stop it .*another --id",
            ),
            shared(tmp_path, "invoker0"),
        ):
            pass
    with shared(tmp_path, "invoker0"):
        pass


def test_one_platform_and_members_keep_each_other_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "LOOKS", 1)
    with owned(tmp_path) as platform:
        platform.announce(3233)
        alone = r"in use by process \d+ on port 3233; stop it \(kill \d+\), or .* --store"
        with pytest.raises(Misconfigured, match=alone), shared(tmp_path, "invoker0"):
            pass
    with shared(tmp_path, "invoker0") as one, contextlib.ExitStack() as stack:
        one.let_in()
        stack.enter_context(shared(tmp_path, "controller0"))
        both = rf"in use by process {os.getpid()} \(controller0\) and process {os.getpid()} \(invoker0\); stop them"
        with pytest.raises(Misconfigured, match=both), owned(tmp_path):
            pass
    with owned(tmp_path):
        pass


def test_a_name_is_vacant_when_its_holder_is_gone(tmp_path: Path) -> None:
    with shared(tmp_path, "invoker0") as member:
        member.let_in()
        with vacant(tmp_path, "invoker0") as dead:
            assert not dead
    with vacant(tmp_path, "invoker0") as dead:
        assert dead
