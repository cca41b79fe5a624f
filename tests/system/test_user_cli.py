"""`upcall user`: wskadmin's texts and exit codes, and what a running platform makes of them (spec: cli-admin.md §1)."""

import re
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.system.operating import Caller, Outcome, upcall
from tests.system.serving import Platform, running

PAIR = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:[A-Za-z0-9]{64}\n")
UUID, KEY = "6f3a1c1e-1111-4222-8333-abcdefabcdef", "k" * 64


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("user") / "data") as platform:
        yield platform


class TestCommands:
    """On a folder on which nothing runs."""

    def user(self, data: Path, *words: str) -> Outcome:
        return upcall("user", *words, data=data)

    def test_create_get_whois_delete(self, data: Path) -> None:
        code, pair, err = self.user(data, "create", "alice-subject")
        assert (code, err) == (0, "")
        assert PAIR.fullmatch(pair)
        assert self.user(data, "get", "alice-subject") == (0, pair, "")
        known = "subject: alice-subject\nnamespace: alice-subject\n"
        assert self.user(data, "whois", pair.strip()) == (0, known, "")
        assert self.user(data, "delete", "alice-subject") == (0, "Subject deleted\n", "")
        assert self.user(data, "get", "alice-subject") == (1, "Failed to get subject (not found)\n", "")
        assert self.user(data, "whois", pair.strip()) == (1, "Subject id is not recognized\n", "")
        assert self.user(data, "delete", "alice-subject") == (1, "Failed to delete subject (not found)\n", "")

    def test_a_new_folder_holds_keys_and_is_its_owners_alone(self, data: Path) -> None:
        self.user(data, "create", "alice")
        assert data.stat().st_mode & 0o777 == 0o700
        assert {file.stat().st_mode & 0o777 for file in data.iterdir()} == {0o600}

    @pytest.mark.parametrize("option", ["-u", "--auth"])
    def test_given_credentials(self, data: Path, option: str) -> None:
        pair = f"{UUID.upper()}:{KEY}"
        assert self.user(data, "create", "alice", option, pair) == (0, f"{pair}\n", "")
        assert self.user(data, "whois", pair).code == 0
        assert self.user(data, "create", "bobby", option, f"{{{UUID}}}:{KEY}") == (0, f"{UUID}:{KEY}\n", "")

    def test_credentials_are_those_of_one_namespace(self, data: Path) -> None:
        pair = f"{UUID}:{KEY}"
        taken = (1, 'authorization key is that of namespace "alice" of "alice" already\n', "")
        assert self.user(data, "create", "alice", "-u", pair).code == 0
        assert self.user(data, "create", "alice", "-ns", "team", "-u", pair) == taken
        assert self.user(data, "create", "bobby", "-u", pair) == taken
        assert self.user(data, "get", "bobby").code == 1
        assert self.user(data, "create", "alice", "-f", "-u", pair) == (0, f"{pair}\n", "")
        assert self.user(data, "delete", "alice").code == 0
        assert self.user(data, "create", "bobby", "-u", pair).code == 0

    def test_several_namespaces(self, data: Path) -> None:
        own, team = (self.user(data, "create", "alice", "-ns", space).out for space in ("alice", "team"))
        assert self.user(data, "get", "alice") == (0, own, "")
        assert self.user(data, "get", "alice", "-ns", "team") == (0, team, "")
        assert self.user(data, "get", "alice", "-a") == (0, f"alice\t{own}team\t{team}", "")
        assert self.user(data, "get", "alice", "-ns", "none") == (1, 'namespace "none" not found for "alice"\n', "")
        assert self.user(data, "whois", team.strip()).out == "subject: alice\nnamespace: team\n"
        assert self.user(data, "create", "alice", "-ns", "team") == (1, "Namespace already exists\n", "")
        assert self.user(data, "delete", "alice", "-ns", "team") == (0, "Namespace deleted\n", "")
        gone = 'Namespace "team" does not exist for "alice"\n'
        assert self.user(data, "delete", "alice", "-ns", "team") == (1, gone, "")
        assert self.user(data, "get", "alice") == (0, own, "")

    def test_the_identities_of_a_namespace(self, data: Path) -> None:
        pairs = {name: self.user(data, "create", name, "-ns", "team").out.strip() for name in ("alice", "bobby")}
        lines = [f"{pair}\t{name}\n" for name, pair in pairs.items()]
        assert self.user(data, "list", "team") == (0, lines[0], "")
        assert self.user(data, "list", "team", "-p", "2").out == self.user(data, "list", "team", "-a").out
        assert self.user(data, "list", "team", "-a") == (0, "".join(lines), "")
        assert self.user(data, "list", "team", "-k") == (0, f"{pairs['alice']}\n", "")
        assert self.user(data, "list", "team", "-p", "0") == (2, "pick at least 1 identity to show\n", "")
        assert self.user(data, "list", "nobody") == (1, 'no identities found for namespace "nobody"\n', "")

    def test_a_revoked_key_is_replaced_and_its_uuid_stays(self, data: Path) -> None:
        old = self.user(data, "create", "alice").out
        new = self.user(data, "create", "alice", "-r").out
        assert PAIR.fullmatch(new)
        assert new[:36] == old[:36]
        assert new != old
        assert self.user(data, "get", "alice").out == new
        assert self.user(data, "whois", old.strip()).code == 1
        forced = self.user(data, "create", "alice", "-f").out
        assert forced[:36] != old[:36]
        assert self.user(data, "create", "alice", "-r", "-u", f"{UUID}:{KEY}").out == f"{UUID}:{KEY}\n"

    def test_generating_makes_nothing_and_silence_shows_nothing(self, data: Path) -> None:
        assert PAIR.fullmatch(self.user(data, "create", "alice", "-g").out)
        assert not data.exists()
        assert self.user(data, "create", "alice", "-s") == (0, "", "")
        assert PAIR.fullmatch(self.user(data, "get", "alice").out)

    def test_blocking(self, data: Path) -> None:
        pair = self.user(data, "create", "alice").out.strip()
        self.user(data, "create", "bobby")
        done = '"alice" blocked successfully\n"bobby" blocked successfully\n'
        assert self.user(data, "block", "alice", "bobby") == (0, done, "")
        assert self.user(data, "whois", pair).code == 1
        assert self.user(data, "list", "alice").code == 1
        refused = (1, "The subject you want to edit is blocked\n", "")
        assert self.user(data, "create", "alice", "-ns", "team") == refused
        assert self.user(data, "create", "alice", "-r") == refused
        assert self.user(data, "unblock", "alice") == (0, '"alice" unblocked successfully\n', "")
        assert self.user(data, "whois", pair).code == 0
        some = self.user(data, "unblock", "nobody", "bobby", "none5")
        assert some.code == 2, "the number of failures"
        assert some.out.splitlines() == [
            'Failed to unblock "nobody" (not found)',
            '"bobby" unblocked successfully',
            'Failed to unblock "none5" (not found)',
        ]

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (["create", "abc"], "Subject name must be at least 5 characters"),
            (["create", " abcd "], "Subject name must be at least 5 characters"),
            (["create", "alice/limits"], "Subject name must be at most 256 characters, no slash"),
            (["create", "alice", "-ns", " "], "Namespace must not be empty"),
            (["create", "alice", "-ns", "a/b"], "The namespace contains illegal characters."),
            (["create", "alice", "-u", f"nothing:{KEY}"], "authorization id is not a valid UUID"),
            (["create", "alice", "-u", ""], "authorization id is not a valid UUID"),
            (["create", "alice", "-u", f"{UUID}:{KEY[1:]}"], "authorization key must be at least 64 characters long"),
            (["create", "alice", "-u", UUID], "authorization key must be at least 64 characters long"),
            (["create", "alice", "-u", f"{UUID}:{KEY}k"], "authorization key must be 64 letters, digits or signs"),
            (["create", "alice", "-u", f"{UUID}:{KEY[1:]}\n"], "authorization key must be at least 64"),
            (["delete", " "], "Subject must not be empty"),
            (["delete", "alice", "-ns", ""], "Namespace must not be empty"),
            (["get", ""], "Subject must not be empty"),
            (["list", ""], "Namespace must not be empty"),
        ],
    )
    def test_what_makes_no_sense_is_refused_and_makes_nothing(self, data: Path, words: list[str], text: str) -> None:
        code, out, err = self.user(data, *words)
        assert (code, err) == (2, "")
        assert out.startswith(text)
        assert not data.exists()

    def test_an_unknown_word_is_a_wrong_command_line(self, data: Path) -> None:
        for words in (["create"], ["create", "alice", "--colour"], ["shout", "alice"], ["block"]):
            code, out, err = self.user(data, *words)
            assert (code, out) == (2, "")
            assert "error" in err

    def test_a_folder_without_a_database_is_named_and_not_made(self, data: Path) -> None:
        for words in (["get", "alice"], ["list", "team"], ["block", "alice"], ["whois", "x:y"], ["delete", "alice"]):
            code, out, err = self.user(data, *words)
            assert code == 1
            assert "there is no database in" in out + err
            assert "--data" in out + err
            assert not data.exists()

    def test_the_folder_is_found_as_serve_finds_it(self, data: Path, tmp_path: Path) -> None:
        pair = self.user(data, "create", "alice").out
        assert upcall("user", "get", "alice", environment={"UPCALL_DATA": str(data)}).out == pair
        (tmp_path / "upcall.toml").write_text(f'data = "{data}"\n')
        assert upcall("user", "get", "alice", "--config", str(tmp_path / "upcall.toml")).out == pair
        (data.parent / "share").mkdir()
        data.rename(data.parent / "share" / "upcall")
        assert upcall("user", "get", "alice", environment={"XDG_DATA_HOME": str(data.parent / "share")}).out == pair

    def test_a_database_of_a_newer_release_is_refused_in_one_line(self, data: Path) -> None:
        self.user(data, "create", "alice")
        with closing(sqlite3.connect(data / "upcall.db")) as connection:
            connection.execute("PRAGMA user_version = 77")
        code, out, err = self.user(data, "get", "alice")
        assert (code, out) == (1, "")
        assert "has database version 77" in err
        assert err.count("\n") == 1

    def test_many_at_once_on_a_new_folder(self, data: Path) -> None:
        with ThreadPoolExecutor(6) as pool:
            done = list(pool.map(lambda number: self.user(data, "create", "alice", "-ns", f"n{number}"), range(6)))
        assert [each.code for each in done] == [0] * 6, done
        assert len(self.user(data, "get", "alice", "-a").out.splitlines()) == 6

    def test_it_starts_without_the_server(self, data: Path) -> None:
        loaded = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "upcall", "user", "create", "alice", "--data", str(data)],
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        for module in ("uvicorn", "starlette", "aiohttp", "upcall.app", "upcall.controller.server"):
            assert not re.search(rf"\| +{re.escape(module)}\n", loaded), module
        assert "upcall.store.sqlite" in loaded


