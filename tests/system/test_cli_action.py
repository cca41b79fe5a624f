"""`upcall action` against the real platform, found by its data folder alone."""

import base64
import io
import json
import re
import zipfile
from collections.abc import Iterator

import pytest

from tests.system.serving import running
from tests.system.shell import Shell

ECHO = 'def main(args):\n    print("at work")\n    return args\n'
CODE = r"\(code [A-Za-z0-9]{32}\)\n"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("cli")
    with running(folder / "data", environment={"UPCALL_LIMITS_BLOCKING_WAIT": "400 ms"}) as platform:
        made = Shell.of(platform, folder / "home")
        made.write("echo.py", ECHO)
        made.good("action", "create", "echo", "echo.py")
        yield made


def test_an_action_is_created_called_read_and_deleted(shell: Shell) -> None:
    assert shell.good("action", "create", "hello", "echo.py").out == "ok: created action hello\n"
    assert re.fullmatch(r"ok: invoked /_/hello with id [0-9a-f]{32}\n", shell.good("action", "invoke", "hello").out)
    assert shell.good("action", "invoke", "hello", "-r", "-p", "name", "Ada").out == '{\n    "name": "Ada"\n}\n'
    assert "/guest/hello".ljust(70) + " private python:3\n" in shell.good("action", "list").out
    first, _, record = shell.good("action", "get", "hello").out.partition("\n")
    assert first == "ok: got action hello"
    assert '    "name": "hello",\n' in record
    assert '"code"' not in record
    assert shell.good("action", "delete", "hello").out == "ok: deleted action hello\n"
    gone = shell.upcall("action", "get", "hello")
    assert gone.code == 148
    assert re.fullmatch("error: Unable to get action 'hello': The requested resource does not exist. " + CODE, gone.err)


def test_creating_twice_is_a_conflict_and_updating_is_none(shell: Shell) -> None:
    done = shell.upcall("action", "create", "echo", "echo.py")
    assert done.code == 153
    assert re.fullmatch("error: Unable to create action 'echo': resource already exists " + CODE, done.err)
    before = shell.good("action", "get", "echo", "version", "--json").document
    assert shell.good("action", "update", "echo", "echo.py").out == "ok: updated action echo\n"
    assert shell.good("action", "get", "echo", "version", "--json").document != before


def test_flags_count_before_and_after_the_verb(shell: Shell) -> None:
    wrong = "x:y"
    for words in (("-u", wrong, "action", "list"), ("action", "-u", wrong, "list"), ("action", "list", "-u", wrong)):
        done = shell.upcall(*words)
        assert (done.code, "The supplied authentication is invalid" in done.err) == (145, True)


def test_a_blocking_call_shows_the_record(shell: Shell) -> None:
    done = shell.good("action", "invoke", "echo", "--blocking", "--param", "n", "5")
    first, _, record = done.out.partition("\n")
    id_ = first.removeprefix("ok: invoked /_/echo with id ")
    assert f'"activationId": "{id_}"' in record
    assert shell.good("action", "invoke", "echo", "-b", "--json").document["response"]["status"] == "success"


def test_values_that_are_json_are_json(shell: Shell) -> None:
    shell.write("arguments.json", '{"a": [1, {"b": null}], "n": 1, "snow": "☃"}')
    words = ("-P", "arguments.json", "-p", "n", "2", "-p", "text", "007", "-p", "quoted", '"5"', "-p", "flag", "true")
    assert shell.good("action", "invoke", "echo", "-r", *words).document == {
        "a": [1, {"b": None}],
        "n": 2,
        "snow": "☃",
        "text": "007",
        "quoted": "5",
        "flag": True,
    }


def test_what_the_terminal_cannot_show_is_escaped(shell: Shell) -> None:
    done = shell.good("action", "invoke", "echo", "-r", "-p", "s", "☃", PYTHONIOENCODING="latin-1")
    assert done.document == {"s": "☃"}
    assert "\\u2603" in done.out


def test_an_action_s_own_error_is_its_result_on_stderr(shell: Shell) -> None:
    shell.write("fail.py", "def main(args): return {'error': 'mine'}")
    shell.good("action", "create", "fail", "fail.py")
    done = shell.upcall("action", "invoke", "fail", "-r")
    assert (done.code, done.out, done.err) == (246, "", '{\n    "error": "mine"\n}\n')
    done = shell.upcall("action", "invoke", "fail", "-b")
    assert (done.code, done.out) == (246, "")
    assert '"status": "application error"' in done.err
    done = shell.upcall("action", "invoke", "fail", "-r", "--json")
    assert (done.code, done.document, done.err) == (246, {"error": "mine"}, "")
    assert shell.upcall("action", "invoke", "fail").code == 0


