"""Who may see the data folder, and whose it is."""

from pathlib import Path

import pytest

from upcall.errors import Misconfigured
from upcall.ownership import owned, private_folder


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
