"""Docker's configuration files, read as Docker reads them."""

import asyncio
import base64
import json
import logging
import pwd
from pathlib import Path

import pytest

from upcall.containers.docker.credentials import HUB_KEY, NOBODY, Credentials, encoded
from upcall.errors import Misconfigured


def basic(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def write(path: Path, **config: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("reg:5000", "reg:5000"),
        ("https://reg:5000", "reg:5000"),
        ("http://reg:5000/v1/", "reg:5000"),
        ("localhost:5000", "localhost:5000"),
        (HUB_KEY, "docker.io"),
        ("index.docker.io", "docker.io"),
        ("docker.io", "docker.io"),
        ("https://registry-1.docker.io", "docker.io"),
    ],
)
async def test_registries_are_found_by_all_that_docker_calls_them(tmp_path: Path, key: str, host: str) -> None:
    common = write(tmp_path / "config.json", auths={"other": basic("no:body"), key: basic("user:pass:word")})
    source = await Credentials(None, common).source(host, "guest")
    server = HUB_KEY if host == "docker.io" else host
    assert await source.auth() == {"username": "user", "password": "pass:word", "serveraddress": server}


async def test_an_exact_name_goes_before_a_url(tmp_path: Path) -> None:
    auths = {"https://reg/v1/": basic("old:1"), "reg": basic("new:2")}
    source = await Credentials(None, write(tmp_path / "c", auths=auths)).source("reg", "")
    assert await source.auth() == {"username": "new", "password": "2", "serveraddress": "reg"}


@pytest.mark.parametrize(
    ("entry", "auth"),
    [
        ({"username": "u", "password": "p"}, {"username": "u", "password": "p"}),
        ({"identitytoken": "t"}, {"identitytoken": "t"}),
        ({**basic("<token>:"), "identitytoken": "t"}, {"username": "<token>", "identitytoken": "t"}),
        ({"registrytoken": "r", "email": "x@y"}, {"registrytoken": "r"}),
        ({"auth": base64.b64encode(b"u:p\0\0").decode()}, {"username": "u", "password": "p"}),
    ],
)
async def test_each_form_of_credentials(tmp_path: Path, entry: dict[str, str], auth: dict[str, str]) -> None:
    source = await Credentials(None, write(tmp_path / "c", auths={"reg": entry})).source("reg", "")
    assert await source.auth() == {**auth, "serveraddress": "reg"}


@pytest.mark.parametrize(
    "config", [{}, {"auths": None}, {"auths": {"reg": {}}}, {"auths": {"reg.other": basic("a:b")}}, {"credsStore": ""}]
)
async def test_without_any_nobody_asks(tmp_path: Path, config: dict[str, object]) -> None:
    assert await Credentials(None, write(tmp_path / "c", **config)).source("reg", "guest") is NOBODY
    assert await NOBODY.auth() is None


async def test_namespaces_have_their_own_and_else_the_platforms(tmp_path: Path) -> None:
    common = write(tmp_path / "common.json", auths={"reg": basic("all:1"), "more": basic("all:2")})
    folder = tmp_path / "namespaces"
    write(folder / "alice" / "config.json", auths={"reg": basic("alice:1")})
    write(folder / "bob@example.org.json", auths={"reg": basic("bob:1")})
    credentials = Credentials(folder, common)
    await credentials.start()

    async def user(host: str, namespace: str) -> str:
        return ((await (await credentials.source(host, namespace)).auth()) or {})["username"]

    assert [await user("reg", name) for name in ("alice", "bob@example.org", "carol", "")] == [
        "alice",
        "bob",
        "all",
        "all",
    ]
    assert await user("more", "alice") == "all"
    owners = [(await credentials.source("reg", name)).owner for name in ("alice", "bob@example.org", "carol", "dave")]
    assert len(set(owners)) == 3
    assert owners[2] == owners[3], "who has none of his own shares the platform's"