def test_a_result_that_is_a_list_is_printed_as_one(shell: Shell) -> None:
    shell.write("many.py", "def main(args): return [1, 2]")
    shell.good("action", "create", "many", "many.py")
    assert shell.good("action", "invoke", "many", "-r").document == [1, 2]
    first = shell.good("action", "invoke", "many", "-b").out.partition("\n")[0]
    assert re.fullmatch("ok: invoked /_/many with id [0-9a-f]{32}", first)


def test_a_call_that_takes_longer_than_callers_wait(shell: Shell) -> None:
    shell.write("slow.py", "import time\ndef main(args): time.sleep(1)")
    shell.good("action", "create", "slow", "slow.py")
    done = shell.upcall("action", "invoke", "slow", "-b")
    assert (done.code, done.err) == (202, "")
    assert re.fullmatch("ok: invoked /_/slow, but the request has not yet finished, with id [0-9a-f]{32}\n", done.out)


def test_parameters_annotations_and_limits(shell: Shell) -> None:
    shell.write("annotations.json", '{"description": "Says hello", "final": false}')
    shell.good(
        *("action", "create", "full", "echo.py", "-p", "n", "5", "-A", "annotations.json", "-a", "tag", "[1]"),
        *("-t", "5000", "-m", "128", "-l", "1", "-c", "1", "--main", "main"),
    )
    action = shell.good("action", "get", "full", "--json").document
    assert action["limits"] == {"timeout": 5000, "memory": 128, "logs": 1, "concurrency": 1}
    assert action["parameters"] == [{"key": "n", "value": 5}]
    assert {"description": "Says hello", "final": False, "tag": [1]}.items() <= values(action).items()
    assert action["exec"]["main"] == "main"
    shown = shell.good("action", "get", "full", "--summary").out
    assert shown == "action /guest/full: Says hello\n   (parameters: *n)\n"
    shell.good("action", "update", "full", "--del-annotation", "tag", "-a", "description", "Shorter")
    action = shell.good("action", "get", "full", "--json").document
    assert values(action)["description"] == "Shorter"
    assert "tag" not in values(action)
    assert action["parameters"] == [{"key": "n", "value": 5}]
    too_much = shell.upcall("action", "update", "full", "-m", "4096")
    assert too_much.code == 144
    assert "memory size 4096 MB exceeds allowed threshold of 512 MB" in too_much.err


