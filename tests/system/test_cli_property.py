"""`upcall property`: the file of properties, and what counts."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.serving import Platform, running
from tests.system.shell import Shell
from upcall import __version__


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("cli") / "data") as started:
        yield started


def test_what_is_set_is_used_and_shown_and_gone_when_unset(platform: Platform, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    done = shell.good("property", "set", "--apihost", platform.url, "--auth", platform.auth, "--namespace", "guest")
    assert done.out == (
        f"ok: whisk API host set to {platform.url}\n"
        "ok: whisk auth set. Run 'upcall property get --auth' to see the new value.\n"
        "ok: whisk namespace set to guest\n"
    )
    assert shell.good("action", "list").out == "actions\n"
    assert shell.good("property", "get", "--auth", "--output", "raw").out == f"{platform.auth}\n"
    assert shell.good("property", "get", "--namespace", "--apiversion").out.split("\n") == [
        "whisk API version\tv1",
        "whisk namespace\t\tguest",
        "",
    ]
    assert shell.good("property", "unset", "--namespace", "--auth").out == (
        "ok: whisk namespace unset; the default value of _ will be used\nok: whisk auth unset\n"
    )
    assert (tmp_path / ".wskprops").read_text() == f"APIHOST={platform.url}\n"
    assert shell.upcall("action", "list").code == 2


def test_all_with_the_server_s_build(platform: Platform, tmp_path: Path) -> None:
    shell = Shell.of(platform, tmp_path)
    shown = shell.good("property", "get").out
    assert [line.expandtabs()[:24].strip() for line in shown.splitlines()] == [
        *("client cert", "client key", "whisk auth", "whisk API host", "whisk API version", "whisk namespace"),
        *("whisk CLI version", "whisk API build", "whisk API build number"),
    ]
    assert shell.good("property", "get", "--all").out == shown
    document = shell.good("property", "get", "--json").document
    assert (document["apihost"], document["cliversion"]) == (platform.url, __version__)
    assert document["apibuild"] not in ("", "Unknown")
    assert shell.good("property", "get", "--apibuildno").out.startswith("whisk API build number\t")


def test_the_server_s_build_where_there_is_no_server(tmp_path: Path) -> None:
    shell = Shell(tmp_path, UPCALL_APIHOST="http://127.0.0.1:9", UPCALL_AUTH="a:b")
    done = shell.upcall("property", "get")
    assert done.code == 3
    assert "whisk API build\t\tUnknown\n" in done.out
    assert done.err.startswith("error: Unable to obtain API build information: nothing listens at http://127.0.0.1:9")
    assert shell.good("property", "get", "--apihost").out == "whisk API host\t\thttp://127.0.0.1:9\n"


def test_the_file_is_private_kept_whole_and_where_it_was(tmp_path: Path) -> None:
    shell = Shell(tmp_path, WSK_CONFIG_FILE="link")
    real = tmp_path / "real"
    real.write_text("# a remark\nAPIGW_ACCESS_TOKEN=token\nAUTH = a:b=c\n")
    real.chmod(0o644)
    (tmp_path / "link").symlink_to("real")
    shell.good("property", "set", "--cert", "c.pem", "--key", "k.pem")
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert real.read_text() == "# a remark\nAPIGW_ACCESS_TOKEN=token\nAUTH = a:b=c\nCERT=c.pem\nKEY=k.pem\n"
    shell.good("property", "unset", "--auth")
    shell.good("property", "set", "--cert", "d.pem")
    assert real.read_text() == "# a remark\nAPIGW_ACCESS_TOKEN=token\nCERT=d.pem\nKEY=k.pem\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("set",), 2, "Give one of --cert, --key, --auth"),
        (("unset",), 2, "Give one of --cert, --key, --auth"),
        (("set", "--apihost", "two words"), 2, "'two words' is no address of a server"),
        (("set", "--auth", "a\nb"), 1, "the value of auth has more than one line"),
        (("set", "--auth", " "), 2, "'upcall property unset --auth' removes it"),
        (("get", "-o", "raw"), 2, "--output raw needs exactly one property"),
        (("get", "-o", "raw", "--auth", "--key"), 2, "--output raw needs exactly one property"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(tmp_path: Path, words: tuple[str, ...], code: int, says: str) -> None:
    done = Shell(tmp_path).upcall("property", *words)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert says in done.err
    assert not (tmp_path / ".wskprops").exists()


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("binary", b"\xff\xfe=1")
    done = shell.upcall("action", "list", WSK_CONFIG_FILE="binary")
    assert (done.code, done.err) == (1, "error: binary cannot be read: it is no text\n")
    done = shell.upcall("property", "set", "--key", "k", WSK_CONFIG_FILE="nowhere/file")
    assert (done.code, done.err) == (1, "error: nowhere/file cannot be written: No such file or directory\n")
    done = shell.upcall("property", "get", "--key", WSK_CONFIG_FILE="/")
    assert (done.code, done.err) == (1, "error: / cannot be read: Is a directory\n")
