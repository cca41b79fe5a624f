"""How one container comes to be: created, started, its address asked for (spec: container.md §4.2).

| what fails                                    | answer                                                              |
|-----------------------------------------------|---------------------------------------------------------------------|
| create                                        | 3; 2 "pull" where fetching its image had failed, too                |
| start: its program is not there               | 2 "executable file not found"                                       |
| start, otherwise; there is no address         | 3                                                                   |
| it has ended before its address was asked for | 2 "did not initialize", of a user's image; else 3                   |
| it was stopped before that                    | tried anew, as when the engine is away: it may be about to end      |
| it, or its network, was removed before that   | tried anew                                                          |

Where a tenant's image is to blame for a 3 it is excused. No more than `parallel_runs` are created and started at a
time; what an image takes to show that it has begun is its own time.

What was made and is of no use is removed before the answer where its name is needed again, else after it. A name that
an earlier try of ours has left taken becomes free first; one that somebody else has is not fought for.
"""

import asyncio
import contextlib
import logging
import re
import signal
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from upcall.containers.docker.arguments import Surroundings, body, environment
from upcall.containers.docker.bridge import Bridge
from upcall.containers.docker.engine import Engine, EngineAway, EngineError
from upcall.containers.docker.entry import Program
from upcall.containers.docker.flags import Field
from upcall.containers.docker.images import Images
from upcall.containers.docker.inspection import inspect
from upcall.containers.docker.labels import Labels
from upcall.containers.docker.options import DockerOptions
from upcall.containers.docker.output import Output, Outputs
from upcall.containers.docker.removals import Removals
from upcall.errors import StartFailed
from upcall.model import texts
from upcall.model.entities import BLACKBOX
from upcall.ports import ContainerSpec

log = logging.getLogger(__name__)

_MISSING, _CONFLICT = 404, 409
_NO_PROGRAM = re.compile(
    r"executable file .*not found|(exec: |executable )\"[^\"]*\".*no such file or directory", re.IGNORECASE
)
"""What runc, crun and runsc say where Docker's own client ends with 127."""
_STOPPED = (128 + signal.SIGTERM, 128 + signal.SIGKILL)
_TRIES = 4


class Stopped(EngineAway):
    """A container was stopped as it began, as by an engine that ends. `own` is the answer where it was not, and the
    image may be to blame."""

    def __init__(self, own: StartFailed) -> None:
        super().__init__("a container was stopped as it began, as by an engine that ends")
        self.own = own


class Made(msgspec.Struct, frozen=True):
    """A container that runs."""

    id: str
    name: str
    host: str
    pid: int
    output: Output
    mac: str


