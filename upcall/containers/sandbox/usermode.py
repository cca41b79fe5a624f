"""An ordinary user's way out: per namespace a gateway (`runtimes.python.link`) and a program that speaks for it.

pasta, else slirp4netns: both take packets from a tap interface and make connections of this user out of them; nothing
is passed on from the host's ports or to its loopback. The gateway's routes refuse the addresses that the host has when
a namespace is attached, link-local, multicast, and networks that the host keeps for containers. IPv4 only.

The program ends with the platform (by its wish to die with its parent), the gateway with its last descriptor, which
only the platform has: nothing can be left behind. Ended by something else, it is started again. Pasta shuts itself in;
slirp4netns can do that only where it has an id of 0, which an ordinary user's sandbox does not, so it has its seccomp
filter alone.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import shutil
import tempfile
from ipaddress import IPv4Network
from typing import IO

from upcall.containers.sandbox import addresses, join, launch
from upcall.containers.sandbox.outbound import INSIDE_ALONE, Ask, Link, Trouble
from upcall.containers.sandbox.zygote import ZygoteLost
from upcall.errors import Misconfigured, StartFailed
from upcall.runtimes.python.link import INNER, TAP

log = logging.getLogger(__name__)

_DEVICE = "/dev/net/tun"
_GET_USER_NAMESPACE = 0xB701
_PATIENCE = 5.0
_STEP = 0.005
_PAUSE = 0.2
"""Before a program that has ended is started again."""
_PASTA = (
    *("--foreground", "--netns-only", "--no-map-gw", "-4", "--mtu", "1500"),
    *("-t", "none", "-u", "none", "-T", "none", "-U", "none"),
    *("--no-dhcp", "--no-dhcpv6", "--no-ndp", "--no-ra"),
)
_SLIRP = ("--netns-type=path", "--disable-host-loopback", "--disable-dns", "--enable-seccomp", "--mtu=1500")


class Spoken(Link):
    """A gateway by its descriptor, with the program that speaks for it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.gateway = -1
        self.process: asyncio.subprocess.Process | None = None
        self.keeper: asyncio.Task[None] | None = None


class UserMode:
    """`network` is the range to use, else a free one is chosen; it is seen inside alone, so all namespaces have the
    same addresses."""

    def __init__(self, ask: Ask, network: IPv4Network | None, trouble: Trouble) -> None:
        self._ask = ask
        self._trouble = trouble
        self._network = network
        self._program = ""
        self._links: set[Spoken] = set()

    @property
    def reach(self) -> str:
        return f"private, {self._network}" if self._program else INSIDE_ALONE

    async def start(self) -> None:
        try:
            program = find()
            self._network = addresses.free(addresses.look(), self._network)[0]
            self._program = program
        except (OSError, Misconfigured) as error:
            self._trouble.at_start(str(error))

    async def attach(self, number: int, fd: int) -> Link:
        link = Spoken(number)
        if not self._program:
            return link
        self._links.add(link)
        try:
            await self._lead_out(link, fd)
        except (OSError, StartFailed) as error:
            await self.detach(link)
            if isinstance(error, ZygoteLost):
                raise
            self._trouble.once(str(error))
        except BaseException:
            await asyncio.shield(self.detach(link))
            raise
        return link

    async def detach(self, link: Link) -> None:
        assert isinstance(link, Spoken)
        self._links.discard(link)
        keeper, link.keeper = link.keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        process, link.process = link.process, None
        if link.gateway >= 0:
            os.close(link.gateway)
            link.gateway = -1
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def close(self) -> None:
        for link in list(self._links):
            await self.detach(link)

    async def _lead_out(self, link: Spoken, fd: int) -> None:
        assert self._network is not None
        outer, inner = (str(self._network[n]) for n in (0, 1))
        order = {"op": "gateway", "address": outer, "prefix": 31, "refused": addresses.refused(addresses.look())}
        _, (link.gateway,) = await self._ask(order, [fd])
        ends = {"op": "link", "name": INNER, "address": inner, "prefix": 31, "gateway": outer}
        await self._ask({**ends, "forward": False}, [fd])
        await self._speak_for(link)
        link.keeper = asyncio.get_running_loop().create_task(self._keep(link))

    async def _keep(self, link: Spoken) -> None:
        """Start the program again when it has ended, until that fails."""
        try:
            while link.process is not None:
                code = await link.process.wait()
                log.warning("what leads a tenant's network out has ended (%d) and is started again", code)
                await asyncio.sleep(_PAUSE)
                await self._speak_for(link)
        except (OSError, StartFailed) as error:
            self._trouble.once(str(error))

    async def _speak_for(self, link: Spoken) -> None:
        with tempfile.TemporaryFile() as errors:
            link.process = await self._speak(link.gateway, errors)
            if not await self._appears(link):
                raise OSError(f"{os.path.basename(self._program)} does not start: {_last_line(errors)}")

    async def _appears(self, link: Spoken) -> bool:
        """Wait for the program's interface, and set it up; false where it does not come."""
        assert self._network is not None
        assert link.process is not None
        tap, beyond = (str(self._network[256 + n]) for n in (100, 2))
        order = {"op": "link", "name": TAP, "address": tap, "prefix": 24, "gateway": beyond}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while link.process.returncode is None:
                    reply, _ = await self._ask({**order, "forward": True}, [link.gateway])
                    if reply["set"]:
                        return True
                    await asyncio.sleep(_STEP)
        return False

    async def _speak(self, gateway: int, errors: IO[bytes]) -> asyncio.subprocess.Process:
        userns = fcntl.ioctl(gateway, _GET_USER_NAMESPACE)
        try:
            argv = [self._program, *self._arguments(join.place())]
            plan = {"userns": userns, "netns": gateway, "parent": os.getpid(), "place": join.place(), "argv": argv}
            command = [*launch.module("upcall.containers.sandbox.join"), json.dumps(plan)]
            return await asyncio.create_subprocess_exec(
                *command,
                pass_fds=[userns, gateway],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=errors,
                env={},
                cwd="/",
            )
        finally:
            os.close(userns)

    def _arguments(self, netns: str) -> list[str]:
        assert self._network is not None
        if self._program.endswith("slirp4netns"):
            return [*_SLIRP, f"--cidr={self._network[256]}/24", netns, TAP]
        inner, beyond = (str(self._network[n]) for n in (1, 256 + 2))
        return [*_PASTA, "-a", inner, "-n", "24", "-g", beyond, "-I", TAP, "--netns", netns]


def find() -> str:
    """The program that leads out. Raises Misconfigured."""
    found = shutil.which("pasta") or shutil.which("slirp4netns")
    if found is None:
        raise Misconfigured("pasta is missing, which leads actions out: apt-get install passt (or slirp4netns)")
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        raise Misconfigured(
            f"{os.path.basename(found)} needs {_DEVICE}, which is missing or closed to this user: "
            f"as root, modprobe tun and chmod 666 {_DEVICE}"
        )
    return found


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = [line for line in errors.read().decode("utf-8", "replace").splitlines() if "syslog" not in line]
    return lines[-1].strip() if lines else f"nothing for {_PATIENCE:.0f} s"
