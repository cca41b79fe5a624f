"""Logs of activations in the platform's records, from containers of our images and of others (spec: logs.md)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.docker.contained import SENTINEL
from tests.docker.platform import on_docker, printed, recorded
from tests.system.engine import Engine
from tests.system.serving import Platform
from upcall.model import texts

pytestmark = pytest.mark.usefixtures("inside")

MB = 1 << 20
ENVELOPE = len('{"log":"\\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}\n')
LONG = 4096
"""Bytes of a line as Docker would have written it; a divisor of the limit."""


@pytest.fixture(scope="module")
def platform(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPCALL_LIMITS_CONCURRENCY_MAX", "5")
        with on_docker(engine, tmp_path_factory.mktemp("logs") / "data", "--memory", "4 GB") as made:
            yield made


def create(platform: Platform, name: str, kind: str, code: str, **limits: int) -> None:
    answer = platform.call(
        "PUT", f"actions/{name}?overwrite=true", {"exec": {"kind": kind, "code": code}, "limits": limits}
    )
    assert answer.status == 200, answer


TURNS = {
    "python:3": """
import os, sys
print("loaded")
def main(args):
    for number in range(args.get("turns", 3)):
        print("out", number)
        print("err", number, file=sys.stderr)
    print("unended", end="")
    return {"pid": os.stat("/proc/1").st_ino}
""",
    "nodejs:20": """
console.log('loaded')
function main({ turns = 3 }) {
  for (let number = 0; number < turns; number++) {
    console.log('out', number)
    console.error('err', number)
  }
  process.stdout.write('unended')
  return {}
}
""",
}


@pytest.mark.parametrize("kind", TURNS)
def test_each_activation_has_its_own_lines_in_the_order_of_both_streams(platform: Platform, kind: str) -> None:
    create(platform, "turns", kind, TURNS[kind])
    for number in range(4):
        turns = number % 3 * 40
        expected = [f"{name}: {name[3:]} {turn}" for turn in range(turns) for name in ("stdout", "stderr")]
        record = recorded(platform, "turns", turns=turns)
        assert printed(record) == ["stdout: loaded"] * (number == 0) + expected + ["stdout: unended"]


def filling(size: int) -> str:
    return (
        "import os\nME = os.urandom(8).hex()\ndef main(args):\n"
        f"    line = 'x' * {LONG - ENVELOPE}\n"
        f"    for number in range({MB // LONG} - 1):\n        print(line)\n"
        f"    print(line + 'x' * (args['size'] - {MB}))\n    return {{'me': ME}}"
    )


def test_the_limit_is_exact_and_does_not_cost_the_container(platform: Platform) -> None:
    create(platform, "filling", "python:3", filling(MB), logs=1)
    records = [recorded(platform, "filling", size=size) for size in (MB, MB + 1, MB)]
    exact, above, again = (printed(record) for record in records)
    assert exact == again
    assert len(exact) == MB // LONG
    assert above == [*exact[:-1], f"stderr: {texts.logs_truncated(MB)}"]
    assert len({record["response"]["result"]["me"] for record in records}) == 1


def test_long_lines_odd_bytes_and_the_sentinel_itself_are_logged(platform: Platform) -> None:
    code = (
        "import os\ndef main(args):\n    print('x' * 40000)\n    os.write(1, b'\\xff\\n')\n"
        f"    print('{SENTINEL}')\n    print('after')\n    return {{}}"
    )
    create(platform, "odd", "python:3", code)
    for _ in range(2):
        lines = printed(recorded(platform, "odd"))
        assert "".join(line.removeprefix("stdout: ") for line in lines[:3]) == "x" * 40_000
        assert lines[3:] == ["stdout: \ufffd", "stdout: after"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print('a')\n    return {'error': 'x'}", ["stdout: a"]),
        ("print('a')\n    os._exit(1)", ["stdout: a", f"stderr: {texts.LOGS_DEVELOPER}"]),
    ],
)
def test_whose_error_it_is_decides_on_the_last_line(platform: Platform, code: str, expected: list[str]) -> None:
    create(platform, "error", "python:3", f"import os\ndef main(args):\n    {code}")
    assert printed(recorded(platform, "error")) == expected


def test_without_a_limit_there_is_no_log_however_much_is_printed(platform: Platform) -> None:
    create(platform, "none", "python:3", "def main(args):\n    print('x' * 3_000_000)\n    return {}", logs=0)
    for _ in range(3):
        assert recorded(platform, "none")["logs"] == []


def test_activations_that_overlap_lose_no_line_and_wait_for_nobody(platform: Platform) -> None:
    code = """
    async function main({ number }) {
      console.log('begun', number)
      await new Promise((done) => setTimeout(done, 20))
      console.error('done', number)
      return {}
    }
    """
    create(platform, "shared", "nodejs:20", code, concurrency=5)
    first = recorded(platform, "shared", number=0)
    with ThreadPoolExecutor(5) as threads:
        records = list(threads.map(lambda number: recorded(platform, "shared", number=number), range(1, 20)))
    lines = [line for record in [first, *records] for line in printed(record)]
    lines += printed(recorded(platform, "shared", number=20))
    expected = [f"stdout: begun {number}" for number in range(21)] + [f"stderr: done {number}" for number in range(21)]
    assert sorted(lines) == sorted(expected)


def test_a_container_that_another_one_follows_takes_nothing_with_it(platform: Platform) -> None:
    """A time-out ends the container; its lines are not the next activation's."""
    code = "import time\ndef main(args):\n    print(args['n'], flush=True)\n    time.sleep(args['s'])\n    return {}"
    create(platform, "slow", "python:3", code, timeout=500)
    assert printed(recorded(platform, "slow", n=1, s=5)) == ["stdout: 1", f"stderr: {texts.LOGS_DEVELOPER}"]
    assert printed(recorded(platform, "slow", n=2, s=0)) == ["stdout: 2"]
