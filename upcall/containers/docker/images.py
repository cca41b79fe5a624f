"""Images: whether one may be run, whether it is here and new, what it runs (spec: container.md §4.2, §4.3).

Only images of users' own are fetched, before each creation. What floats (`latest`, no tag) has to come from its
registry; of a fixed tag or digest the copy that is here will do where the registry does not answer. But a copy may be
another tenant's, fetched with credentials that nobody else has, so it is run only

- where it never came from a registry: the operator has made it here (an engine that keeps its images in containerd does
  not tell, and refuses); or
- where the registry did not refuse these credentials, and they have brought this image before, or all namespaces have
  the same ones anyway.

A registry that has kept a fetch waiting only for it to fail is left alone for a while where a copy will do: else each
cold start waits as long.

What an image runs is asked once in a while, and each time after it was fetched.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from upcall.containers.docker.credentials import Credentials, Source
from upcall.containers.docker.engine import Engine, EngineError
from upcall.containers.docker.entry import Program
from upcall.containers.docker.pulls import PullFailed, Pulls, get
from upcall.errors import StartFailed
from upcall.model import texts
from upcall.model.images import HUB, Image, parse_image, refusal
from upcall.ports import ContainerSpec

log = logging.getLogger(__name__)

FRESH = 10.0
"""Seconds for which a name is believed to mean the same image: an operator may give it to another one."""
SLOW, REST = 1.0, 30.0
"""Seconds: what a failure may take, and for how long a registry that takes longer is left alone."""
_OUT_OF_REACH = PullFailed("its registry was out of reach a moment ago")
_NAMES = 1024
"""Images that are remembered."""
_MISSING = 404
_OURS = "upcall"
"""Prefix of what `scripts/images` builds."""
_MOST = 512 << 10
"""Bytes that an engine may tell of an image: labels come again with each list of containers and each event."""


class Images:
    """Of one engine."""

    def __init__(self, engine: Engine, credentials: Credentials, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._credentials = credentials
        self._clock = clock
        self._pulls = Pulls(engine)
        self._programs: OrderedDict[str, tuple[float, Program]] = OrderedDict()
        self._forgotten = 0
        self._resting: OrderedDict[str, float] = OrderedDict()
        self._brought: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def start(self) -> None:
        """Raises Misconfigured."""
        await self._credentials.start()

    async def close(self) -> None:
        """Give up what is being fetched."""
        await self._pulls.close()

    async def ready(self, spec: ContainerSpec) -> bool:
        """Have its image fetched where it is to be. False: that has failed, and the copy that is here is tried (where
        the container does not start then, `texts.pull_failed` says why). Raises StartFailed, EngineAway."""
        if why := refusal(spec.image):
            raise StartFailed(f"{texts.pull_failed(spec.image)} {why}", developer=True)
        if not spec.pull:
            return True
        image = parse_image(spec.image)
        source = await self._credentials.source(image.host, spec.owner)
        began = self._clock()
        if self._resting.get(image.host, began) > began and await self._may_run(image, source, _OUT_OF_REACH):
            return False
        try:
            await self._fetch(image, source)
        except PullFailed as failure:
            if self._clock() - began > SLOW and not (failure.denied or failure.missing):
                _remember(self._resting, image.host, self._clock() + REST)
            if await self._may_run(image, source, failure):
                return False
            raise StartFailed(texts.pull_failed(spec.image), developer=True) from failure
        return True

    async def bring(self, spec: ContainerSpec) -> None:
        """Fetch an image that ought to be here and is not, as `docker run` does; but of ours, which nobody has put on
        Docker Hub, a stranger's would come. Raises StartFailed, EngineAway."""
        image = parse_image(spec.image)
        if (image.host, image.prefix) == (HUB, _OURS):
            lacking = PullFailed(
                f"the image {image} is not here, and in no registry: scripts/images {image.name} makes it"
            )
            log.error("%s", lacking)
            raise StartFailed(texts.PROVISION) from lacking
        try:
            await self._fetch(image, await self._credentials.source(image.host, ""))
        except PullFailed as failure:
            log.error("the image %s of %s actions is not here and cannot be fetched: docker pull it", image, spec.kind)
            raise StartFailed(texts.PROVISION) from failure

    async def program(self, name: str) -> Program:
        """What a container of this image runs. Raises EngineError (404: it is not here), EngineAway."""
        now = self._clock()
        known = self._programs.get(name)
        if known is None or now - known[0] > FRESH:
            forgotten = self._forgotten
            known = now, program(await self._inspect(name, name))
            if forgotten == self._forgotten:
                _remember(self._programs, name, known)
        return known[1]

    def forget(self, name: str) -> None:
        """The image may be another one, or gone; what is being asked just now may be of the one before."""
        self._forgotten += 1
        self._programs.pop(name, None)

    async def _fetch(self, image: Image, source: Source) -> None:
        try:
            await self._pulls.fetch(image, source)
        finally:
            self.forget(str(image))
        _remember(self._brought, (image.full, source.owner), None)

    async def _may_run(self, image: Image, source: Source, failure: PullFailed) -> bool:
        """Whether the copy that is here will do."""
        if image.floats:
            return False
        try:
            found = await self._inspect(image.full, str(image))
        except EngineError as error:
            if error.reply != _MISSING:
                log.warning("the image %s cannot be looked at: %s", image, error)
            return False
        if not found.get("RepoDigests"):
            return True
        if failure.denied:
            return False
        return not self._credentials.apart or (image.full, source.owner) in self._brought

    async def _inspect(self, name: str, called: str) -> Mapping[str, Any]:
        """`called` by its user. Raises StartFailed where it says too much, EngineError, EngineAway."""
        async with self._engine.asked(self._engine.timeouts.inspect, "inspect") as docker:
            data = await get(docker, f"images/{name}/json", _MOST)
            if len(data) > _MOST:
                why = f"Its configuration is too large: more than {_MOST >> 10} KB of variables, labels and the like."
                raise StartFailed(f"{texts.pull_failed(called)} {why}", developer=True)
            found: Mapping[str, Any] = msgspec.json.decode(data)
            program(found)
            return found


def program(found: Mapping[str, Any]) -> Program:
    """Of an image that the engine describes; what it does not say is empty."""
    config = found.get("Config") or {}
    return Program(
        str(found["Id"]),
        tuple(config.get("Entrypoint") or ()),
        tuple(config.get("Cmd") or ()),
        tuple(config.get("Env") or ()),
    )


def _remember(known: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > _NAMES:
        known.popitem(last=False)
