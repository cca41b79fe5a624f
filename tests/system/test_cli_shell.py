"""The command line among other tools: pipes, interrupts, terminals, completion, and how little it loads."""

import os
import pty
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.serving import Platform, running
from tests.system.shell import Shell

HEAVY = ("aiohttp", "asyncio", "uvicorn", "starlette", "rich", "msgspec", "upcall.app", "upcall.config")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("cli") / "data", "--grace", "1 s") as started:
        started.create("hello", "def main(args): return args")
        yield started


@pytest.fixture(scope="module")
def shell(platform: Platform) -> Shell:
    return Shell.of(platform, platform.data.parent / "home")


@pytest.mark.parametrize("words", [["--help"], ["action", "list", "--help"], ["action", "list"], ["property", "get"]])
def test_a_verb_loads_nothing_of_the_platform(shell: Shell, words: list[str]) -> None:
    script = (
        "import sys; from upcall.cli.main import main\n"
        "try: main()\n"
        f"finally: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        check=True,
        env=shell.environment,
        timeout=60,
    )
    assert done.stderr == "[]\n"


def piped(shell: Shell, command: str) -> subprocess.CompletedProcess[str]:
    """A line of bash, in which `upcall` is ours."""
    script = f'upcall() {{ "{sys.executable}" -m upcall "$@"; }}\n{command}'
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=shell.environment, timeout=60, check=False
    )


def test_a_reader_that_has_gone_is_no_trouble(shell: Shell) -> None:
    done = piped(shell, "upcall action get hello | head -1")
    assert (done.stdout, done.stderr) == ("ok: got action hello\n", "")
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "upcall", "action", "list"]
    closed = subprocess.run(
        command, stdout=write, stderr=subprocess.PIPE, env=shell.environment, timeout=60, check=False
    )
    os.close(write)
    assert (closed.returncode, closed.stderr) == (141, b"")


def test_output_that_cannot_be_written_is_told(shell: Shell) -> None:
    done = piped(shell, "upcall action list > /dev/full")
    assert (done.returncode, done.stderr) == (1, "error: the output cannot be written: No space left on device\n")
    assert piped(shell, "upcall action list >&-").returncode == 0


def test_an_interrupt_ends_it_at_once(shell: Shell, platform: Platform) -> None:
    platform.create("slow", "import time\ndef main(args):\n    time.sleep(50)")
    command = [sys.executable, "-m", "upcall", "-v", "action", "invoke", "slow", "-b"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=shell.environment) as calling:
        assert calling.stderr
        while not calling.stderr.readline().startswith("> POST"):
            pass
        while b"slow" not in urllib.request.urlopen(f"{platform.url}/activation", timeout=60).read():
            pass
        calling.send_signal(signal.SIGINT)
        rest = calling.stderr.read()
        assert (calling.wait(), rest.strip()) == (130, "")


def on_terminal(shell: Shell, *words: str, **variables: str) -> str:
    """What a user sees."""
    near, far = pty.openpty()
    environment = {**shell.environment, "TERM": "xterm", **variables}
    with subprocess.Popen(
        [sys.executable, "-m", "upcall", *words], stdin=far, stdout=far, stderr=far, env=environment, cwd=shell.home
    ) as running_:
        os.close(far)
        seen = b""
        while piece := _read(near):
            seen += piece
        running_.wait()
    os.close(near)
    return seen.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # the other end is closed
        return b""


def test_colours_are_for_terminals_that_want_them(shell: Shell) -> None:
    shown = on_terminal(shell, "action", "get", "hello")
    assert shown.startswith("\x1b[32mok:\x1b[0m got action \x1b[1mhello\x1b[0m\r\n")
    assert "\x1b" not in on_terminal(shell, "action", "get", "hello", NO_COLOR="1")
    assert "\x1b[31merror:\x1b[0m" in on_terminal(shell, "action", "get", "nothing")
    assert "\x1b" not in on_terminal(shell, "action", "get", "nothing", NO_COLOR="1")
    assert "\x1b" not in shell.good("action", "get", "hello").out


def test_a_large_upload_shows_how_far_it_is(shell: Shell) -> None:
    shell.write("large.py", "def main(args): return args\n#" + "x" * (2 << 20))
    shown = on_terminal(shell, "action", "update", "large", "large.py", NO_COLOR="1")
    percents = [int(number) for number in re.findall(r"\rsending large.py: +(\d+) % of 2\.0 MB", shown)]
    assert percents[0] == 0
    assert percents[-1] > 90
    assert percents == sorted(set(percents))
    assert shown.endswith("\r\x1b[Kok: updated action large\r\n")
    shell.write("small.py", "def main(args): return args")
    assert "sending" not in on_terminal(shell, "action", "update", "large", "small.py")
    assert shell.good("action", "update", "large", "large.py").out == "ok: updated action large\n"


def test_a_typo_suggests_the_verb(shell: Shell) -> None:
    done = shell.upcall("actoin", "list")
    assert done.code == 2
    assert "No such command 'actoin'" in done.err
    assert "'action'" in done.err
    assert done.err.count("\n") == 1
    assert "Did you mean 'invoke'?" in shell.upcall("action", "invok").err
    assert "Did you mean '--limit'?" in shell.upcall("action", "list", "--limt", "1").err


def test_serve_takes_no_flags_of_the_user_s_verbs(shell: Shell) -> None:
    done = shell.upcall("--auth", "a:b", "serve")
    assert (done.code, "--auth: 'serve' does not take this before its name" in done.err) == (2, True)


def commands() -> list[tuple[str, ...]]:
    from upcall.cli.flags import VerbGroup
    from upcall.cli.main import VERBS, cli

    found: list[tuple[str, ...]] = []
    for verb in VERBS:
        command = cli.get_command(cli.make_context("upcall", [], resilient_parsing=True), verb)
        if isinstance(command, VerbGroup):
            found += [(verb, name) for name in command.commands]
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_teaches_by_an_example(shell: Shell, words: tuple[str, ...]) -> None:
    shown = shell.good(*words, "--help").out
    assert re.search(rf"^  upcall {' '.join(words)}\b", shown, re.MULTILINE)
    assert "Flags of verbs that ask a server:" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert shell.good(*words, "-h").out == shown


def test_completion_in_bash(shell: Shell) -> None:
    script = shell.good("completion", "bash").out
    (shell.home / "upcall").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m upcall "$@"\n')
    (shell.home / "upcall").chmod(0o755)
    tried = f"""{script}
        PATH={shell.home}:$PATH
        complete_line() {{ COMP_WORDS=($1); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); COMPREPLY=()
          _upcall_completion upcall; echo "${{COMPREPLY[@]}}"; }}
        complete_line "upcall nam"; complete_line "upcall action li"; complete_line "upcall action list --name" """
    done = subprocess.run(
        ["bash", "-c", tried], capture_output=True, text=True, env=shell.environment, timeout=60, check=False
    )
    assert (done.stdout.split("\n"), done.stderr) == (["namespace", "list", "--name-sort", ""], "")


def test_completion_of_other_shells(shell: Shell) -> None:
    assert shell.good("completion", "zsh").out.startswith("#compdef upcall")
    assert "complete --no-files --command upcall" in shell.good("completion", "fish").out
    assert shell.upcall("completion", "ksh").code == 2


def test_the_home_folder_may_be_missing(tmp_path: Path) -> None:
    done = Shell(tmp_path).upcall("action", "list", HOME="/nonexistent")
    assert (done.code, done.err.startswith("error: no server is known")) == (2, True)
