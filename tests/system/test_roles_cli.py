"""What `upcall invoker`, `upcall controller` and `upcall config` say on the command line before anything runs."""

import os
import subprocess
import sys

import pytest

CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("UPCALL_", "CONFIG_", "KAFKA_", "WHISK_", "KUBERNETES_")) and name != "PORT"
}


def upcall(*words: str, **environment: str) -> tuple[int, list[str], str]:
    """Exit code, lines of stderr, stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "upcall", *words],
        env={**CLEAN, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.splitlines(), done.stdout


@pytest.mark.parametrize(
    ("words", "environment", "starts"),
    [
        (
            ["invoker"],
            {},
            [
                "upcall: 2 settings are wrong or missing:",
                "  an Invoker needs brokers: name them by --kafka-hosts HOST:PORT or the variable KAFKA_HOSTS.",
                "  say which Invoker this is: --id N (or UPCALL_ID); or --uniqueName NAME, whose number",
            ],
        ),
        (["controller"], {}, ["upcall: a controller needs brokers: name them by --kafka-hosts"]),
        (
            ["invoker", "--overwriteId", "3"],
            {"KAFKA_HOSTS": "a:1"},
            ["upcall: --overwriteId N is for a name whose number ZooKeeper keeps"],
        ),
        (["invoker", "--uniqueName", "w"], {"KAFKA_HOSTS": "a:1"}, ["upcall: --uniqueName w without --id: "]),
        (
            ["invoker", "--id", "0"],
            {"KAFKA_HOSTS": "a:1", "CONFIG_whisk_etcd_hosts": "e:1"},
            ["upcall: whisk.etcd.hosts: etcd is for OpenWhisk's function-pulling scheduler"],
        ),
        (
            ["controller", "--port", "x", "--id", "a b"],
            {"UPCALL_TLS": "maybe", "KAFKA_HOSTS": "a"},
            [
                "upcall: 4 settings are wrong or missing:",
                "  --port: 'x' is no port",
                "  --id: 'a b' is no id",
                "  UPCALL_TLS: 'maybe' is none of: off, self-signed",
                "  KAFKA_HOSTS: 'a' is no broker",
            ],
        ),
    ],
)
def test_all_that_is_wrong_or_missing_is_said_in_one_message(
    words: list[str], environment: dict[str, str], starts: list[str]
) -> None:
    code, told, out = upcall(*words, **environment)
    assert (code, out) == (1, "")
    assert len(told) == len(starts), told
    assert all(line.startswith(start) for line, start in zip(told, starts, strict=True)), told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--verbose"], "error: No such option '--verbose'."),
        (["3"], "error: Got unexpected extra argument (3)"),
        (["--port"], "error: Option '--port' requires an argument."),
    ],
)
@pytest.mark.parametrize("role", ["invoker", "controller"])
def test_an_argument_that_is_not_known_ends_it_with_1(role: str, words: list[str], told: str) -> None:
    code, lines, out = upcall(role, "--id", "0", *words, KAFKA_HOSTS="a:1")
    assert (code, out) == (1, "")
    assert len(lines) == 1
    assert lines[0].startswith(told)
    assert lines[0].endswith(f"(see: upcall {role} --help)")


def test_config_shows_the_same_faults_and_exits_with_1() -> None:
    code, told, out = upcall("config", "--role", "invoker", UPCALL_PORT="x")
    assert code == 1
    assert told[0] == "upcall: 3 settings are wrong or missing:"
    assert "UPCALL_PORT  WRONG: 'x' is no port: 0 (any free one) to 65535" in out
    assert upcall("config", "--role", "invoker", "--id", "0", "--kafka-hosts", "a:1")[:2] == (0, [])


@pytest.mark.parametrize("role", ["invoker", "controller"])
def test_help_names_the_options_of_the_role(role: str) -> None:
    code, _, out = upcall(role, "--help")
    assert code == 0
    assert "--kafka-hosts" in out
    assert "--bus" not in out
    assert ("--uniqueName" in out) == (role == "invoker")
    assert ("--auth " in out) == (role == "controller")
    assert f"upcall config --role {role}" in out