@pytest.mark.parametrize("namespace", ["../secret", "..", ".", ".hidden", "a/b", "a\0b", "x" * 300])
async def test_no_name_of_a_namespace_leads_elsewhere(
    tmp_path: Path, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("secret.json", "secret/config.json", "namespaces/.hidden.json", "namespaces/a/b.json", "config.json"):
        write(tmp_path / name, auths={"reg": basic("not:yours")})
    credentials = Credentials(tmp_path / "namespaces", tmp_path / "none")
    assert await credentials.source("reg", namespace) is NOBODY
    assert "\0" in namespace or not caplog.messages


async def test_a_file_that_changes_is_read_anew(tmp_path: Path) -> None:
    common = tmp_path / "config.json"
    credentials = Credentials(None, common)
    assert await credentials.source("reg", "") is NOBODY
    write(common, auths={"reg": basic("first:1")})
    first = await credentials.source("reg", "")
    again = await credentials.source("reg", "")
    write(common, auths={"reg": basic("other:22")})
    second = await credentials.source("reg", "")
    common.unlink()
    assert await credentials.source("reg", "") is NOBODY
    assert [((await source.auth()) or {})["username"] for source in (first, second)] == ["first", "other"]
    assert first.owner == again.owner != second.owner


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"auths": {"reg": {"auth": "hunter2"}}}', "reg: 'auth' is not the base64 of user:password"),
        ('{"auths": {"reg": {"auth": "aHVudGVyMg=="}}}', "reg: 'auth' is not the base64 of user:password"),
        ('{"auths": {"reg": {"password": ["hunter2"]}}}', "Expected `str | null`, got `array`"),
        ('{"auths": hunter2}', "JSON is malformed"),
        ("[]", "Expected `object`, got `array`"),
        ('"' + "x" * (1 << 20) + '"', "it has more than 1048576 bytes"),
    ],
)
async def test_a_file_that_is_wrong_is_named_once_and_others_work(
    tmp_path: Path, text: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    common = write(tmp_path / "common.json", auths={"reg": basic("all:1")})
    folder = tmp_path / "namespaces"
    bad = write(folder / "alice.json")
    bad.write_text(text)
    credentials = Credentials(folder, common)
    for _ in range(3):
        source = await credentials.source("reg", "alice")
        assert await source.auth() == {"username": "all", "password": "1", "serveraddress": "reg"}
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage().startswith(f"registries are asked without the credentials in {bad}: ")
    assert says in record.getMessage()
    for secret in ("hunter2", "aHVudGVyMg=="):
        assert secret not in caplog.text


async def test_what_is_wrong_is_told_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("alice.json", "carol/config.json", "other.txt"):
        write(tmp_path / name).write_text("{")
    await Credentials(tmp_path, tmp_path / "none.json").start()
    assert len(caplog.messages) == 2
    assert str(tmp_path / "alice.json") in caplog.text
    assert str(tmp_path / "carol" / "config.json") in caplog.text


async def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "config.json").mkdir()
    assert await Credentials(None, tmp_path / "config.json").source("reg", "") is NOBODY
    assert "config.json: Is a directory" in caplog.text


async def test_a_folder_that_is_none_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"--registry-credentials: .*/none is no folder"):
        await Credentials(tmp_path / "none", tmp_path / "config.json").start()


async def test_where_docker_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    write(tmp_path / "home" / ".docker" / "config.json", auths={"reg": basic("home:1")})
    write(tmp_path / "elsewhere" / "config.json", auths={"reg": basic("else:1")})
    at_home = await Credentials().source("reg", "")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "elsewhere"))
    elsewhere = await Credentials().source("reg", "")
    assert [((await source.auth()) or {})["username"] for source in (at_home, elsewhere)] == ["home", "else"]


async def test_a_user_without_a_home_has_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a pod with a number for a user."""

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    for name in ("HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    assert await Credentials().source("reg", "") is NOBODY


async def test_helpers_go_before_what_the_file_has_and_one_for_a_registry_before_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name in ("store", "own"):
        program = tmp_path / f"docker-credential-{name}"
        program.write_text(f'#!/bin/sh\necho "{{\\"Username\\":\\"{name}\\",\\"Secret\\":\\"$(cat)\\"}}"\n')
        program.chmod(0o755)
    auths = {"reg": basic("file:1"), HUB_KEY: {}}
    common = write(tmp_path / "c", auths=auths, credsStore="store", credHelpers={"own.reg": "own"})
    credentials = Credentials(None, common)
    found = await asyncio.gather(
        *[(await credentials.source(host, "")).auth() for host in ("reg", "own.reg", "docker.io")]
    )
    assert [((auth or {})["username"], (auth or {})["password"]) for auth in found] == [
        ("store", "reg"),
        ("own", "own.reg"),
        ("store", HUB_KEY),
    ]


async def test_where_the_helper_fails_the_file_is_asked_and_the_failure_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    common = write(tmp_path / "c", auths={"reg": basic("file:1")}, credsStore="upcalltest-missing")
    auth = await (await Credentials(None, common).source("reg", "")).auth()
    assert auth == {"username": "file", "password": "1", "serveraddress": "reg"}
    assert "docker-credential-upcalltest-missing cannot be run" in caplog.text


def test_how_they_travel() -> None:
    text = encoded({"username": "ü", "password": "??>>"})
    assert json.loads(base64.urlsafe_b64decode(text)) == {"username": "ü", "password": "??>>"}
    assert "+" not in text
    assert "/" not in text
