"""The network of containers: what they reach of this host, which is the API and nothing else (D15).

At the start, and when the network has changed since (an engine that came back with other addresses, a network made
anew), the API listens at the host's address on the network's bridge, and root's rules (`rules`) are set. Containers
are told that address as `__OW_API_HOST`; where the API has one of its own (`api_host`), it is told as it is, and the
rules let calls of it through.

| `--action-network` | containers reach |
|--------------------|------------------------------------------------------------------------------------------|
| (by default)       | as `private`, where rules can be set; else as `host`, with a warning                      |
| `private`          | the API, DNS, and by their network's own way the world; nothing of the host, no neighbour |
| `none`             | the API alone                                                                             |
| `host`             | whatever their network leads to: no rules                                                 |

Neighbours are other containers of ours; in the engine's default network all others, too. In a network that somebody has
made the others are there on purpose.
"""

import asyncio
import contextlib
import logging

from upcall.containers.docker import neighbours, openings
from upcall.containers.docker.engine import Engine, EngineAway, EngineError
from upcall.containers.docker.guard import Guard
from upcall.containers.docker.listener import Listener
from upcall.containers.docker.openings import Opening
from upcall.containers.docker.options import DockerOptions
from upcall.containers.docker.rules import Rules
from upcall.containers.docker.segment import Segment, find, see
from upcall.containers.sandbox import addresses
from upcall.containers.sandbox.interior import Serve
from upcall.containers.sandbox.ways import Reach
from upcall.errors import Misconfigured

log = logging.getLogger(__name__)

LOOK, OFTEN = 5.0, 1.0
"""Seconds between two looks at the host's side of the network, and at the engine's while it has no such network."""
SELDOM = 60.0
"""Seconds between two questions for the names of the API and the resolvers."""


