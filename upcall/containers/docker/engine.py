"""The engine: one client of its API, and whether it answers.

Whatever is asked of it goes through `asked`, which bounds the time and says in two words what can go wrong: the engine
is away (`EngineAway`: refused, cut off, silent), or it is there and says no (`EngineError`). One watcher looks every
few seconds whether it answers, and each second while something is amiss; `doubt` makes it look at once. While it is
away `trouble` says so, and `back` waits for its return.

A request that takes too long is no proof that the engine is away: an engine that still answers a ping is slow. Nor is
an error of its own a proof that it is there: one that stops goes on serving the connections that it has, with errors,
when it takes no new ones. So whoever looks takes a new one. After a return the version is agreed upon anew: it may be
another engine.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable

import aiohttp
from aiodocker import Docker, DockerError

from upcall.containers.docker import reach
from upcall.containers.docker.client import Client
from upcall.containers.docker.commands import Command, Commands
from upcall.containers.docker.options import NEVER, DockerOptions
from upcall.errors import Misconfigured, UpcallError

log = logging.getLogger(__name__)

OLDEST, NEWEST = (1, 25), (1, 47)
"""Versions of the API that are spoken here."""
SELDOM, OFTEN = 3.0, 1.0
"""Seconds between two looks, while all is well and while it is not."""
SILENCE = 5.0
"""Seconds after which an engine that does not answer a ping is away."""
_UNREACHED = 900
"""aiodocker's status where there was no answer."""
_OWN_FAULT = 500
"""From here on an error is the engine's own."""
_UNAVAILABLE = ": unavailable"
"""The end of what it says where its containerd is away."""


class EngineAway(UpcallError):
    """It does not answer; nobody knows whether it has done what it was asked for."""


class EngineError(UpcallError):
    """It refuses. `reply` is the HTTP status; 0 where it took too long, though it answers others."""

    def __init__(self, reply: int, message: str) -> None:
        super().__init__(message)
        self.reply = reply


class Nonsense(EngineError):
    """It answers what nobody understands."""

    def __init__(self, why: BaseException) -> None:
        super().__init__(0, f"The Docker engine's answer cannot be understood: {why!r}")


