"""Where the operator's commands look for the database."""

from pathlib import Path

import pytest

from upcall.cli.accounts import Place, _place
from upcall.config import load
from upcall.errors import Misconfigured
from upcall.identity import Surroundings
from upcall.model.store_url import SqliteUrl
from upcall.setting import Role
from upcall.store.choice import store_url

NOWHERE = Surroundings("laptop")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for name in ("UPCALL_DATA", "UPCALL_STORE", "UPCALL_PORT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "upcall"


@pytest.mark.parametrize("role", ["invoker", "controller"])
def test_by_default_it_is_the_store_of_invokers_and_controllers(role: Role, home: Path) -> None:
    settings = load({"id": "0", "kafka_hosts": "a:1"}, {}, None, role, NOWHERE)[0]
    assert _place(None, None, None) == Place(home, SqliteUrl(home / "upcall.db"))
    assert settings.store == SqliteUrl(home / "upcall.db")


@pytest.mark.parametrize("role", ["serve", "invoker", "controller"])
def test_a_data_folder_is_the_same_for_processes_and_commands(
    role: Role, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UPCALL_DATA", str(tmp_path / "d"))
    settings = load({"id": "0", "kafka_hosts": "a:1"}, {"UPCALL_DATA": str(tmp_path / "d")}, None, role, NOWHERE)[0]
    assert _place(None, None, None).store == store_url(settings.store, settings.folder)


def test_the_variable_of_processes_is_the_commands_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPCALL_STORE", f"sqlite:///{tmp_path}/a.db")
    assert _place(None, None, None).store == SqliteUrl(tmp_path / "a.db")


def test_what_is_wrong_with_other_settings_keeps_no_command_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path
) -> None:
    file = tmp_path / "upcall.toml"
    file.write_text('bus = "kafka"\nport = "x"\n')
    assert _place(None, None, file).folder == home
    monkeypatch.setenv("UPCALL_STORE", "mysql://u:secret@h/d")
    with pytest.raises(Misconfigured, match=r"^UPCALL_STORE: a store is given as"):
        _place(None, None, file)
