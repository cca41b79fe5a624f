"""The Invoker's own activation: what it tries, what it says when a step fails, and that nothing is taken meanwhile."""

import asyncio
import re
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.unit.invoker.conftest import NO_LOGS, Stage
from upcall.core.pool import PoolConfig
from upcall.errors import StartFailed
from upcall.invoker import canary
from upcall.invoker.canary import Failed, fly
from upcall.invoker.specs import Specs
from upcall.model.images import Image
from upcall.model.names import Json
from upcall.model.runtimes import Manifest, Runtime
from upcall.ports import ContainerSpec, Lines
from upcall.testing import FakeContainer, FakeContainers, Reply, an_action, an_instance, until

SPEC = ContainerSpec(kind="python:3", memory=256, name="wsk0_0_canary_python3", tenant="whisk.system")
LINE = "2026-11-23T12:00:00.000000000Z    stdout: canary"


class Birdcage(FakeContainers):
    """Containers in which a canary lives, and whatever else says what it is asked."""

    def __init__(self) -> None:
        super().__init__(self.sing)
        self.answers = {"/init": Reply(), "/run": None}
        self.stuck: str | None = None
        self.printed = [LINE]
        self.deaf = False

    async def create(self, spec: ContainerSpec) -> FakeContainer:
        container = await super().create(spec)
        if self.deaf:
            await container.refuse()
        return container

    def sing(self, path: str, body: Json) -> Reply:
        self.made[-1].lines = Lines(self.printed)
        self.made[-1].stuck = self.stuck
        if (answer := self.answers[path]) is not None:
            return answer
        value = body["value"]
        number = value.get("number")
        return Reply(body=msgspec.json.encode(value if number is None else {"number": number + 1}))


@pytest.fixture
async def cage(stage: Stage) -> AsyncIterator[Birdcage]:
    """Those of the stage."""
    made = stage.containers = Birdcage()
    yield made
    if not made.closed:
        await made.close()


async def test_it_does_all_that_an_activation_needs_and_leaves_nothing(cage: Birdcage) -> None:
    await fly(cage, SPEC)
    (container,) = cage.made
    assert container.spec == SPEC
    assert container.story == ["/init", "/run", "pause", "resume", "/run", "destroy"]
    assert len(container.collected) == 2


async def test_output_that_goes_elsewhere_is_not_looked_for(cage: Birdcage) -> None:
    await fly(cage, SPEC, logged=False)
    (container,) = cage.made
    assert container.story == ["/init", "/run", "pause", "resume", "/run", "destroy"]
    assert not container.collected


@pytest.mark.parametrize(
    ("step", "reply", "told"),
    [
        ("/init", Reply(status=502, body=b'{"error":"no"}'), r'/init: status 502: {"error":"no"}'),
        ("/init", Reply(raw=b"", close=True), "/init: no answer: closed"),
        ("/run", Reply(status=500, body=b"x"), "/run: status 500: x"),
        ("/run", Reply(body=b'{"number":7}'), "/run: its answer is {'number': 7}"),
        ("/run", Reply(body=b"no JSON"), "/run: JSON is malformed"),
    ],
)
async def test_a_bad_answer_is_told_with_its_step(cage: Birdcage, step: str, reply: Reply, told: str) -> None:
    cage.answers[step] = reply
    with pytest.raises(Failed, match=re.escape(told)):
        await fly(cage, SPEC)
    assert cage.made[-1].story[-1] == "destroy"


async def test_of_a_kind_without_code_here_only_the_container_is_tried(cage: Birdcage) -> None:
    await fly(cage, msgspec.structs.replace(SPEC, kind="java:8"))
    assert cage.made[-1].story == ["destroy"]


async def test_a_server_that_never_listens_is_told(cage: Birdcage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "PATIENCE", 0.1)
    cage.deaf = True
    with pytest.raises(Failed, match=r"connect: nobody has listened for 0\.1 s"):
        await fly(cage, msgspec.structs.replace(SPEC, kind="java:8"))


def test_it_is_of_a_kind_that_all_can_be_tried_of_and_that_is_there() -> None:
    """The driver names what is there first."""
    kinds = {
        family: [Runtime(f"{family}:1", Image(family), default=True)] for family in ("java", "python", "nodejs", "ruby")
    }
    specs = Specs(an_instance(), Manifest(kinds))
    assert specs.canary(256, ["ruby:1", "nodejs:1", "python:1"]).kind == "nodejs:1"
    assert specs.canary(256, ["ruby:1", "java:1"]).kind == "ruby:1"
    assert specs.canary(256, []).kind == "python:1"


