"""Which kinds run here, and what is said of those that do not."""

import sys
from pathlib import Path

import pytest

from upcall.containers import kinds
from upcall.runtimes.python import confine


def a_node(folder: Path, script: str, name: str = "node") -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_node_is_asked_where_and_what_it_is(path: Path) -> None:
    a_node(path, "echo /opt/n/bin/node; echo 18.19.0; echo 1024")
    assert kinds.find_node() == kinds.Node("/opt/n/bin/node", 18, 17 << 20)
    assert kinds.node_kinds(kinds.find_node()) == ("nodejs:18",)


def test_debians_older_name_will_do(path: Path) -> None:
    a_node(path, "echo /usr/bin/nodejs; echo 16.1.0; echo 0", "nodejs")
    assert kinds.find_node() == kinds.Node("/usr/bin/nodejs", 16, 16 << 20)


@pytest.mark.parametrize(
    "script", ["echo /n; echo 14.21.3; echo 1", "exit 1", "echo no; echo number; echo 1", "echo one-line", ":"]
)
def test_what_is_too_old_or_no_node_is_not_offered(path: Path, script: str) -> None:
    a_node(path, script)
    assert kinds.find_node() is None
    assert kinds.node_kinds(None) == ()


def test_options_of_the_operators_shell_do_not_count(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_OPTIONS", "--no-such")
    a_node(path, 'echo "/n${NODE_OPTIONS}"; echo 22.0.0; echo 0')
    assert kinds.find_node() == kinds.Node("/n", 22, 16 << 20)


def test_a_node_that_hangs_does_not_hang_the_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_PATIENCE", 0.05)
    a_node(path, "exec /bin/sleep 60")
    assert kinds.find_node() is None


def test_the_operator_is_told_what_to_install_and_only_then(path: Path) -> None:
    assert kinds.find_node() is None
    assert "apt-get install nodejs" in kinds.remark(None)
    assert kinds.remark(kinds.Node("/n", 20)) == ""


@pytest.mark.parametrize(
    ("kind", "node", "text"),
    [
        ("nodejs:20", None, "This host has no usable Node.js: it takes Node.js 16 or later on PATH, as from apt-get"),
        ("nodejs:18", kinds.Node("/n", 20), "The Node.js of this host is version 20: it takes"),
        ("python:2", None, f"The Python of this platform is version 3.{sys.version_info.minor}."),
        ("cobol:68", None, ""),
    ],
)
def test_a_kind_that_does_not_run_is_refused_with_what_it_takes(kind: str, node: kinds.Node | None, text: str) -> None:
    error = kinds.refusal(kind, node)
    assert str(error).startswith(f"The process driver does not run actions of kind {kind}. {text}".strip())
    assert error.developer


def test_each_kind_has_its_runtime() -> None:
    names = [kinds.runtime_of(kind) for kind in ("python:3", "nodejs:20", "blackbox")]
    assert names == [confine.PYTHON, confine.NODEJS, confine.NATIVE]
