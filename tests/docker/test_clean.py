"""`upcall clean` on a real engine."""

import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator

import pytest

from tests.docker.living import Life, life
from tests.system.engine import Engine as Dockerd
from upcall.containers.docker import rules
from upcall.containers.docker.labels import PROCESS, place_of, platform_of
from upcall.containers.sandbox import nft

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("inside")]


@pytest.fixture
async def one(engine: Dockerd) -> AsyncIterator[Life]:
    """What else there is on the engine of the tests is of other tests in this process, one after another."""
    async with life(engine, uuid.uuid4().hex, watched=False) as made:
        yield made
        for each in engine.containers(*made.labels.filter()):
            await made.removals.remove(each["Id"])


def clean(engine: Dockerd, *options: str, **variables: str) -> tuple[int, list[str], str]:
    done = subprocess.run(
        [sys.executable, "-m", "upcall", "clean", "--docker-host", engine.url, *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **variables},
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def of_a_dead_process(life: Life) -> dict[str, str]:
    ended = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    place = place_of(ended.pid)
    ended.communicate(b"\n")
    return {**life.labels.given(), PROCESS: place}


async def test_where_there_is_nothing_it_says_so(engine: Dockerd) -> None:
    assert clean(engine) == (0, [f"upcall has no containers on the Docker engine at {engine.url}."], "")


async def test_what_stopped_platforms_left_goes_and_what_runs_stays(engine: Dockerd, one: Life) -> None:
    prefix, dead = one.labels.instance, of_a_dead_process(one)
    await one.put(f"{prefix}_dead", labels=dead)
    frozen = await one.put(f"{prefix}_frozen", labels=dead)
    await one.engine.docker.containers.container(frozen).pause()
    await one.put(f"{prefix}_elsewhere", labels={**dead, PROCESS: "another-machine/1/2/3"})
    await one.put(f"{prefix}_gone", code="pass", start=False, labels={**dead, PROCESS: "another-machine/1/2/3"})
    stranger = await one.put(f"{prefix}_stranger", labels={"other": "yes"})
    await one.put(f"{prefix}_runs")
    before = len(engine.containers())
    code, lines, _ = clean(engine, "--dry-run")
    assert code == 0
    assert len(engine.containers()) == before
    assert [line.split()[:2] for line in lines] == [
        ["goes", f"{prefix}_dead"],
        ["stays", f"{prefix}_elsewhere"],
        ["goes", f"{prefix}_frozen"],
        ["stays", f"{prefix}_gone"],
        ["stays", f"{prefix}_runs"],
        ["2", "containers"],
    ]
    assert lines[0].endswith("; its platform has stopped")
    assert lines[1].endswith("; whether its platform runs cannot be told from here")
    assert lines[4].endswith(f"; its platform runs, process {os.getpid()}")
    assert lines[5] == "2 containers would be removed, 3 left: --all removes them, too."
    code, lines, _ = clean(engine)
    assert code == 0
    assert [line.split()[0] for line in lines] == ["gone", "stays", "gone", "stays", "stays", "2"]
    code, lines, _ = clean(engine, "--all")
    assert (code, lines[-1]) == (0, "3 containers removed.")
    assert [line.split()[0] for line in lines[:-1]] == ["gone"] * 3
    assert stranger in {each["Id"] for each in engine.containers()}
    await one.removals.remove(stranger)


async def test_what_has_ended_goes_wherever_its_platform_was(engine: Dockerd, one: Life) -> None:
    labels = {**one.labels.given(), PROCESS: "another-machine/1/2/3"}
    id = await one.put(f"{one.labels.instance}_ended", code="pass", labels=labels)
    await one.engine.docker.containers.container(id).wait()
    code, lines, _ = clean(engine)
    assert (code, lines[-1]) == (0, "1 container removed.")
    assert lines[0].endswith("; it has ended")


async def test_an_engine_that_is_not_there_is_told_with_the_way_out(engine: Dockerd) -> None:
    code, lines, said = clean(engine, "--docker-host", "unix:///nowhere/docker.sock")
    assert (code, lines) == (1, [])
    assert said.startswith("upcall: The Docker engine at unix:///nowhere/docker.sock is not there")


async def test_the_engine_may_be_named_by_dockers_own_variable(engine: Dockerd) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "upcall", "clean"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "DOCKER_HOST": engine.url},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert engine.url in done.stdout


async def test_the_rules_of_a_platform_that_was_killed_go_with_its_containers(engine: Dockerd, one: Life) -> None:
    await one.put(f"{one.labels.instance}_dead", labels=of_a_dead_process(one))
    rules.reserve(platform_of(one.labels.given()))
    nft.apply("table inet upcall-01234567\n")
    assert len(nft.tables("upcall")) == 2
    _, shown, _ = clean(engine, "--dry-run")
    assert [line.rpartition(" ")[2] for line in shown if "nftables" in line] == ["upcall-01234567"]
    assert len(nft.tables("upcall")) == 2
    code, lines, said = clean(engine)
    assert (code, said) == (0, "")
    assert nft.tables("upcall") == ["upcall-01234567"]
    assert [line for line in lines if line.endswith("nft delete table inet upcall-01234567")]
    nft.apply(nft.removal("upcall-01234567"))
