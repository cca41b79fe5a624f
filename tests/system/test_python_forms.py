"""Forms of Python code through the REST API (spec: container.md §1 to §3, entities.md §2)."""

import base64
import io
import os
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.serving import Platform, running
from tests.system.test_python_action import zipped

LOGS_DEVELOPER = "stderr: The action did not initialize or run as expected. Log data might be missing."
MB = 1 << 20


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("forms") / "data", "--memory", "2048") as made:
        yield made
    assert "Traceback" not in made.output.read_text()


def put(platform: Platform, name: str, code: str, main: str | None = None, **members: Any) -> None:
    exec_ = {"kind": "python:default", "code": code} | ({"main": main} if main else {})
    made = platform.call("PUT", f"actions/{name}?overwrite=true", {"exec": exec_, **members})
    assert made.status == 200, made
    assert made.body["exec"]["kind"] == "python:3"


def result(platform: Platform, name: str, arguments: Any = None) -> Any:
    answer = platform.invoke(name, arguments)
    assert answer.status == 200, answer
    return answer.body if isinstance(answer.body, list) else answer.body["response"]["result"]


def failure(platform: Platform, name: str) -> tuple[str, list[str]]:
    """Text and log of an activation that is the developer's error."""
    answer = platform.invoke(name)
    assert answer.status == 502, answer
    assert answer.body["response"]["status"] == "action developer error"
    found = platform.call("GET", f"activations/{answer.body['activationId']}/logs")
    return answer.body["response"]["result"]["error"], [line[31:] for line in found.body["logs"]]


def test_a_zip_with_a_virtual_environment_runs(platform: Platform) -> None:
    main = "import dep\nasync def go(args):\n    return {'dep': dep.y, **args}\n"
    put(platform, "venv", zipped({"__main__.py": main, "virtualenv/lib/python3/site-packages/dep.py": "y = 1"}), "go")
    assert result(platform, "venv", {"x": 2}) == {"dep": 1, "x": 2}


def test_an_array_is_the_whole_answer(platform: Platform) -> None:
    put(platform, "array", "def main(args):\n    return (args, None)\n")
    assert result(platform, "array", {"a": 1}) == [{"a": 1}, None]


def test_arguments_of_init_are_environment_before_the_code_is_loaded(platform: Platform) -> None:
    code = """
import os
names = ["TEXT", "NUMBER", "LIST", "NONE", "FLAG", "__OW_NAMESPACE", "__OW_ACTION_NAME", "__OW_ACTIVATION_ID"]
early = {name: os.environ[name] for name in names}
def main(args):
    return {"early": early, "args": args, "now": os.environ["__OW_ACTIVATION_ID"]}
"""
    given = {"TEXT": "☃", "NUMBER": 1.5, "LIST": [1, {"a": "b"}], "NONE": None, "FLAG": True}
    parameters = [{"key": name, "value": value, "init": True} for name, value in given.items()]
    put(platform, "early", code, parameters=[*parameters, {"key": "late", "value": 1}])
    first, second = result(platform, "early"), result(platform, "early")
    expected = {"TEXT": "☃", "NUMBER": "1.5", "LIST": '[1,{"a":"b"}]', "NONE": "", "FLAG": "true"}
    assert first["early"] == expected | {
        "__OW_NAMESPACE": "guest",
        "__OW_ACTION_NAME": "/guest/early",
        "__OW_ACTIVATION_ID": first["now"],
    }
    assert (first["args"], second["early"]) == ({"late": 1}, first["early"])
    assert second["now"] != first["now"]


def test_a_syntax_error_is_told_with_its_traceback_in_the_log(platform: Platform) -> None:
    put(platform, "syntax", "def main(:\n")
    text, log = failure(platform, "syntax")
    assert text == "The action failed to generate or locate a binary. See logs for details."
    assert "stderr:     def main(:" in log
    assert log[-1] == LOGS_DEVELOPER


def test_a_bomb_and_a_path_that_climbs_out_are_refused_and_the_platform_goes_on(platform: Platform) -> None:
    put(platform, "bomb", zipped({"__main__.py": "", "zeros": bytes(300 * MB)}))
    assert failure(platform, "bomb")[0].startswith("The action's zip file is too large: it would unpack to more than")
    put(platform, "climber", zipped({"__main__.py": "", "../../etc/passwd": "x"}))
    text = "The action's zip file holds a path outside of it: ../../etc/passwd"
    assert failure(platform, "climber")[0] == text
    put(platform, "empty", zipped({}))
    assert failure(platform, "empty")[0] == "Zip file does not include __main__.py."
    put(platform, "after", "def main(args):\n    return {'ok': 1}\n")
    assert result(platform, "after") == {"ok": 1}


def test_as_much_code_as_is_allowed_runs_in_the_least_memory(platform: Platform) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("__main__.py", "import os\ndef main(args):\n    return {'size': os.stat('data').st_size}\n")
        archive.writestr("data", os.urandom(36 * MB - 400))
    code = base64.b64encode(buffer.getvalue()).decode()
    assert 48 * MB - 400 < len(code) <= 48 * MB
    put(platform, "large", code, limits={"memory": 128})
    assert result(platform, "large") == {"size": 36 * MB - 400}
    assert platform.call("GET", "actions/large").body["exec"]["code"] == code
