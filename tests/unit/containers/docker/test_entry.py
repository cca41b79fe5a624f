"""How a container begins; `tests/docker/test_logs_entry.py` begins some."""

import pytest

from upcall.containers.docker.entry import BEGUN, ERR, MISSING, OUT, Program, Shells, spoils, wrapped


def a_program(image: str = "sha256:1", path: str = "/usr/bin:/bin", **members: tuple[str, ...]) -> Program:
    return Program(image, environment=(f"PATH={path}",), **{"command": ("run",), **members})


def test_the_shell_is_the_entry_point_and_the_program_its_arguments() -> None:
    entry = wrapped(
        "sh", a_program(entrypoint=("python3", "-u"), command=("a b", "$c")), "/run/7/stdout", "/run/7/stderr"
    )
    assert entry.entrypoint is not None
    assert (entry.entrypoint[:2], entry.entrypoint[3]) == (("sh", "-c"), "sh")
    assert entry.command == ("python3", "-u", "a b", "$c")
    assert [(mount["Source"], mount["Target"]) for mount in entry.mounts] == [
        ("/run/7/stdout", OUT),
        ("/run/7/stderr", ERR),
    ]
    script = entry.entrypoint[2]
    assert all(text in script for text in (OUT, ERR, BEGUN.decode(), MISSING.decode(), 'exec "$@"'))


def test_an_image_that_runs_nothing_is_left_alone() -> None:
    assert Shells().of(a_program(command=())) is None


@pytest.mark.parametrize(
    ("variable", "spoilt"),
    [("A=1", False), ("_=", False), ("a1=x=y", False), ("a.b=1", True), ("1a=", True), ("=x", True)],
)
def test_variables_that_a_shell_would_drop_are_known(variable: str, spoilt: bool) -> None:
    assert spoils((variable,)) is spoilt
    assert (Shells().of(Program("x", command=("run",), environment=(variable,))) is None) is spoilt


def test_the_shell_on_the_path_is_tried_and_then_none() -> None:
    shells = Shells()
    assert shells.of(a_program()) == "sh"
    shells.refuse(a_program(), "sh")
    assert shells.of(a_program()) is None
    assert shells.of(a_program("sha256:2")) == "sh"


def test_where_the_path_leaves_out_the_usual_place_that_is_tried_next() -> None:
    shells, program = Shells(), a_program(path="/usr/local/bin")
    shells.refuse(program, "sh")
    assert shells.of(program) == "/bin/sh"
    shells.refuse(program)
    assert shells.of(program) is None


def test_the_last_path_counts() -> None:
    shells = Shells()
    program = Program("x", command=("run",), environment=("PATH=/bin", "A=1", "PATH=/x"))
    shells.refuse(program, "sh")
    assert shells.of(program) == "/bin/sh"


def test_images_that_were_tried_long_ago_are_forgotten() -> None:
    shells = Shells()
    for number in range(2000):
        shells.refuse(a_program(str(number)))
    assert shells.of(a_program("0")) == "sh"
    assert shells.of(a_program("1999")) is None
