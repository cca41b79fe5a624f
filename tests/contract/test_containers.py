"""What every driver of containers owes its caller (`upcall.ports.Containers`).

Run by root it tries the driver as root; `tests/system/ordinary` runs this file again as an ordinary user.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.drivers import DRIVERS, counts_memory, made, refusal, variables
from tests.contract.language import LANGUAGES, Language
from tests.system.engine import engine, inside
from tests.unit.containers.calls import MB, collected, connected, exhausted, init, result, run, spec
from upcall.errors import StartFailed
from upcall.ports import Container, Containers
from upcall.testing import FakeContainers

__all__ = ["engine", "inside"]


@pytest.fixture(params=list(LANGUAGES.values()), ids=list(LANGUAGES))
def language(request: pytest.FixtureRequest) -> Language:
    """One that runs here; a missing Node.js fails its tests."""
    found: Language = request.param
    return found


@pytest.fixture(params=DRIVERS)
async def driver(request: pytest.FixtureRequest) -> AsyncIterator[Containers]:
    place = request.getfixturevalue("inside") if request.param == "docker" else None
    async with made(request.param, place) as driver:
        yield driver


@pytest.fixture
async def container(driver: Containers, language: Language) -> Container:
    return await driver.create(spec(kind=language.kind))


async def test_an_action_gives_its_result_and_its_log(container: Container, language: Language) -> None:
    assert await result(container, language.hello, {"a": "☃"}) == {"got": {"a": "☃"}}
    assert await collected(container) == [f"stdout: {language.printed}"]
    assert await collected(container, complete=False) == []


async def test_a_second_activation_on_the_same_connection_runs_warm(container: Container, language: Language) -> None:
    async with connected(container) as call:
        await call.post("/init", {"value": {"code": language.calls}})
        assert [(await call.post("/run", {"value": {}}))[1] for _ in range(3)] == [{"n": 1}, {"n": 2}, {"n": 3}]


async def test_a_second_connection_is_served_while_the_first_stays_open(
    container: Container, language: Language
) -> None:
    async with connected(container) as first, connected(container) as second:
        await first.post("/init", {"value": {"code": language.hello}})
        assert (await second.post("/run", {"value": {"b": 1}}))[0] == 200
        assert (await first.post("/run", {"value": {"b": 2}}))[0] == 200


async def test_the_environment_of_init_and_of_run_reaches_the_code(container: Container, language: Language) -> None:
    assert (await init(container, language.environment, env={"GREETING": "hi", "__OW_NAMESPACE": "old"}))[0] == 200
    _, answer = await run(container, {}, namespace="guest", deadline="17")
    seen = answer["all"]
    assert (answer["seen"], seen["__OW_NAMESPACE"], seen["__OW_DEADLINE"]) == ("hi", "guest", "17")
    assert seen["__OW_API_HOST"] == "http://api.test"


async def test_nothing_of_the_platforms_environment_reaches_the_code(driver: Containers, language: Language) -> None:
    os.environ["UPCALL_SECRET"] = "x"
    try:
        seen = (await result(await driver.create(spec(kind=language.kind)), language.environment))["all"]
    finally:
        del os.environ["UPCALL_SECRET"]
    assert set(seen) <= variables(driver)


async def test_a_prewarmed_container_runs_after_its_claim(driver: Containers, language: Language) -> None:
    container = await driver.create(spec(tenant="", kind=language.kind))
    await container.claim("guest")
    assert await result(container, language.hello, {}) == {"got": {}}
    with pytest.raises(StartFailed):
        await container.claim("other")


async def test_a_prewarmed_container_can_be_destroyed_unclaimed(driver: Containers, language: Language) -> None:
    container = await driver.create(spec(tenant="", kind=language.kind))
    await container.destroy()
    assert await collected(container, complete=False) == []


async def test_an_unknown_kind_is_refused(driver: Containers) -> None:
    said, developer = refusal(driver)
    with pytest.raises(StartFailed, match=said) as raised:
        await driver.create(spec(kind="cobol:68"))
    assert raised.value.developer is developer


async def test_a_paused_container_stands_still_and_goes_on_after(container: Container, language: Language) -> None:
    before = (await result(container, language.counter))["n"]
    await container.pause()
    asking = asyncio.ensure_future(run(container))
    done, _ = await asyncio.wait([asking], timeout=0.5)
    assert not done, "a paused container answered"
    await container.resume()
    first = (await asking)[1]["n"]
    assert first - before < 400, "it went on counting while paused"
    async with asyncio.timeout(10):
        while (await run(container))[1]["n"] <= first + 5:
            await asyncio.sleep(0.001)


async def test_a_container_that_dies_is_reported_lost_once_and_its_last_words_are_kept(
    container: Container, language: Language
) -> None:
    lost: list[int] = []
    container.lost = lambda: lost.append(1)
    await init(container, language.death)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await run(container)
    async with asyncio.timeout(10):
        while not lost:
            await asyncio.sleep(0.001)
    assert await collected(container, complete=False) == ["stdout: last words"]
    assert not await exhausted(container)
    await container.destroy()
    assert lost == [1]


async def test_a_container_that_is_dead_before_anybody_watches_is_reported_too(
    container: Container, language: Language
) -> None:
    await init(container, language.death)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await run(container)
    await reported_late(container)


async def test_the_fakes_container_is_reported_too() -> None:
    driver = FakeContainers()
    container = await driver.create(spec())
    await container.die()
    await reported_late(container)
    await driver.close()


async def reported_late(container: Container) -> None:
    """Its death is told once to whoever comes after it, and not within the setting."""
    told = asyncio.Queue[None]()
    await asyncio.sleep(0.05)
    container.lost = lambda: told.put_nowait(None)
    assert told.empty()
    async with asyncio.timeout(10):
        await told.get()
    await container.destroy()
    assert told.empty()


async def test_the_memory_that_it_uses_is_told_by_the_kernel_and_never_fails(
    driver: Containers, language: Language
) -> None:
    container = await driver.create(spec(kind=language.kind))
    await result(container, language.hello, {})
    used = await asyncio.to_thread(container.memory_used)
    if counts_memory(driver):
        assert used is not None
        assert 100_000 < used < spec(kind=language.kind).memory * MB
    else:
        assert used is None
    await container.destroy()
    assert await asyncio.to_thread(container.memory_used) is None


async def test_destroy_is_idempotent_removes_the_address_and_reports_no_loss(
    driver: Containers, language: Language
) -> None:
    for paused in (False, True):
        container = await driver.create(spec(kind=language.kind))
        lost: list[int] = []
        container.lost = lambda lost=lost: lost.append(1)
        await init(container, language.hello)
        if paused:
            await container.pause()
        async with asyncio.timeout(8):
            await asyncio.gather(container.destroy(), container.destroy())
            await container.destroy()
        assert not container.address.path or not Path(container.address.path).exists()
        assert lost == []


async def test_children_left_behind_go_with_the_container(driver: Containers, language: Language) -> None:
    token = str(time.time_ns())

    def left() -> list[Path]:
        return [path for path in Path("/proc").glob("[0-9]*/cmdline") if token.encode() in read(path)]

    container = await driver.create(spec(kind=language.kind))
    await result(container, language.children, {"token": token})
    async with asyncio.timeout(10):
        while len(left()) < 6:  # a process in the middle of an exec shows no arguments
            await asyncio.sleep(0.005)
    await container.destroy()
    assert left() == []


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


async def test_output_without_newline_and_of_a_child_is_collected(container: Container, language: Language) -> None:
    await result(container, language.words)
    assert await collected(container) == ["stdout: child", "stdout: end"]


async def test_100_mb_of_output_is_cut_with_a_line_and_the_next_activation_is_whole(
    container: Container, language: Language
) -> None:
    assert await init(container, language.flood) == (200, {"ok": True})
    before = resident()
    assert (await run(container, {"lines": 100_000}))[0] == 200
    lines = await collected(container, 10 * MB)
    assert lines[-1] == "stderr: Logs were truncated because the total bytes size exceeds the limit of 10485760 bytes."
    assert 9_000 < len(lines) < 10_486
    assert resident() - before < 60 * MB
    await run(container, {"lines": 2})
    assert await collected(container) == ["stdout: " + "x" * 999] * 2


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def test_an_action_that_closes_its_output_goes_on(driver: Containers) -> None:
    container = await driver.create(spec())
    code = "import os, sys\ndef main(args):\n    os.close(1)\n    sys.stderr.close()\n    return {'ok': 1}\n"
    assert await result(container, code) == {"ok": 1}
    assert await run(container) == (502, {"error": ANY_OS_ERROR})


ANY_OS_ERROR = (
    "An error has occurred while invoking the action (see logs for details): OSError: [Errno 9] Bad file descriptor"
)


async def test_a_large_body_goes_both_ways(container: Container, language: Language) -> None:
    await init(container, language.echo)
    value = {"x": "☃" * 1_000_000}
    assert await run(container, value) == (200, value)


async def test_many_containers_start_at_once(driver: Containers, language: Language) -> None:
    made = await asyncio.gather(*(driver.create(spec(f"t{n % 3}", kind=language.kind)) for n in range(12)))
    answers = await asyncio.gather(*(result(container, language.hello, {"n": n}) for n, container in enumerate(made)))
    assert [answer["got"]["n"] for answer in answers] == list(range(12))
    assert len({container.id for container in made}) == 12