class TestBesideARunningPlatform:
    """What the commands change, callers with warm connections meet with their next request."""

    def user(self, platform: Platform, *words: str) -> str:
        code, out, err = upcall("user", *words, data=platform.data)
        assert (code, err) == (0, "")
        return out.strip()

    def test_the_guests_key_is_the_platforms(self, platform: Platform) -> None:
        assert self.user(platform, "get", "guest") == platform.auth

    def test_a_new_subject_may_call_at_once(self, platform: Platform) -> None:
        caller = Caller(platform, self.user(platform, "create", "fresh"))
        assert caller.list() == 200
        caller.close()

    def test_a_revoked_key_fails_at_once_and_the_new_one_works(self, platform: Platform) -> None:
        old = Caller(platform, self.user(platform, "create", "alice"))
        old.make()
        assert (old.list(), old.invoke()) == (200, 200)
        new = Caller(platform, self.user(platform, "create", "alice", "-r"))
        assert (old.invoke(), old.list()) == (401, 401)
        assert (new.list(), new.invoke()) == (200, 200)
        old.close()
        new.close()

    def test_a_blocked_subject_fails_at_once_and_comes_back_at_once(self, platform: Platform) -> None:
        caller = Caller(platform, self.user(platform, "create", "bobby"))
        caller.make()
        for _ in range(3):
            assert (caller.invoke(), caller.list()) == (200, 200)
            self.user(platform, "block", "bobby")
            assert (caller.invoke(), caller.list()) == (401, 401)
            self.user(platform, "unblock", "bobby")
        assert (caller.invoke(), caller.list()) == (200, 200)
        caller.close()

    def test_a_deleted_namespace_and_subject_fail_at_once(self, platform: Platform) -> None:
        own = Caller(platform, self.user(platform, "create", "carol"))
        team = Caller(platform, self.user(platform, "create", "carol", "-ns", "carols-team"))
        assert (own.list(), team.list()) == (200, 200)
        self.user(platform, "delete", "carol", "-ns", "carols-team")
        assert (own.list(), team.list()) == (200, 401)
        self.user(platform, "delete", "carol")
        assert own.list() == 401
        own.close()
        team.close()

    def test_others_are_not_disturbed(self, platform: Platform) -> None:
        guest = Caller(platform, platform.auth)
        guest.make()
        with ThreadPoolExecutor(1) as pool:
            changing = pool.submit(lambda: [self.user(platform, "create", f"subject{number}") for number in range(3)])
            seen = {guest.invoke()}
            while not changing.done():
                seen.add(guest.invoke())
        assert seen == {200}
        assert len(changing.result()) == 3
        guest.close()

    def test_a_killed_command_leaves_nothing_that_does_not_mend_itself(self, platform: Platform) -> None:
        number = platform.data / "upcall.db-accounts"
        guest = Caller(platform, platform.auth)
        assert guest.list() == 200
        with number.open("r+b") as file:  # as a command leaves it that was killed between its marks
            value = int.from_bytes(file.read(8), "little")
            file.seek(0)
            file.write((value | 1).to_bytes(8, "little"))
        assert guest.list() == 200
        assert int.from_bytes(number.read_bytes(), "little") == value + 2
        guest.close()

    def test_names_and_uuids_are_of_the_callers_choice_and_harm_nothing(self, platform: Platform) -> None:
        name = "O'Hara; DROP TABLE documents--"
        pair = self.user(platform, "create", name, "-ns", "ohara", "-u", f"{uuid.uuid4()}:{'%s' * 32}")
        caller = Caller(platform, pair)
        assert caller.list() == 200
        self.user(platform, "delete", name)
        assert caller.list() == 401
        caller.close()