def values(action: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    return {str(entry["key"]): entry["value"] for entry in action["annotations"]}


def test_web_actions(shell: Shell) -> None:
    shell.good("action", "create", "page", "echo.py", "--web", "raw", "--web-secure", "true")
    made = values(shell.good("action", "get", "page", "--json").document)
    assert (made["web-export"], made["raw-http"], made["final"]) == (True, True, True)
    assert isinstance(made["require-whisk-auth"], int)
    assert re.search(
        r"\nhttp://127.0.0.1:\d+/api/v1/web/guest/default/page\n", shell.good("action", "get", "page", "-r").out
    )
    shell.good("action", "update", "page", "--web-secure", "sesame")
    assert values(shell.good("action", "get", "page", "--json").document)["require-whisk-auth"] == "sesame"
    shell.good("action", "update", "page", "--web", "no", "--web-secure", "false")
    made = values(shell.good("action", "get", "page", "--json").document)
    assert (made["web-export"], made["raw-http"], made["final"]) == (False, False, False)
    assert "require-whisk-auth" not in made
    refused = shell.upcall("action", "update", "page", "--web-secure", "sesame")
    assert (refused.code, "--web-secure needs --web" in refused.err) == (2, True)
    assert shell.good("action", "get", "page", "--url").out.endswith("/api/v1/namespaces/guest/actions/page\n")


def test_a_copy_takes_all_and_more(shell: Shell) -> None:
    shell.good("action", "create", "original", "echo.py", "-p", "a", "1", "-p", "b", "1", "-t", "7000")
    told = shell.upcall("-d", "action", "create", "copy", "--copy", "original", "-p", "b", "2", "-p", "c", "3").err
    sent = next(line for line in told.splitlines() if line.startswith('> {"exec"'))
    assert json.loads(sent[2:])["parameters"] == [{"key": key, "value": n} for n, key in enumerate("abc", 1)]
    assert shell.good("action", "invoke", "copy", "-r").document == {"a": 1, "b": 2, "c": 3}
    assert shell.good("action", "get", "copy", "limits", "--json").document["timeout"] == 7000
    assert shell.upcall("action", "create", "copy2", "--copy", "nothing").code == 148


def test_code_is_saved_as_it_was(shell: Shell) -> None:
    assert shell.good("action", "get", "echo", "--save-as", "saved.txt").out == (
        f"ok: saved action code to {shell.home / 'saved.txt'}\n"
    )
    assert (shell.home / "saved.txt").read_text() == ECHO
    refused = shell.upcall("action", "get", "echo", "--save")
    assert (refused.code, f"'{shell.home / 'echo.py'}' is there already" in refused.err) == (1, True)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("__main__.py", ECHO)
    shell.write("packed.zip", packed.getvalue())
    shell.good("action", "create", "archive", "packed.zip", "--kind", "python:default")
    assert shell.good("action", "invoke", "archive", "-r", "-p", "n", "1").document == {"n": 1}
    shell.good("action", "get", "archive", "--save")
    assert (shell.home / "archive.zip").read_bytes() == packed.getvalue()


def test_a_native_program(shell: Shell) -> None:
    shell.write("program", '#!/bin/sh\necho "{\\"said\\": $1}"\n')
    shell.good("action", "create", "native", "program", "--native")
    assert shell.good("action", "get", "native", "exec", "--json").document["kind"] == "blackbox"
    assert shell.good("action", "invoke", "native", "-r", "-p", "n", "1").document == {"said": {"n": 1}}


def test_lists_are_cut_and_sorted(shell: Shell) -> None:
    for name in ("z1", "z3", "z2"):
        shell.good("action", "create", name, "echo.py")
    newest = [entry["name"] for entry in shell.good("action", "list", "-l", "3", "--json").document]
    assert newest == ["z2", "z3", "z1"]
    assert [entry["name"] for entry in shell.good("action", "list", "-l", "1", "-s", "1", "--json").document] == ["z3"]
    rows = shell.good("action", "list", "/guest", "--limit", "3", "--name-sort").out.splitlines()
    assert [row.split()[0] for row in rows] == ["actions", "/guest/z1", "/guest/z2", "/guest/z3"]
    refused = shell.upcall("action", "list", "--limit", "201")
    assert refused.code == 144
    assert refused.err.count("\n") == 1


def test_names_with_blanks_and_namespaces(shell: Shell) -> None:
    shell.good("action", "create", "x y z", "echo.py")
    assert shell.good("action", "invoke", "/guest/x y z", "-r", "-p", "a", "1").document == {"a": 1}
    refused = shell.upcall("action", "get", "/other/echo")
    assert (refused.code, "not authorized" in refused.err) == (147, True)
    assert shell.upcall("action", "get", "a/b/c/d").code == 2
    assert shell.upcall("action", "get", "hi+there").code == 144


def test_what_is_too_large_is_told_by_the_server(shell: Shell) -> None:
    shell.write("huge.py", "#" * (50 * 1024 * 1024 + 1))
    done = shell.upcall("action", "create", "huge", "huge.py")
    assert done.code == 157
    assert re.fullmatch(
        r"error: Unable to create action 'huge': .* larger than allowed: \d+ > \d+ bytes. " + CODE, done.err
    )


def test_a_sequence_is_sent_as_one(shell: Shell) -> None:
    done = shell.upcall("-d", "action", "create", "pair", "--sequence", "echo,/guest/echo")
    assert '"components": ["/_/echo", "/guest/echo"]' in done.err
    assert (done.code, done.out) == (0, "ok: created action pair\n")
    none = shell.upcall("action", "create", "other", "--sequence", "echo,none")
    assert (none.code, "Sequence component does not exist." in none.err) == (144, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("create", "a"), "An action needs code"),
        (("create", "a", "nothing.py"), "the file 'nothing.py' cannot be read: No such file"),
        (("create", "a", "packed.foo"), "say it by --kind"),
        (("create", "a", "a.jar"), "cannot be read"),
        (("create", "a", "echo.py", "--native", "--kind", "x"), "exclude each other"),
        (("create", "a", "--sequence"), "--sequence needs"),
        (("create", "a", "--copy"), "--copy needs"),
        (("update", "a", "--kind", "python:3"), "need the file with the code"),
        (("create", "a", "echo.py", "-P", "echo.py"), "the file 'echo.py' is no JSON"),
        (("create", "a", "echo.py", "-t", "soon"), "'soon' is not a valid integer"),
        (("create", "a", "echo.py", "--web", "maybe"), "'maybe' is not one of"),
        (("invoke", "echo", "-p", "a"), "requires 2 arguments"),
        (("get", "echo", "colour"), "there is no field 'colour'; there are: namespace"),
        (("get", "//"), "is no name"),
        (("list", "a/b/c"), "is neither"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(shell: Shell, words: tuple[str, ...], says: str) -> None:
    done = shell.upcall("action", *words)
    assert done.code in (1, 2)
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert says in done.err
    assert done.err.count("\n") == 1


def test_a_program_is_sent_as_base64(shell: Shell) -> None:
    shell.write("binary", b"\x7fELF\xff\x00")
    shell.good("action", "create", "elf", "binary", "--native")
    shell.good("action", "get", "elf", "--save-as", "again")
    assert (shell.home / "again").read_bytes() == b"\x7fELF\xff\x00"
    code = shell.upcall("-d", "action", "get", "elf", "--save-as", "more").err
    assert base64.b64encode(b"\x7fELF\xff\x00").decode() in code
