"""Lines of stdout and stderr in the order in which an action has written them (spec: logs.md §2)."""

import pytest
from msgspec.structs import replace

from tests.contract.language import NODE
from tests.unit.containers.calls import collected, init, run, spec
from upcall.containers.process import ProcessContainers
from upcall.logs import watch
from upcall.ports import Container

CODE = """
import os, subprocess, sys
def main(args):
    for number in range(args["n"]):
        print(number, file=(sys.stdout, sys.stderr)[number // 2 % 2])
    if args.get("also") == "a child":
        subprocess.run(["echo", "raw"])
    if args.get("also") == "stderr elsewhere":
        kept = os.dup(2)
        os.dup2(os.open("/tmp/other", os.O_CREAT | os.O_WRONLY | os.O_APPEND), 2)
        print("hidden", file=sys.stderr)
        return {"other": open("/tmp/other").read()}
    return {}
"""


@pytest.fixture
async def container(driver: ProcessContainers) -> Container:
    made = await driver.create(spec())
    await init(made, CODE)
    return made


def expected(count: int) -> list[str]:
    return [f"{('stdout', 'stderr')[number // 2 % 2]}: {number}" for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5000])
async def test_lines_come_as_they_were_printed(container: Container, count: int) -> None:
    for _ in range(2):
        await run(container, {"n": count})
        assert await collected(container) == expected(count)


async def test_lines_of_init_come_before_those_of_the_first_run(driver: ProcessContainers) -> None:
    container = await driver.create(spec())
    await init(container, "import sys\nprint(0)\nprint(1)\nprint(2, file=sys.stderr)" + CODE)
    await run(container, {"n": 3})
    assert await collected(container) == ["stdout: 0", "stdout: 1", "stderr: 2", *expected(3)]


async def test_lines_of_others_are_all_there_in_the_order_of_each_stream(container: Container) -> None:
    await run(container, {"n": 6, "also": "a child"})
    lines = await collected(container)
    assert [line for line in lines if line.startswith("stdout")] == [*expected(6)[:2], *expected(6)[4:], "stdout: raw"]
    assert [line for line in lines if line.startswith("stderr")] == expected(6)[2:4]


async def test_a_stream_that_was_led_elsewhere_is_left_alone(container: Container) -> None:
    assert (await run(container, {"n": 3, "also": "stderr elsewhere"}))[1] == {"other": "hidden\n"}
    assert sorted(await collected(container)) == sorted(expected(3))
    await run(container, {"n": 0, "also": "stderr elsewhere"})
    assert (await run(container, {"n": 0, "also": "stderr elsewhere"}))[1] == {"other": "hidden\n" * 3}


IN_NODE = """
function main({n}) {
  for (let k = 0; k < n; k++) (Math.floor(k / 2) % 2 ? console.error : console.log)(k);
  if (n === 3) throw new Error('no');
  return {};
}
"""


async def test_lines_of_node_come_as_they_were_printed(driver: ProcessContainers) -> None:
    container = await driver.create(spec(kind=NODE))
    await init(container, IN_NODE)
    for count in (0, 4, 5000):
        await run(container, {"n": count})
        assert await collected(container) == expected(count)
    await run(container, {"n": 3})
    assert (await collected(container))[:4] == [*expected(3), "stderr: Error: no"]


RAW = """
import subprocess
def main(args):
    subprocess.run(["sh", "-c", "for n in 0 2 4; do echo $n; sleep 0.1; echo $((n + 1)) >&2; sleep 0.1; done"])
    return {}
"""
TURNS = [f"{('stdout', 'stderr')[number % 2]}: {number}" for number in range(6)]


async def test_what_a_container_leaves_to_who_reads_is_read_as_it_comes(
    driver: ProcessContainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is known of a container of Python, and of native programs at once."""
    monkeypatch.setattr(watch, "REST", 3600.0)
    python = await driver.create(spec())
    await init(python, RAW)
    await run(python)
    assert sorted(await collected(python)) == sorted(TURNS)
    await run(python)
    assert await collected(python) == TURNS
    shell = await driver.create(replace(spec(kind="blackbox"), image="openwhisk/dockerskeleton"))
    await init(shell, "#!/bin/sh\n" + RAW.partition('"-c", "')[2].partition('"]')[0] + "\necho {}")
    await run(shell)
    assert await collected(shell) == TURNS
