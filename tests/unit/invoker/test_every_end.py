"""Whatever breaks: each activation ends exactly once, in one record and one last ack (D7)."""

import asyncio
import random
from collections.abc import Callable

import pytest

from tests.unit.invoker.conftest import Stage
from upcall.bus.memory import MemoryFeed
from upcall.core.pool import PoolConfig
from upcall.core.prewarm import StemCell
from upcall.errors import StartFailed
from upcall.model.entities import ActionLimits
from upcall.model.messages import Message, invoker_topic
from upcall.model.names import Json
from upcall.model.sizes import Bounds, SystemLimits
from upcall.testing import CRASH, Reply, Script, an_action, an_identity, unexpected, until

LIMITS = SystemLimits(timeout=Bounds(50, 300_000, 60_000), concurrency=Bounds(1, 3, 1))
REPLIES: list[tuple[int, Callable[[], Reply]]] = [
    (12, lambda: Reply(body=b'{"ok":1}')),
    (2, lambda: Reply(body=b'{"error":"mine"}')),
    (2, lambda: Reply(status=502, body=b'{"error":"worse"}')),
    (2, lambda: Reply(status=503)),
    (2, lambda: CRASH),
    (1, lambda: Reply(body=b"nonsense")),
    (1, lambda: Reply(body=b"{}", close=True)),
    (1, lambda: Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}junk")),
]


def whims(dice: random.Random) -> Script:
    weights = [weight for weight, _ in REPLIES]

    def script(path: str, body: Json) -> Reply:
        if path == "/init" and dice.random() < 0.8:
            return Reply()
        return dice.choices(REPLIES, weights)[0][1]()

    return script


@pytest.mark.parametrize("seed", range(20))
async def test_each_activation_ends_once(stage: Stage, seed: int) -> None:
    dice = random.Random(seed)
    stage.containers.script = whims(dice)
    actions = [
        an_action(f"a{n}", limits=ActionLimits(60_000, dice.choice([128, 256, 512]), n % 2, 1 + n % 3))
        for n in range(5)
    ]
    config = PoolConfig(
        memory=768,
        pause_grace=dice.choice([0.001, 0.05, 10.0]),
        prewarm=(StemCell("python:3", 256, 1),),
        prewarm_retry=0.01,
    )
    async with stage.started(config, limits=LIMITS, units=dice.choice([1, 5, 40])) as invoker:
        messages = []
        for number in range(60):
            user = an_identity(dice.choice(["guest", "other"]))
            messages.append(await stage.send(dice.choice(actions), blocking=dice.random() < 0.5, user=user))
            await mischief(stage, dice)
            if number % 7 == 0:
                stage.store.full = False
                await stage.controller.ended(messages[0].activation_id)
        stage.containers.failure = None
        stage.store.full = False
        for message in messages:
            await stage.controller.ended(message.activation_id)
        await until(lambda: invoker.load == 0)
        for message in messages:
            last = [shape for shape in stage.shapes(message) if not shape.startswith("result")]
            assert len(last) == 1
            assert message.blocking or stage.shapes(message) == last
            await stage.stored(message)
        feed = invoker._feed
        assert isinstance(feed, MemoryFeed)
        assert feed._line._credit == invoker._units
        assert feed._line.open == {}


@pytest.mark.parametrize("seed", range(20))
async def test_stopping_in_the_middle_answers_what_was_taken_and_leaves_the_rest(stage: Stage, seed: int) -> None:
    dice, never = random.Random(seed), asyncio.Event()
    whim = whims(dice)
    stage.containers.script = lambda path, body: Reply(after=never) if dice.random() < 0.2 else whim(path, body)
    actions = [an_action(f"a{n}", limits=ActionLimits(60_000, 256, n % 2, 1 + n % 3)) for n in range(5)]
    async with stage.started(PoolConfig(memory=768), limits=LIMITS, units=dice.choice([1, 5, 40]), grace=0.0):
        messages = [await stage.send(dice.choice(actions), blocking=dice.random() < 0.5) for _ in range(30)]
        await until(lambda: len(stage.controller.acks) >= dice.randrange(4))
    left: list[Message] = []
    feed = await stage.bus.feed(
        invoker_topic(0), "invoker0", lambda offset, message, started: left.append(message), unexpected
    )
    feed.pull(100)
    for message in messages:
        last = [shape for shape in stage.shapes(message) if not shape.startswith("result")]
        assert len(last) == (0 if message in left else 1)
        if last:
            await stage.stored(message)


async def mischief(stage: Stage, dice: random.Random) -> None:
    """Now and then something breaks, or is mended."""
    what = dice.random()
    alive = [container for container in stage.containers.made if "destroy" not in container.story]
    if what < 0.1 and alive:
        await dice.choice(alive).die()
    elif what < 0.2 and alive:
        dice.choice(alive).stuck = dice.choice(["claim", "pause", "resume", "destroy"])
    elif what < 0.25:
        stage.containers.failure = StartFailed("no more", developer=dice.random() < 0.5)
    elif what < 0.4:
        stage.containers.failure = None
    elif what < 0.45:
        stage.store.full = not stage.store.full
