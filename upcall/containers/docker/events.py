"""What the engine tells of our containers: that one died, was paused or removed, by whomever.

The stream is asked for anew whenever it ends, which is also the first sign that the engine is going away. What happened
between two streams nobody tells: `connected` is called at the beginning of each, for who looks.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

import aiohttp
import msgspec

from upcall.containers.docker.engine import Engine

log = logging.getLogger(__name__)

Happening = Literal["die", "oom", "pause", "kill", "destroy"]

_HAPPENINGS: tuple[Happening, ...] = ("die", "oom", "pause", "kill", "destroy")
_PATIENCE = 10.0
_AGAIN = 0.2
"""Seconds between the end of a stream and the next."""


class _Actor(msgspec.Struct):
    ID: str


class _Event(msgspec.Struct):
    Action: str
    Actor: _Actor


_decode = msgspec.json.Decoder(_Event).decode


async def follow(
    engine: Engine,
    labels: list[str],
    told: Callable[[str, Happening], None],
    connected: Callable[[], None],
) -> None:
    """Call `told` with container and happening of each container that has all `labels` (`key=value`), for ever."""
    while True:
        await engine.back()
        try:
            await _listen(engine, labels, told, connected)
        except (aiohttp.ClientError, OSError) as error:
            log.debug("the engine's events: %r", error)
        except Exception:
            log.exception("the engine's events cannot be followed")
        engine.doubt()
        await asyncio.sleep(_AGAIN)


async def _listen(
    engine: Engine, labels: list[str], told: Callable[[str, Happening], None], connected: Callable[[], None]
) -> None:
    """Until the stream ends. Raises ClientError, OSError."""
    docker = engine.docker
    filters = msgspec.json.encode({"type": ["container"], "event": _HAPPENINGS, "label": labels}).decode()
    patience = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE)
    url = f"{docker.docker_host}/{docker.api_version}/events"
    async with docker.session.get(url, params={"filters": filters}, timeout=patience) as response:
        response.raise_for_status()
        connected()
        rest = b""
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                _tell(line, told)


def _tell(line: bytes, told: Callable[[str, Happening], None]) -> None:
    """What cannot be read is another engine's idea of an event."""
    try:
        event = _decode(line)
    except msgspec.DecodeError:
        log.debug("an event of the engine cannot be read: %r", line)
        return
    for happening in _HAPPENINGS:
        if event.Action == happening:
            told(event.Actor.ID, happening)
