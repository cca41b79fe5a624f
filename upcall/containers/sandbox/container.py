"""One container of the process driver: its socket, pipes, cgroups, and the pidfd of its init."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from upcall.containers import kinds
from upcall.containers.loss import Mortal
from upcall.containers.sandbox import guardian
from upcall.containers.sandbox.cgroups import Group
from upcall.containers.sandbox.freezing import freeze
from upcall.containers.sandbox.host import Host
from upcall.containers.sandbox.network import Namespace
from upcall.containers.sandbox.output import Output
from upcall.containers.sandbox.zygote import Zygote, ZygoteGone, ZygoteLost
from upcall.errors import Failed, StartFailed
from upcall.logs.pipes import TURNS
from upcall.logs.stream import LogStream
from upcall.ports import Address, ContainerSpec, Lines
from upcall.runtimes.python import confine

log = logging.getLogger(__name__)

_FIRST_USER = 1000
_PATIENCE = 10.0
_WORDS = 1024
_TRIES, _ENDED = 3, 20
"""How many zygotes are asked for a container, and how many more may have ended while it waited for its turn."""


class Fork(NamedTuple):
    """A process that is to be a container; without a network where it shares the host's."""

    pidfd: int
    namespace: Namespace | None
    zygote: Zygote


class Driver(Protocol):
    """What a container needs of the driver that made it."""

    host: Host
    mode: str
    pids: int
    log_bound: int

    async def spawn(self, order: dict[str, Any], tenant: str, fds: list[int]) -> Fork: ...

    def headroom(self, kind: str) -> int: ...

    def give(self, namespace: Namespace, tenant: str) -> None: ...

    def settled(self) -> None: ...

    def leave(self, namespace: Namespace) -> None: ...

    def forget(self, number: int, namespace: Namespace | None) -> None: ...


