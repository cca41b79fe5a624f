"""scripts/images: what it makes, and what it says where it cannot."""

import re
import subprocess
import sys

import pytest

from tests.system.engine import Engine
from tests.system.engine_images import BASES, PROJECT
from upcall import __version__

TIMEOUT = 100


def images(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/images.py", *arguments]
    return subprocess.run(command, check=False, cwd=PROJECT, capture_output=True, text=True, timeout=TIMEOUT)


def test_one_is_made_under_another_tag(engine: Engine) -> None:
    made = images("skeleton", "--base-python", BASES["python"], "--docker-host", engine.url, "--tag", "mine")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith(f"upcall/skeleton:mine, from {BASES['python']}\n  upcall/skeleton:mine  ")
    assert "upcall/skeleton:mine" in engine.images()


def test_names_follow_the_languages_version(engine: Engine) -> None:
    ids = {name: engine.call("GET", f"/images/{name}/json")["Id"] for name in engine.images()}
    for name, version in (("python", r"3\.\d+"), ("nodejs", r"\d+"), ("skeleton", None)):
        own = ids[f"upcall/{name}:{__version__}"]
        tags = {each.partition(":")[2] for each, id in ids.items() if id == own and each.startswith(f"upcall/{name}:")}
        others = tags - {__version__, "mine"}
        assert all(re.fullmatch(version, each) for each in others) if version else not others
        assert len(others) == (version is not None)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("python", "--base-python", "nobody/nothing:1"), "Name another with --base-python IMAGE."),
        (("nodejs", "--base-nodejs", "nobody/nothing"), "Name another with --base-nodejs IMAGE."),
        (("nodejs", "--base-nodejs", BASES["python"]), f"cannot be built on {BASES['python']}: "),
        (("invoker", "--base-invoker", BASES["python"]), f"cannot be built on {BASES['python']}: "),  # it has no bash
        (("invoker", "--base-invoker", BASES["nodejs"]), "executable file not found"),
        (("skeleton", "--base-python", "A b;c"), "invalid reference format"),
        (("python", "--base-python", BASES["python"], "--tag", "A b"), "A b"),
    ],
)
def test_what_cannot_be_made_is_told_in_a_sentence(engine: Engine, arguments: tuple[str, ...], text: str) -> None:
    made = images(*arguments, "--docker-host", engine.url)
    assert made.returncode == 1
    assert made.stderr.startswith("images: ")
    assert text in made.stderr
    assert "Traceback" not in made.stderr


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("unix:///nowhere/docker.sock", "Start Docker, or name its address with --docker-host URL."),
        ("nowhere", "'nowhere' is no address of a Docker engine: write unix:///path or tcp://host:port."),
    ],
)
def test_an_engine_that_is_not_there_is_told(host: str, text: str) -> None:
    made = images("--docker-host", host)
    assert (made.returncode, made.stderr.count("\n")) == (1, 1)
    assert text in made.stderr