class Bridge:
    """Of one platform, from `start` to `close`. `owner` is the platform's name across its lives and no other's."""

    def __init__(
        self, engine: Engine, options: DockerOptions, *, owner: str, reach: Reach | None, serve_api: Serve | None
    ) -> None:
        self._engine = engine
        self._options = options
        self._guard = Guard(owner, reach)
        self._listener = Listener(serve_api) if serve_api and not options.api_host else None
        self.trouble: str | None = None
        """Why containers have no network just now, in a sentence."""
        self.absences = 0
        """Times that the network was found to be gone."""
        self._well = asyncio.Event()
        self._segment = Segment(name=options.network)
        self._openings: tuple[Opening, ...] = ()
        self._changing = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._said = ""

    @property
    def api_host(self) -> str:
        """For `__OW_API_HOST`; empty where there is none."""
        return self._listener.url if self._listener else self._options.api_host

    def take_mac(self) -> str:
        """For a new container; empty while there are no rules."""
        return self._guard.macs.take() if self._guard.macs else ""

    def give_back(self, mac: str) -> None:
        """The container is gone, or was none; idempotent."""
        if mac and self._guard.macs:
            self._guard.macs.give_back(mac)
            neighbours.forget(self._segment.bridge, mac)

    def meet(self, host: str, mac: str) -> None:
        """A container has this address now."""
        if mac:
            neighbours.meet(self._segment.bridge, host, mac)

    def facts(self) -> dict[str, str]:
        """What containers reach, in words."""
        where = f"{self._segment.bridge if self._segment.here else 'elsewhere'} ({self._segment.name})"
        reach = "the API alone" if self._guard.alone else "private"
        lack = f"; {self._guard.lack}" if self._guard.lack else ""
        return {"network": f"{reach if self._guard.macs else 'open'}, {where}{lack}", "api": self.api_host or "none"}

    async def start(self) -> None:
        """Before any container is made, after those of an earlier life have gone. Raises Misconfigured."""
        try:
            self._segment = await find(self._engine, self._options.network)
            self._openings = await self._look_openings()
            self._listen(self._segment)
            if self._guard.alone and openings.is_name(self._options.api_host):
                log.warning("--api-host %s: actions without a network cannot ask for names", self._options.api_host)
            await asyncio.to_thread(self._guard.start, self._segment, self._made(self._segment, self._openings))
            self._forget()
        except (EngineAway, EngineError, OSError) as error:
            await self.close()
            raise Misconfigured(f"The network of Docker containers cannot be had: {error}") from error
        except BaseException:
            await self.close()
            raise
        self._well.set()
        self._following = asyncio.get_running_loop().create_task(self._follow())

    def doubt(self) -> None:
        """It may be another network, or gone: nobody makes a container before the next `refresh`."""
        self._well.clear()

    async def back(self) -> None:
        """Return when there is a network that is known, or nobody is to wait for it."""
        await self._well.wait()

    def relent(self) -> None:
        """Who waits may try it."""
        self._well.set()

    async def refresh(self) -> None:
        """Ask the engine anew, and follow; errors are logged once. To be called after the engine's return."""
        async with self._changing:
            try:
                await self._change(await find(self._engine, self._options.network), self._openings)
            except Misconfigured as error:
                self._lack(str(error))
            except EngineAway:  # whoever needs it hears so from the engine
                self.relent()
            except (EngineError, OSError) as error:
                self._complain(f"the network of containers: {error}")
                self.relent()
            else:
                self._had()

    async def close(self) -> None:
        """Idempotent."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None
        if self._listener is not None:
            self._listener.close()
        self._forget()
        await asyncio.to_thread(self._guard.remove)

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        while True:
            await asyncio.sleep(OFTEN if self.trouble else LOOK)
            with contextlib.suppress(OSError):
                if not self._engine.trouble and (self.trouble or await self._moved()):
                    await self.refresh()
                if loop.time() - asked >= SELDOM:
                    asked = loop.time()
                    found = await self._look_openings()
                    async with self._changing:
                        await self._change(self._segment, found)

    async def _moved(self) -> bool:
        """Raises OSError."""
        return await asyncio.to_thread(see, self._segment) != self._segment

    def _lack(self, why: str) -> None:
        if self.trouble is None:
            self.absences += 1
            log.error("what needs a container waits: %s", why)
        self.trouble = why
        self._well.clear()

    def _had(self) -> None:
        if self.trouble is not None:
            log.warning("the network %s of containers is back", self._segment.name)
        self.trouble, self._said = None, ""
        self._well.set()

    async def _look_openings(self) -> tuple[Opening, ...]:
        """Where the API's name is not known just now its former addresses stay."""
        servers = () if self._guard.alone else await asyncio.to_thread(openings.resolvers, self._options.dns_servers)
        try:
            called = await asyncio.to_thread(openings.api, self._options.api_host)
        except OSError as error:
            log.warning("--api-host %s has no address now: %s; it is looked up again", self._options.api_host, error)
            called = tuple(each for each in self._openings if each.port != openings.DNS)
        return *called, *servers

    async def _change(self, segment: Segment, found: tuple[Opening, ...]) -> None:
        """Raises OSError."""
        if (segment, found) == (self._segment, self._openings):
            return
        self._listen(segment)
        if segment.here:
            await asyncio.to_thread(self._guard.replace, self._made(segment, found))
        self._segment, self._openings = segment, found

    def _listen(self, segment: Segment) -> None:
        if self._listener is None:
            return
        self._listener.move(segment)
        if not segment.here:
            self._complain(
                f"actions in containers do not reach the API: the engine's network {segment.name} is no bridge of this"
                " host; set --api-host"
            )

    def _forget(self) -> None:
        """What the host remembers of containers of ours, of an earlier life's too."""
        if self._guard.macs:
            neighbours.forget(self._segment.bridge, self._guard.macs.prefix)

    def _made(self, segment: Segment, found: tuple[Opening, ...]) -> Rules:
        """Blocks for a millisecond."""
        own = self._listener
        return Rules(
            segment=segment,
            api=Opening(address=own.address, port=own.port) if own and own.address else None,
            openings=found,
            uplinks=addresses.look().uplinks,
            alone=self._guard.alone,
        )

    def _complain(self, text: str) -> None:
        """Once."""
        if text != self._said:
            log.warning("%s", text)
        self._said = text
