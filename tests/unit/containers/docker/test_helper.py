"""Docker's credential helpers, as programs."""

import asyncio
from pathlib import Path

import pytest

from upcall.containers.docker.helper import HelperFailed, ask


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "docker-credential-test"


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


async def test_it_is_asked_on_its_standard_input(program: Path) -> None:
    write(
        program, 'read -r server; echo "{\\"ServerURL\\":\\"x\\",\\"Username\\":\\"$1\\",\\"Secret\\":\\"$server\\"}"'
    )
    assert await ask("test", "reg:5000") == {"username": "get", "password": "reg:5000"}


async def test_a_token_is_no_password(program: Path) -> None:
    write(program, """echo '{"Username":"<token>","Secret":"t"}'""")
    assert await ask("test", "reg") == {"identitytoken": "t"}


async def test_it_may_have_none(program: Path) -> None:
    write(program, "echo credentials not found in native keychain; exit 1")
    assert await ask("test", "reg") is None


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (
            "echo hunter2; echo hunter2 >&2; exit 3",
            "docker-credential-test has failed with status 3; try it: echo reg |",
        ),
        ('printf \'{"Username":"\\377"}\'', "has not answered as a credential helper does"),
        ("echo hunter2", "has not answered as a credential helper does"),
        ("while :; do echo hunter2hunter2hunter2hunter2hunter2hunter2; done", "has failed"),
    ],
)
async def test_what_fails_is_told_without_what_it_said(program: Path, script: str, says: str) -> None:
    write(program, script)
    with pytest.raises(HelperFailed) as failure:
        await ask("test", "reg")
    assert says in str(failure.value)
    assert "hunter2" not in str(failure.value)


async def test_one_that_hangs_is_killed_with_all_that_it_has_started(program: Path, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    write(program, f"sleep 1000 & echo $$ $! > {pids}.part; mv {pids}.part {pids}; wait")
    with pytest.raises(HelperFailed, match=r"has not answered in 2 s"):
        await ask("test", "reg", patience=2.0)
    async with asyncio.timeout(10):
        while any(alive(pid) for pid in pids.read_text().split()):
            await asyncio.sleep(0.01)


def alive(pid: str) -> bool:
    """Running: no zombie that its parent has not looked at yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("name", ["../../bin/sh", "x y", "", "-x", "x\n", "a;b", "x" * 101])
async def test_only_a_name_is_run(name: str) -> None:
    with pytest.raises(HelperFailed, match="is no name of a credential helper"):
        await ask(name, "reg")


async def test_a_missing_one_is_named_with_the_way_out() -> None:
    with pytest.raises(HelperFailed, match=r"docker-credential-upcalltest-no cannot be run .*: install it on PATH"):
        await ask("upcalltest-no", "reg")
