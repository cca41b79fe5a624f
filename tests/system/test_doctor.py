"""The command as people use it."""

import json
import subprocess
import sys
from pathlib import Path

UPCALL = Path(sys.executable).with_name("upcall")
ERROR = 'Error response from daemon: {"message":"mkdir /usr/lib/x86_64-linux-gnu: read-only file system"}'


def explain(text: str, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [str(UPCALL), "doctor", "explain", *flags]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=30)


def test_an_error_is_explained_in_one_line() -> None:
    done = explain(f"{ERROR}\n")
    (line,) = done.stdout.splitlines()
    assert line.startswith("HOST-01 error")
    assert "`- name: apparmor`" in line
    assert (done.returncode, done.stderr) == (2, "")


def test_a_warning_has_an_exit_code_of_its_own() -> None:
    assert explain("accept4: too many open files").returncode == 1


def test_what_is_unknown_is_said_to_be() -> None:
    done = explain("all is well\n")
    assert done.returncode == 0
    assert "blames nothing" in done.stdout


def test_programs_get_json() -> None:
    (found,) = json.loads(explain(ERROR, "--json").stdout)["findings"]
    assert found["patch"] == {"type": "lines", "file": "invoker.yml", "delete": ["- name: apparmor"]}


def test_bytes_that_are_no_text_are_read_over(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"\xff\xfe\x00 exec format error\n")
    assert explain("", str(file)).returncode == 2


def test_a_file_that_is_not_there_is_named() -> None:
    done = explain("", "/nonexistent.log")
    assert done.returncode != 0
    assert "/nonexistent.log" in done.stderr
    assert "Traceback" not in done.stderr