class Creation:
    """Makes containers of one engine. `names` are those that are ours; `background` looks after work that nobody waits
    for."""

    def __init__(
        self,
        engine: Engine,
        options: DockerOptions,
        extra: Mapping[str, Field],
        labels: Labels,
        *,
        images: Images,
        outputs: Outputs,
        bridge: Bridge,
        removals: Removals,
        names: set[str],
        background: Callable[[Coroutine[Any, Any, object]], None],
    ) -> None:
        self._engine = engine
        self._options = options
        self._extra = extra
        self._labels = labels
        self._images = images
        self._outputs = outputs
        self._bridge = bridge
        self._removals = removals
        self._names = names
        self._background = background
        self._runs = asyncio.Semaphore(options.parallel_runs) if options.parallel_runs else contextlib.nullcontext()

    async def run(self, spec: ContainerSpec, fetched: bool) -> Made:
        """As `docker run -d`. `fetched`: its image has been, where it was to be. Raises StartFailed; EngineAway, after
        which it may be called anew."""
        try:
            program = await self._program(spec)
        except EngineError as error:
            raise self._not_created(spec, error, fetched) from error
        while True:
            async with contextlib.AsyncExitStack() as turn:
                await turn.enter_async_context(self._runs)
                made = await self._once(spec, program, fetched, turn)
            if made is not None:
                return made

    async def _once(
        self, spec: ContainerSpec, program: Program, fetched: bool, turn: contextlib.AsyncExitStack
    ) -> Made | None:
        """None: it has failed for the sake of its output, and may be tried with another. `turn` ends with its start."""
        try:
            output = self._outputs.open(spec, program)
        except OSError as error:
            log.error("container %s: there is no way for its output: %s", spec.name, error)
            raise StartFailed(texts.PROVISION) from error
        mac, made = self._bridge.take_mac(), None
        try:
            with self._engine.commands.timed("run"):
                made = await self._with(spec, output, mac, fetched, turn)
        finally:
            if made is None:
                self._bridge.give_back(mac)
                await output.close()
        return made

    async def _with(
        self, spec: ContainerSpec, output: Output, mac: str, fetched: bool, turn: contextlib.AsyncExitStack
    ) -> Made | None:
        given = Surroundings(labels=self._labels.given(), api_host=self._bridge.api_host, mac=mac, entry=output.entry)
        told = body(spec, self._options, self._extra, given, self._engine.api)
        try:
            id, name = await self._create(spec, told)
        except EngineError as error:
            if output.refused(error):
                return None
            raise self._not_created(spec, error, fetched) from error
        try:
            await output.created(id)
            async with self._engine.asked(self._engine.timeouts.run) as docker:
                await docker.containers.container(id).start()
            await turn.aclose()
            return await self._started(spec, id, name, output, mac)
        except EngineError as error:
            self._let_go(spec, name)
            if output.refused(error):
                await self._removals.remove(id)
                return None
            self._background(self._removals.remove(id, cut_off=True))
            if error.reply == _MISSING and not _NO_PROGRAM.search(str(error)):
                await self._bridge.refresh()
                raise EngineAway(f"a container or its network was removed as it began: {error}") from error
            log.warning("container %s cannot be started: %s", spec.name, error)
            raise not_started(spec, error) from error
        except BaseException:
            self._let_go(spec, name)
            self._background(self._removals.remove(id, cut_off=True))
            raise

    async def _started(self, spec: ContainerSpec, id: str, name: str, output: Output, mac: str) -> Made:
        """What has become of it. Raises StartFailed, EngineAway, EngineError."""
        found = await inspect(self._engine, id)
        await output.begun()
        if not found["State"]["Running"]:
            log.warning("container %s has ended at once with status %s", name, found["State"]["ExitCode"])
            if found["State"]["ExitCode"] in _STOPPED and not found["State"]["OOMKilled"]:
                self._engine.doubt()
                raise Stopped(ended(spec, found["State"]))
            raise ended(spec, found["State"])
        host = address(found, self._options.network)
        if not host:
            log.error("container %s has no address in the network %s", name, self._options.network)
            raise StartFailed(texts.PROVISION)
        self._bridge.meet(host, mac)
        return Made(id, name, host, found["State"]["Pid"], output, mac)

    async def _create(self, spec: ContainerSpec, told: dict[str, Any]) -> tuple[str, str]:
        """Id and name. Raises StartFailed, EngineAway, EngineError."""
        name, brought = spec.name, spec.pull
        self._tell(name, told)
        for number in range(2, 2 + _TRIES):
            try:
                async with self._engine.asked(self._engine.timeouts.run) as docker:
                    return (await docker.containers.create(told, name=name)).id, name
            except EngineError as error:
                refused = error
            if refused.reply == _MISSING and not brought:
                await self._images.bring(spec)
                brought = True
            elif refused.reply != _CONFLICT:
                break
            elif not await self._freed(name):
                self._let_go(spec, name)
                name = f"{spec.name}_{number}"
                self._names.add(name)
        self._let_go(spec, name)
        raise refused

    def _let_go(self, spec: ContainerSpec, name: str) -> None:
        """A name that was taken because the first choice was somebody else's."""
        if name != spec.name:
            self._names.discard(name)

    async def _freed(self, name: str) -> bool:
        """Whether a name that is taken has become free: what an earlier try of ours has left is removed. Raises
        EngineAway, EngineError."""
        try:
            found = await inspect(self._engine, name)
        except EngineError as error:
            if error.reply == _MISSING:
                return True
            raise
        if self._labels.are_ours(found["Config"].get("Labels") or {}):
            return await self._removals.remove(found["Id"])
        log.warning("a container named %s is there already, and is none of ours", name)
        return False

    async def _program(self, spec: ContainerSpec) -> Program:
        """What the container is to run, as image and operator say. Raises StartFailed, EngineAway, EngineError."""
        try:
            found = await self._images.program(spec.image)
        except EngineError as error:
            if error.reply != _MISSING or spec.pull:
                raise
            await self._images.bring(spec)
            found = await self._images.program(spec.image)
        own = environment(self._options, self._bridge.api_host)
        found = msgspec.structs.replace(found, environment=(*found.environment, *own))
        if "entrypoint" in self._extra:
            found = msgspec.structs.replace(found, entrypoint=self._extra["entrypoint"].value, command=())
        return found

    def _tell(self, name: str, told: dict[str, Any]) -> None:
        """Without the values of variables, and of options of the log driver: some are secret."""
        if log.isEnabledFor(logging.DEBUG) and not self._options.mask_args:
            names = [variable.partition("=")[0] for variable in told["Env"]]
            host, logs = told["HostConfig"], told["HostConfig"]["LogConfig"]
            shown = {**host, "LogConfig": {**logs, "Config": list(logs["Config"])}}
            log.debug("container %s: %s", name, {**told, "Env": names, "HostConfig": shown})

    def _not_created(self, spec: ContainerSpec, error: EngineError, fetched: bool) -> StartFailed:
        log.warning("container %s cannot be created: %s", spec.name, error)
        if fetched:
            return StartFailed(texts.PROVISION, excused=spec.pull)
        return StartFailed(texts.pull_failed(spec.image), developer=True)


def address(found: Mapping[str, Any], network: str) -> str:
    """Of an inspected container in this network, which may be named by its id; empty where it has none."""
    networks: Mapping[str, Any] = found["NetworkSettings"]["Networks"] or {}
    place: Mapping[str, Any] = networks.get(network) or next(iter(networks.values()), {})
    return place.get("IPAddress") or place.get("GlobalIPv6Address") or ""


def not_started(spec: ContainerSpec, error: EngineError) -> StartFailed:
    """What a refused start means."""
    if _NO_PROGRAM.search(str(error)):
        return StartFailed(texts.executable_missing(spec.image), developer=True)
    return StartFailed(texts.PROVISION, excused=spec.pull)


def ended(spec: ContainerSpec, state: Mapping[str, Any]) -> StartFailed:
    """What it means that a container has been started and does not run."""
    if state["OOMKilled"]:
        return StartFailed(texts.MEMORY_EXHAUSTED, developer=True)
    own = spec.kind == BLACKBOX
    return StartFailed(texts.INIT_DIED if own else texts.PROVISION, developer=own)