class ProcessContainer(Mortal):
    """Implements `upcall.ports.Container`. Unclaimed it has no process, unless it was told to `warm_up`."""

    foreign = False

    def __init__(self, driver: Driver, spec: ContainerSpec, number: int) -> None:
        self._driver = driver
        self._spec = spec
        self._number = number
        self._tenant = ""
        self._loop = asyncio.get_running_loop()
        self.id = os.urandom(16).hex()
        self._base = str(driver.host.life / str(number))
        self.address = Address(path=f"{self._base}.sock")
        self._logs = LogStream(driver.log_bound)
        self._output: Output | None = None
        self._listening: socket.socket | None = None
        self._group: Group | None = None
        self._namespace: Namespace | None = None
        self._pidfd = -1
        self._status = -1
        self._saying: asyncio.Future[bytes] | None = None
        self._making: asyncio.Future[None] | None = None
        self._started = False
        self._exited = asyncio.Event()
        self._gone: asyncio.Event | None = None
        self._oom_kills = 0

    async def prepare(self) -> None:
        """Make everything but the process, in a thread: it takes some 100 µs. Nobody stops it half-way."""
        self._making = asyncio.ensure_future(asyncio.to_thread(self._make))
        await asyncio.shield(self._making)

    def _make(self) -> None:
        self._output = Output(self._loop, self._logs, told=kinds.runtime_of(self._spec.kind) != confine.NATIVE)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(self.address.path)
        self._listening.listen(64)
        if self._driver.mode == confine.WITHOUT_ISOLATION:
            os.mkdir(self._base, 0o700)
        if self._driver.host.cgroups is not None:
            memory = self._spec.memory << 20
            self._group = self._driver.host.cgroups.group(str(self._number), memory, self._driver.pids)

    async def claim(self, tenant: str, concurrency: int = 1) -> None:
        """Fork the process into the tenant's network, or give the tenant what waits with its process."""
        if self._tenant or self._gone is not None:
            raise StartFailed("The container has its tenant already, or is gone.")
        self._tenant = tenant
        if self._pidfd < 0:
            await self.warm_up()
        elif self._exited.is_set():
            raise StartFailed("The container has ended before it was used.")
        elif self._namespace is not None:
            self._driver.give(self._namespace, tenant)

    async def warm_up(self) -> None:
        """Have a process, in the tenant's network or in one that is nobody's."""
        try:
            await self._start(self._tenant)
        except OSError as error:
            raise StartFailed(f"The container cannot be started: {error}") from error
        self._driver.settled()

    async def _start(self, tenant: str) -> None:
        """Anew where the zygote is lost meanwhile, for nothing has been asked of the container yet."""
        assert self._listening is not None
        assert self._output is not None
        asked = 0
        for left in reversed(range(_ENDED)):
            try:
                await self._fork(tenant, [self._listening.fileno(), *self._output.write_ends])
                break
            except ZygoteLost as error:
                asked += not isinstance(error, ZygoteGone)
                if not left or asked == _TRIES or self._gone is not None:
                    raise
                self._disown()
        self._output.started()
        self._listening.close()
        if self._group is not None:
            self._group.joined()
            if self._group.can_freeze:
                self._close_status()  # init has no more to say
        self._started = True
        if self._exited.is_set():
            self.died()

    async def _fork(self, tenant: str, fds: list[int]) -> None:
        self._status, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            cgroups = self._group.joins if self._group else []
            fork = await self._driver.spawn(self._order(), tenant, [*fds, writer, *cgroups])
        finally:
            os.close(writer)
        self._adopt(fork)
        status = await self._said()
        if status != b"ok":
            if not status and self._gone is None:
                await fork.zygote.request({"op": "here"}, [])  # or it is lost, and that is why
            raise StartFailed(status.decode("utf-8", "replace") or self._last_words())

    def _disown(self) -> None:
        """Undo what a lost zygote has done; its child is dead, or soon will be."""
        self._close_status()
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
            self._pidfd = -1
        self._exited.clear()
        namespace, self._namespace = self._namespace, None
        if namespace is not None:
            self._driver.leave(namespace)

    def _last_words(self) -> str:
        """Why a sandbox has ended before it was ready, as far as it has said so."""
        assert self._output is not None
        self._output.drain()
        said = [line.partition(": ")[2].strip() for line in self._logs.take(_WORDS).lines]
        return ": ".join(["The sandbox has ended before it was ready", *filter(None, said)][:2]).rstrip(".") + "."

    def _adopt(self, fork: Fork) -> None:
        """The process is ours, unless the container was destroyed meanwhile."""
        if self._gone is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fork.pidfd, signal.SIGKILL)
            os.close(fork.pidfd)
            self._driver.forget(self._number, fork.namespace)
            raise StartFailed("The container was removed while it started.")
        self._pidfd, self._namespace = fork.pidfd, fork.namespace
        self._loop.add_reader(fork.pidfd, self._died)

    async def pause(self) -> None:
        if self._group is None or not self._group.can_freeze:
            self._signal(signal.SIGUSR1)
            if await self._said() != b"paused":
                raise Failed("The container has ended.")
            return
        await freeze(self._group, lambda: self._exited.is_set() or self._gone is not None)

    async def resume(self) -> None:
        if self._group is None or not self._group.can_freeze:
            self._signal(signal.SIGUSR2)
        else:
            self._group.thaw()
        if self._exited.is_set():
            raise Failed("The container has ended.")

    async def destroy(self) -> None:
        """Kill and remove; a second caller waits for the first."""
        if self._gone is not None:
            await self._gone.wait()
            return
        self._unwatch()
        self._gone = asyncio.Event()
        try:
            if self._making is not None:
                await asyncio.wait([self._making])
            await self._kill()
            if self._output is not None:
                await self._output.close()
            self._close_status()
            self._count_kills()
            await asyncio.to_thread(self._remove)
        finally:
            namespace, self._namespace = self._namespace, None
            self._driver.forget(self._number, namespace)
            self._gone.set()

    def collect(self, limit: int, complete: bool, done: Callable[[Lines], None]) -> None:
        """Our runtime needs no sentinels: what it wrote before it answered is in the pipes."""
        self._collect(limit, complete, done, TURNS)

    def exhausted(self, done: Callable[[bool], None]) -> None:
        self._count_kills()
        done(self._oom_kills > 0)

    def memory_used(self) -> int | None:
        return self._group.memory_used() if self._group is not None else None

    def thaw(self) -> None:
        """Let what is frozen die."""
        if self._group is not None:
            with contextlib.suppress(OSError):
                self._group.thaw()

    def _collect(self, limit: int, complete: bool, done: Callable[[Lines], None], turns: int) -> None:
        """At once where little is left to read, else over turns of the loop."""
        if turns and self._output is not None and not self._output.drain():
            self._loop.call_soon(self._collect, limit, complete, done, turns - 1)
        else:
            lines = self._logs.take(limit, complete)
            if self._logs.guessed and self._output is not None:
                self._output.attend()
            done(lines)

    def _count_kills(self) -> None:
        if self._group is not None:
            self._oom_kills = max(self._oom_kills, self._group.oom_kills())

    def _order(self) -> dict[str, Any]:
        isolated = self._driver.mode != confine.WITHOUT_ISOLATION
        return {
            "uid": _FIRST_USER + self._number,
            "memory": self._spec.memory << 20,
            "pids": self._driver.pids,
            "rlimits": self._group is None or "memory" not in self._group.places,
            "headroom": self._driver.headroom(self._spec.kind),
            "folder": "/tmp" if isolated else self._base,  # noqa: S108 - the sandbox's own
            "code": "/action" if isolated else f"{self._base}/action",
            "runtime": kinds.runtime_of(self._spec.kind),
        }

    async def _said(self) -> bytes:
        """The next word on the status pipe; empty when the container has ended without one."""
        fd, said = self._status, asyncio.Future[bytes](loop=self._loop)
        self._saying = said

        def readable() -> None:
            self._loop.remove_reader(fd)
            if not said.done():
                said.set_result(os.read(fd, 4096))

        self._loop.add_reader(fd, readable)
        try:
            async with asyncio.timeout(_PATIENCE):
                return await said
        except TimeoutError as error:
            raise StartFailed("The sandbox does not answer.") from error

    def _close_status(self) -> None:
        if self._status >= 0:
            self._loop.remove_reader(self._status)
            os.close(self._status)
            self._status = -1
        if self._saying is not None and not self._saying.done():
            self._saying.set_result(b"")

    def _signal(self, number: signal.Signals) -> None:
        if self._pidfd < 0:
            return
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError as error:
            raise Failed("The container has ended.") from error

    def _died(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self._exited.set()
        if self._started:
            self.died()

    async def _kill(self) -> None:
        self.thaw()
        if self._pidfd < 0:
            return
        isolated = self._driver.mode != confine.WITHOUT_ISOLATION
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL if isolated else signal.SIGTERM)
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._exited.wait()
        except TimeoutError:
            log.error("container %s does not end", self.id)
            self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)

    def _remove(self) -> None:
        """Blocks until the cgroups are gone; the kernel lets go of the last process a moment after its end."""
        if self._listening is not None:
            self._listening.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.address.path)
        guardian.remove(self._base)
        if self._group is not None:
            guardian.clean([str(path) for path in self._group.paths], None)
            self._group.close()