async def test_a_container_that_cannot_be_made_or_handled_is_told_with_its_step(cage: Birdcage) -> None:
    cage.failure = StartFailed("no memory left")
    with pytest.raises(Failed, match="create: no memory left"):
        await fly(cage, SPEC)
    cage.failure.__cause__ = OSError("nor is there an image")
    with pytest.raises(Failed, match=r"create: no memory left \(nor is there an image\)$"):
        await fly(cage, SPEC)
    cage.failure = None
    for step in ("pause", "resume", "destroy"):
        cage.stuck = step
        with pytest.raises(Failed, match=f"{step}: {step} fails"):
            await fly(cage, SPEC)


@pytest.mark.parametrize("printed", [[], [LINE, LINE], [LINE + "x"]])
async def test_lines_that_get_lost_are_noticed(cage: Birdcage, printed: list[str]) -> None:
    cage.printed = printed
    with pytest.raises(Failed, match=f"logs: one line was printed, and {len(printed)} were read"):
        await fly(cage, SPEC)


async def test_nothing_is_taken_before_it_has_come_back(
    stage: Stage, cage: Birdcage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(canary, "AGAIN", 0.01)
    cage.failure = StartFailed("no memory left")
    action = an_action(limits=NO_LOGS)
    async with stage.started(PoolConfig(memory=512), units=2, canary=fly) as invoker:
        assert not await invoker.proof.known(10)
        assert invoker.proof.trouble == "containers do not work here: create: no memory left"
        assert invoker.enabled, "pings go on"
        sent = [await stage.send(action) for _ in range(3)]
        await asyncio.sleep(0.2)
        failures = [text for text in caplog.messages if "do not work here" in text]
        assert canary.LOGGED <= len(failures) < 10, "the first ones are told, then one in a while"
        assert invoker.counters.activations == 0
        cage.failure = None
        for message in sent:
            await stage.controller.ended(message.activation_id)
        assert invoker.proof.trouble is None
        assert invoker.proof.seconds > 0


async def test_after_three_failures_in_a_row_it_flies_again_and_nothing_is_taken_until_it_is_back(
    stage: Stage, cage: Birdcage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "AGAIN", 0.01)
    async with stage.started(PoolConfig(memory=2048), units=8, canary=fly) as invoker:
        assert await invoker.proof.known(10)
        cage.failure = StartFailed("the code is to blame", developer=True)
        for n in range(canary.IN_A_ROW):
            await stage.call(an_action(f"blamed{n}", limits=NO_LOGS))
        cage.failure = StartFailed("its image is to blame", excused=True)
        for n in range(canary.IN_A_ROW):
            await stage.call(an_action(f"excused{n}", limits=NO_LOGS))
        assert invoker.proof.trouble is None
        cage.failure = StartFailed("no memory left")
        for n in range(canary.IN_A_ROW - 1):
            await stage.call(an_action(f"a{n}", limits=NO_LOGS))
        assert invoker.proof.trouble is None
        await stage.call(an_action("last", limits=NO_LOGS))
        assert "no memory left" in str(invoker.proof.trouble)
        waits = await stage.send(an_action("waits", limits=NO_LOGS))
        await until(lambda: invoker.held_back == 1)
        cage.failure = None
        await stage.controller.ended(waits.activation_id)
        assert invoker.proof.trouble is None


async def test_where_idle_containers_hold_what_is_short_some_go_before_the_next_try(
    stage: Stage, cage: Birdcage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "AGAIN", 0.05)
    create = cage.create

    async def scarce(spec: ContainerSpec) -> FakeContainer:
        if sum("destroy" not in container.story for container in cage.made) >= 4:
            raise StartFailed("too many open files")
        return await create(spec)

    monkeypatch.setattr(cage, "create", scarce)
    async with stage.started(PoolConfig(memory=4096), units=8, canary=fly) as invoker:
        assert await invoker.proof.known(10)
        for n in range(4):
            await stage.call(an_action(f"idle{n}", limits=NO_LOGS))
        for n in range(canary.IN_A_ROW):
            await stage.call(an_action(f"refused{n}", limits=NO_LOGS))
        assert "too many open files" in str(invoker.proof.trouble)
        await stage.call(an_action("served", limits=NO_LOGS))
        assert invoker.proof.trouble is None


async def test_a_stop_does_not_wait_for_it(stage: Stage, cage: Birdcage) -> None:
    cage.answers["/init"] = Reply(after=asyncio.Event())
    async with stage.started(canary=fly):
        await until(lambda: bool(cage.made))
    assert cage.made[-1].story[-1] == "destroy"
