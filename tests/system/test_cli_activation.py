"""`upcall activation` and `upcall namespace` against the real platform."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.system.serving import Platform, running
from tests.system.shell import Shell

CODE = (
    "import sys\ndef main(args):\n    print('hello', args['n'])\n    print('mind', file=sys.stderr)\n    return args\n"
)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("cli") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def shell(platform: Platform) -> Shell:
    made = Shell.of(platform, platform.data.parent / "home")
    assert made.upcall("activation", "get", "--last").err == "error: there are no activations yet\n"
    platform.create("hello", CODE)
    platform.create("fail", "def main(args): return {'error': 'mine'}")
    return made


def called(shell: Shell, number: int) -> str:
    """The id of a call that has been recorded."""
    id_: str = shell.good("action", "invoke", "hello", "-b", "--json", "-p", "n", str(number)).document["activationId"]
    while shell.upcall("activation", "get", id_).code:
        pass
    return id_


def test_the_record_of_a_call(shell: Shell) -> None:
    id_ = called(shell, 1)
    first, _, record = shell.good("activation", "get", id_).out.partition("\n")
    assert first == f"ok: got activation {id_}"
    assert json.loads(record)["response"]["result"] == {"n": 1}
    assert shell.good("activation", "get", "--last", "--json").document == json.loads(record)
    assert shell.good("activation", "get", "--last", "name").out == (
        f'ok: got activation {id_}, displaying field name\n"hello"\n'
    )
    summary = shell.good("activation", "get", id_, "--summary").out
    assert re.match(r"activation result for '/guest/hello' \(success at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\)\n\{", summary)


def test_logs_and_results(shell: Shell) -> None:
    id_ = called(shell, 2)
    lines = shell.good("activation", "logs", id_).out.splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["stdout: hello 2", "stderr: mind"]
    assert shell.good("activation", "get", "--last", "--logs").out.splitlines() == lines
    assert shell.good("activation", "logs", "--last", "--strip").out == "hello 2\nmind\n"
    assert shell.good("activation", "logs", "-l", "--json").document == {"logs": lines}
    assert shell.good("activation", "result", "--last").out == '{\n    "n": 2\n}\n'
    assert shell.good("activation", "result", id_, "--json").document["status"] == "success"


def test_the_list(shell: Shell) -> None:
    id_ = called(shell, 3)
    heading, row = shell.good("activation", "list", "hello", "--limit", "1").out.splitlines()
    assert heading.split() == ["Datetime", "Activation", "ID", "Kind", "Start", "Duration", "Status", "Entity"]
    cells = rf"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d {id_} python:3 +(warm|cold) +\S+s +success +guest/hello:0.0.1"
    assert re.fullmatch(cells, row)
    assert [row.index("python:3"), row.index("success")] == [heading.index("Kind"), heading.index("Status")]
    whole = shell.good("activation", "list", "--full", "-l", "1").out.partition("\n")[2]
    assert json.loads(whole)["logs"]
    start = shell.good("activation", "get", id_, "start", "--json").document
    later = called(shell, 4)
    listed = shell.good("activation", "list", "--since", str(start), "--upto", str(start), "--json").document
    assert id_ in [entry["activationId"] for entry in listed]
    assert later not in [entry["activationId"] for entry in listed]
    skipped = shell.good("activation", "list", "-s", "1", "-l", "1", "--json").document
    assert [entry["activationId"] for entry in skipped] == [id_]
    for place in ("/guest", "/_", "/guest/"):
        listed = shell.good("activation", "list", place, "-l", "1", "--json").document
        assert [entry["activationId"] for entry in listed] == [later]


def test_a_failure_is_listed_as_one(shell: Shell) -> None:
    shell.upcall("action", "invoke", "fail", "-b")
    listed = ""
    while "guest/fail" not in listed:
        listed = shell.good("activation", "list", "/guest/fail").out
    assert " application error guest/fail:0.0.1\n" in listed


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("get", "0" * 32), 148, f"Unable to get activation '{'0' * 32}': The requested resource does not exist."),
        (("logs", "0" * 32), 148, f"Unable to get logs for activation '{'0' * 32}': The requested"),
        (("result", "0" * 32), 148, f"Unable to get result for activation '{'0' * 32}': The requested"),
        (("get", "0"), 144, "Activation id length is 1 but must be 32."),
        (("get",), 2, "Give its id, or --last."),
        (("logs", "0" * 32, "--last"), 2, "not both"),
        (("get", "0" * 32, "name", "more"), 2, "unexpected extra argument (more)"),
        (("list", "a/b/c/d"), 2, "is no name"),
        (("list", "/"), 2, "is no name"),
        (("list", "/other"), 147, "Unable to obtain the list of activations for namespace 'other'"),
        (("poll", "/other", "--json"), 147, "Unable to obtain the list of activations for namespace 'other'"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(shell: Shell, words: tuple[str, ...], code: int, says: str) -> None:
    done = shell.upcall("activation", *words)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert says in done.err


def test_poll_prints_what_is_new_until_it_is_interrupted(shell: Shell, platform: Platform) -> None:
    old = called(shell, 5)
    with subprocess.Popen(
        [sys.executable, "-m", "upcall", "activation", "poll", "hello"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=shell.environment,
    ) as polling:
        assert polling.stdout
        read = [polling.stdout.readline() for _ in range(2)]
        assert read == ["Enter Ctrl-c to exit.\n", "Polling for activation logs\n"]
        platform.invoke("fail")
        new = platform.invoke("hello", {"n": 6}).body["activationId"]
        seen = [polling.stdout.readline()]
        while seen[-1] != "]\n":
            seen.append(polling.stdout.readline())
        polling.send_signal(signal.SIGINT)
        rest, errors = polling.communicate(timeout=30)
    assert (polling.returncode, rest, errors) == (0, "", "")
    assert seen[:3] == ["\n", f"Activation: 'hello' ({new})\n", "[\n"]
    assert seen[3].endswith('stdout: hello 6",\n')
    assert old not in "".join(seen)


def test_poll_of_the_past_ends_at_its_time(shell: Shell) -> None:
    ids = [called(shell, number) for number in (7, 8)]
    done = shell.good("activation", "poll", "/guest", "--since-minutes", "60", "--exit", "0", "--json")
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [record["activationId"] for record in records[-2:]] == ids
    assert records[-1]["logs"]
    assert shell.good("activation", "poll", "--exit", "0").out == "Enter Ctrl-c to exit.\nPolling for activation logs\n"


def test_namespaces(shell: Shell) -> None:
    assert shell.good("namespace", "list").out == "namespaces\nguest\n"
    assert shell.good("namespace", "list", "--json").document == ["guest"]
    shown = shell.good("namespace", "get", "--name-sort").out.splitlines()
    assert shown[0] == "Entities in namespace: guest"
    assert [line.split()[0] for line in shown if "python:3" in line] == ["/guest/fail", "/guest/hello"]
    whole = shell.good("namespace", "get", "/guest", "--json").document
    assert {entry["name"] for entry in whole["actions"]} == {"fail", "hello"}
    refused = shell.upcall("namespace", "get", "other")
    assert (refused.code, "Unable to obtain the list of entities for namespace 'other'" in refused.err) == (147, True)
    assert shell.upcall("namespace", "get", "a/b").code == 2
    assert shell.good("list", "--name-sort").out.splitlines() == shown
    assert shell.good("list", "/guest", "--json").document == whole