class Engine:
    """One engine, from `start` to `close`."""

    def __init__(self, options: DockerOptions) -> None:
        self.host = options.host
        self.timeouts = options.timeouts
        self.version = ""
        """Of the engine, `20.10.24`."""
        self.api = OLDEST
        """The version of the API that is spoken."""
        self.trouble: str | None = None
        """Why it cannot be used just now, in a sentence."""
        self.absences = 0
        """Times that it was found to be away."""
        self.commands = Commands()
        self.returned: Callable[[], None] | None = None
        """Called when it is back."""
        self._tls = options.tls
        self._stack = contextlib.AsyncExitStack()
        self._pings: aiohttp.ClientSession | None = None
        self._docker: Docker | None = None
        self._well = asyncio.Event()
        self._doubted = asyncio.Event()
        self._since = 0.0
        self._watcher: asyncio.Task[None] | None = None

    @property
    def docker(self) -> Docker:
        """For streams; everything else through `asked`."""
        assert self._docker is not None
        return self._docker

    async def start(self) -> None:
        """Connect and agree on a version. Raises Misconfigured, and Away where it does not answer."""
        try:
            await self._connect()
            try:
                await self._ping()
            except (aiohttp.ClientError, OSError) as error:
                raise reach.refusal(self.host, error) from error
            await self._greet()
        except BaseException:
            await self.close()
            raise
        self._well.set()
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    @contextlib.asynccontextmanager
    async def asked(self, seconds: float, command: Command | None = None) -> AsyncIterator[Docker]:
        """What is done with the client inside has to end in time, and is counted as a command. Raises EngineAway and
        EngineError."""
        with self.commands.timed(command) if command else contextlib.nullcontext():
            async with self._bounded(seconds) as docker:
                yield docker

    @contextlib.asynccontextmanager
    async def _bounded(self, seconds: float) -> AsyncIterator[Docker]:
        try:
            async with asyncio.timeout(None if seconds == NEVER else seconds):
                yield self.docker
        except TimeoutError as error:
            if await self._silence() is None:
                raise EngineError(0, f"The Docker engine has not done it in {seconds:g} s.") from error
            raise self._away(error) from error
        except DockerError as error:
            if error.status == _UNREACHED:
                raise self._away(error.__context__ or error) from error
            message = str(error.message)  # whatever the engine has put there
            if error.status >= _OWN_FAULT and (message.endswith(_UNAVAILABLE) or await self._silence()):
                raise self._away(error) from error
            raise EngineError(error.status, message) from error
        except (aiohttp.ContentTypeError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise Nonsense(error) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._away(error) from error

    def doubt(self) -> None:
        """Something suggests that it is away: look now."""
        self._well.clear()
        self._doubted.set()

    async def back(self) -> None:
        """Return when it answers."""
        await self._well.wait()

    async def close(self) -> None:
        """Let go of all connections."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        self._watcher = None
        await self._stack.aclose()

    async def _connect(self) -> None:
        """Raises Misconfigured."""
        connector, url = reach.connect(self.host, self._tls)
        self._stack.push_async_callback(connector.close)
        self._docker = Client(url, connector=connector)
        self._stack.push_async_callback(self._docker.close)
        fresh, _ = reach.connect(self.host, self._tls, kept=False)
        self._pings = await self._stack.enter_async_context(aiohttp.ClientSession(connector=fresh))

    def _away(self, error: BaseException) -> EngineAway:
        self.doubt()
        return EngineAway(f"The Docker engine at {self.host} {reach.reason(error)}.")

    async def _ping(self) -> None:
        """Raises ClientError or OSError, of which TimeoutError is one."""
        assert self._pings is not None
        async with asyncio.timeout(SILENCE), self._pings.get(f"{self.docker.docker_host}/_ping") as response:
            response.raise_for_status()

    async def _silence(self) -> str | None:
        """Why it does not answer; None where it does."""
        try:
            await self._ping()
        except (aiohttp.ClientError, OSError) as error:
            return reach.reason(error)
        return None

    async def _greet(self) -> None:
        """Agree on a version. Raises Misconfigured."""
        try:
            async with self.asked(self.timeouts.version) as docker:
                docker.api_version = "auto"
                told = await docker.version()
            newest, oldest = parse_version(told["ApiVersion"]), parse_version(told.get("MinAPIVersion") or "1.12")
        except (Nonsense, KeyError, TypeError, ValueError) as error:
            raise Misconfigured(
                f"What answers at {self.host} is no Docker engine: name another with --docker-host."
            ) from error
        except (EngineAway, EngineError) as error:
            raise Misconfigured(f"The version of the Docker engine at {self.host} cannot be asked: {error}") from error
        self.version = str(told.get("Version", ""))
        self.api = agreed(oldest, newest, f"The Docker engine at {self.host} is version {self.version}")
        docker.api_version = "v{}.{}".format(*self.api)

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OFTEN if self.trouble else SELDOM):
                    await self._doubted.wait()
            doubted = self._doubted.is_set()
            self._doubted.clear()
            why = await self._silence()
            if why is None and self.trouble:
                why = await self._stranger()
            self._judge(why)
            if doubted:
                await asyncio.sleep(OFTEN)

    async def _stranger(self) -> str | None:
        """After its return: why it cannot be used although it answers."""
        try:
            await self._greet()
        except Misconfigured as error:
            return f"cannot be used: {error}"
        return None

    def _judge(self, why: str | None) -> None:
        if why is None:
            was_away, self.trouble = self.trouble is not None, None
            self._well.set()
            if was_away:
                log.warning("the Docker engine is back after %.1f s", time.monotonic() - self._since)
                if self.returned is not None:
                    self.returned()
            return
        if self.trouble is None:
            self.absences += 1
            self._since = time.monotonic()
            log.error("the Docker engine at %s %s: what needs a container waits", self.host, why)
        self.trouble = f"The Docker engine at {self.host} {why}."
        self._well.clear()


def parse_version(text: str) -> tuple[int, int]:
    """`1.41`. Raises ValueError."""
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def agreed(oldest: tuple[int, int], newest: tuple[int, int], who: str) -> tuple[int, int]:
    """The newest version of the API that both speak. Raises Misconfigured."""
    if newest < OLDEST:
        raise Misconfigured(
            "{} with API {}.{}; {}.{} or later is needed: upgrade Docker.".format(who, *newest, *OLDEST)
        )
    if oldest > NEWEST:
        text = "{} and takes API {}.{} or later; {}.{} is spoken here: upgrade upcall."
        raise Misconfigured(text.format(who, *oldest, *NEWEST))
    return min(newest, NEWEST)
