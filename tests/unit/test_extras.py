"""What is said where a package is missing: a line that works in a checkout and in any environment."""

import shlex
import subprocess
import sys

import pytest

from upcall.extras import missing


def test_the_line_names_the_package_and_the_interpreter_that_looks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/my files/python")
    assert str(missing("Kafka", "confluent-kafka")) == (
        "Kafka needs the package confluent-kafka: '/my files/python' -m pip install confluent-kafka"
    )


def test_this_interpreter_has_pip() -> None:
    line = str(missing("this", "msgspec")).partition(": ")[2]
    subprocess.run([*shlex.split(line), "--dry-run", "--no-index"], check=True, capture_output=True, timeout=60)
