"""Which store is chosen, and whose it is."""

from pathlib import Path

import pytest

from tests.contract.documents import action
from upcall.config import load
from upcall.errors import Misconfigured
from upcall.model.entities import Action
from upcall.model.store_url import PostgresUrl, SqliteUrl
from upcall.ownership import private_folder
from upcall.store import choice
from upcall.store.sqlite import SqliteStore


def test_what_was_not_said_is_a_file_in_the_data_folder(tmp_path: Path) -> None:
    assert load({}, {})[0].store is None
    assert choice.store_url(None, tmp_path) == SqliteUrl(tmp_path / "upcall.db")


def test_the_setting_says_it_and_no_password(tmp_path: Path) -> None:
    given = load({}, {"UPCALL_STORE": "postgresql://u:hunter2@h/db"})[0]
    assert isinstance(given.store, PostgresUrl)
    assert choice.store_url(given.store, tmp_path) is given.store
    assert "hunter2" not in repr(given)
    with pytest.raises(Misconfigured, match="UPCALL_STORE: a store is given as") as refused:
        load({}, {"UPCALL_STORE": "mysql://u:hunter2@h/db"})
    assert "hunter2" not in str(refused.value)


async def test_a_file_elsewhere_belongs_to_one_platform(tmp_path: Path) -> None:
    url = SqliteUrl(tmp_path / "elsewhere" / "a.db")
    first, second = (private_folder(tmp_path / name) for name in ("first", "second"))
    async with choice.opened(url, first, "normal") as store:
        await store.put(action())
        with pytest.raises(Misconfigured, match="elsewhere is in use by process"):
            async with choice.opened(url, second, "normal"):
                pass
        beside = choice.beside(url)
        assert isinstance(beside, SqliteStore)
        async with beside:
            assert (await beside.get(Action, "guest/hello")).doc == action()
    async with choice.opened(url, second, "normal") as store:
        assert (await store.get(Action, "guest/hello")).doc == action()