def test_the_guests_new_key_is_in_the_folders_properties(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as platform:
        new = upcall("user", "create", "guest", "-r", data=data).out.strip()
        lines = (data / ".wskprops").read_text().splitlines()
        assert lines == [f"APIHOST={platform.url}", f"AUTH={new}", "NAMESPACE=_", "APIVERSION=v1"]
        assert (data / ".wskprops").stat().st_mode & 0o777 == 0o600
        assert platform.call("GET", "actions").status == 401
        assert platform.call("GET", "actions", auth=new).status == 200
    with running(data) as platform:
        assert platform.auth == new


def test_a_visit_takes_nothing_from_a_running_platform(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert upcall("user", "create", "visitor", data=data).code == 0
    with running(data) as platform:
        platform.create("hello", "def main(args): return args")
        log = (data / "upcall.db-wal").stat().st_ino
        for number in range(3):
            assert upcall("user", "create", f"visitor{number}", data=data).code == 0
        assert (data / "upcall.db-wal").stat().st_ino == log
        platform.invoke("hello")
        assert len(platform.call("GET", "activations").body) == 1
        platform.process.kill()
    with running(data) as platform:
        assert len(platform.call("GET", "activations").body) == 1
        assert upcall("user", "get", "visitor2", data=data).code == 0
