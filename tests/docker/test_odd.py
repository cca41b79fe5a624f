"""Images whose servers behave oddly: each activation gets its right end, and the next one is fine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.docker.platform import on_docker, printed, recorded
from tests.system.engine import Engine
from tests.system.serving import Platform

pytestmark = pytest.mark.usefixtures("inside")

SERVER = "odd/server:1"
PATIENT = 50_000
"""Milliseconds that no answer takes."""
EXITED = "The action did not produce a valid response and exited unexpectedly."
INVALID = "The action did not produce a valid JSON or JSON Array response"
TOO_LONG = "The action produced a response that exceeded the allowed length: "
CUT = f"{TOO_LONG}10485769 > 1048576 bytes. The truncated response was: " + '{"x": "' + "x" * ((1 << 20) - 7)
SUCCESS, APPLICATION, DEVELOPER, INTERNAL = (
    "success",
    "application error",
    "action developer error",
    "whisk internal error",
)


@pytest.fixture(scope="module")
def platform(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with on_docker(engine, tmp_path_factory.mktemp("odd") / "data", "--memory", "4 GB") as made:
        yield made


def create(platform: Platform, name: str, image: str = SERVER, code: str | None = None, **limits: int) -> None:
    given = {} if code is None else {"code": code}
    action = {"exec": {"kind": "blackbox", "image": image, **given}, "limits": limits}
    answer = platform.call("PUT", f"actions/{name}?overwrite=true", action)
    assert answer.status == 200, answer


def invoke(platform: Platform, name: str, **value: Any) -> tuple[str, Any]:
    """How it ended, and its result."""
    response = recorded(platform, name, **value)["response"]
    return response["status"], response["result"]


class Way(NamedTuple):
    name: str
    status: str
    result: Any
    kept: bool
    """Whether the container is used again (spec: container.md §3)."""


WAYS = [
    Way("chunked", SUCCESS, {"chunked": "☃" * 1000}, True),
    Way("trickle", SUCCESS, {"slow": True}, True),
    Way("more", SUCCESS, {"ok": 1}, True),
    Way("closer", SUCCESS, {"closes": True}, True),
    Way("headers", SUCCESS, {"ok": 1}, True),
    Way("big", APPLICATION, {"error": CUT}, True),
    Way("garbage", DEVELOPER, {"error": EXITED}, False),
    Way("page", DEVELOPER, {"error": f"{INVALID}: <html>no JSON</html>"}, False),
    Way("empty", DEVELOPER, {"error": f"{INVALID}."}, False),
    Way("nothing", DEVELOPER, {"error": EXITED}, False),
    Way("until_close", DEVELOPER, {"error": EXITED}, False),  # whether it is whole nobody knows, nor does upstream
    Way("half", DEVELOPER, {"error": EXITED}, False),
    Way("half_chunked", DEVELOPER, {"error": EXITED}, False),
    Way("fails", DEVELOPER, {"error": {"code": 7}}, False),
    Way("dies", DEVELOPER, {"error": EXITED}, False),
    Way("never", DEVELOPER, {"error": "The action exceeded its time limits of 4000 milliseconds."}, False),
]


@pytest.mark.parametrize("way", WAYS, ids=[way.name for way in WAYS])
def test_an_odd_answer_has_its_right_end_and_the_next_activation_is_fine(platform: Platform, way: Way) -> None:
    create(platform, way.name, timeout=4000 if way.name == "never" else PATIENT)
    assert invoke(platform, way.name) == (SUCCESS, {"runs": 1})
    assert invoke(platform, way.name, way=way.name) == (way.status, way.result)
    assert invoke(platform, way.name) == (SUCCESS, {"runs": 3 if way.kept else 1})


def test_a_chunked_answer_that_is_too_long_is_cut(platform: Platform) -> None:
    create(platform, "big_chunked")
    status, result = invoke(platform, "big_chunked", way="big_chunked")
    assert status == APPLICATION
    assert result["error"].startswith(TOO_LONG)
    assert len(result["error"]) < 1_100_000
    assert invoke(platform, "big_chunked")[0] == SUCCESS


def test_one_that_is_busy_is_replaced_and_its_activation_goes_to_another(platform: Platform) -> None:
    create(platform, "busy")
    assert invoke(platform, "busy") == (SUCCESS, {"runs": 1})
    assert invoke(platform, "busy", way="busy_after_one") == (SUCCESS, {"runs": 1})


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("init_dies", "The action did not initialize and exited unexpectedly."),
        ("init_fails", "will not"),
        ("init_odd", "The action failed during initialization: [1, 2]"),
        ("init_never", "The action exceeded its time limits of 1000 milliseconds during initialization."),
    ],
)
def test_an_init_that_goes_wrong_is_told(platform: Platform, code: str, error: str) -> None:
    create(platform, code, code=code, timeout=1000 if code == "init_never" else PATIENT)
    for _ in range(2):
        assert invoke(platform, code) == (DEVELOPER, {"error": error})


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        ("exits", DEVELOPER, "The action did not initialize and exited unexpectedly."),
        ("missing", DEVELOPER, "executable file not found in image odd/missing:1"),
        ("forbidden", INTERNAL, "Failed to provision resources to run the action."),
        ("elsewhere", DEVELOPER, "The action exceeded its time limits of 1000 milliseconds during initialization."),
        ("absent", DEVELOPER, "Failed to pull container image 'odd/absent:1'."),
    ],
)
def test_an_image_that_does_not_start_is_told(platform: Platform, name: str, status: str, error: str) -> None:
    create(platform, name, f"odd/{name}:1", timeout=1000 if name == "elsewhere" else PATIENT)
    for _ in range(2):
        assert invoke(platform, name) == (status, {"error": error})


def test_a_server_that_takes_long_to_listen_is_waited_for(platform: Platform) -> None:
    create(platform, "late", "odd/late:1")
    assert invoke(platform, "late") == (SUCCESS, {"runs": 1})


def test_an_image_without_a_shell_and_one_of_another_user_run_with_their_logs(platform: Platform) -> None:
    for name, shell, uid in (("bare", False, 0), ("user", True, 65534)):
        create(platform, name, f"odd/{name}:1")
        record = recorded(platform, name, way="who")
        found = record["response"]["result"]
        assert (found["shell"], found["uid"]) == (shell, uid)
        assert printed(record) == ["stdout: who"]
        assert printed(recorded(platform, name)) == ["stdout: fine 2"]


def test_last_words_are_kept(platform: Platform) -> None:
    create(platform, "words")
    lines = printed(recorded(platform, "words", way="dies"))
    assert lines == [
        "stdout: last words",
        "stderr: The action did not initialize or run as expected. Log data might be missing.",
    ]


@pytest.mark.parametrize(("image", "mb"), [("server", 1000), ("bare", 50)])
def test_a_flood_of_output_is_cut_and_stalls_nothing(platform: Platform, image: str, mb: int) -> None:
    create(platform, f"flood-{image}", f"odd/{image}:1")
    before = resident(platform)
    record = recorded(platform, f"flood-{image}", way="flood", mb=mb)
    assert record["response"]["result"] == {"printed": mb}
    lines = printed(record)
    assert lines[-1] == "stderr: Logs were truncated because the total bytes size exceeds the limit of 10485760 bytes."
    assert resident(platform) - before < 100 << 20
    record = recorded(platform, f"flood-{image}")
    assert record["response"]["result"] == {"runs": 2}
    assert printed(record) == ["stdout: fine 2"]


def resident(platform: Platform) -> int:
    """Bytes."""
    return int(Path(f"/proc/{platform.process.pid}/statm").read_text().split()[1]) << 12
