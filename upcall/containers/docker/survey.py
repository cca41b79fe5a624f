"""What an engine has to offer before anything is started on it: whether it is there, and which images it has."""

from collections.abc import Iterable

import msgspec

from upcall.containers.docker.engine import Engine, EngineAway, EngineError
from upcall.containers.docker.options import DockerOptions
from upcall.errors import Misconfigured

_MISSING = 404


class Survey(msgspec.Struct, frozen=True):
    """`present` are the images, of those that were asked for, that it has."""

    version: str
    present: frozenset[str]


async def survey(options: DockerOptions, images: Iterable[str]) -> Survey:
    """Raises Misconfigured with cause and fix, Away where it may yet come."""
    engine = Engine(options)
    await engine.start()
    try:
        return Survey(engine.version, frozenset([image for image in images if await _has(engine, image)]))
    except (EngineAway, EngineError) as error:
        raise Misconfigured(
            f"The images of the Docker engine at {options.host} cannot be asked for: {error}"
        ) from error
    finally:
        await engine.close()


async def _has(engine: Engine, image: str) -> bool:
    try:
        async with engine.asked(engine.timeouts.inspect, "inspect") as docker:
            await docker.images.inspect(image)
    except EngineError as error:
        if error.reply == _MISSING:
            return False
        raise
    return True
