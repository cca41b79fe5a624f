"""Containers as processes of this host: one zygote in a bubblewrap sandbox, a fork of it per container (D6).

    platform ── control socket ── zygote ── init (pid 1) ── runtime (pid 2)      one init and runtime per container
        │                                                      │
        └── unix socket for HTTP, pipes for stdout and stderr ─┘

A container's socket, pipes and cgroups are made by the platform and handed to the zygote as descriptors; the container
sees none of their paths. Its pidfd tells when it dies, whoever killed it. Zygote and guardian are restarted when they
die; a container that was just being made is made by the next zygote.

A prewarmed container of a runtime that is forked has everything but its process: that costs some milliseconds when the
tenant is known, and a process cannot be moved to another tenant's network. Node.js is executed by the fork and needs
some 80 ms to start, so it is prewarmed with its process, in a network that nobody has: with the tenant that becomes the
tenant's, unless there is one already (`Networks.give`).

As root every container has a user id of its own; as an ordinary user all share one, in user namespaces of their own.
Freezing is the cgroup's; without one, init stops everybody but itself. Images are not run (`images`): what runs
is the platform's own Python, the host's Node.js (`kinds`), and native executables.
"""

import asyncio
import logging
import os
from collections.abc import Coroutine, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Literal

from upcall.containers import images, kinds
from upcall.containers.sandbox import launch, seccomp
from upcall.containers.sandbox.container import Fork, ProcessContainer
from upcall.containers.sandbox.host import Host
from upcall.containers.sandbox.interior import URL, Interior, Serve
from upcall.containers.sandbox.network import Namespace, Networks
from upcall.containers.sandbox.resolvers import Resolvers
from upcall.containers.sandbox.ways import Reach, way_out
from upcall.containers.sandbox.zygote import Zygote, ZygoteLost
from upcall.errors import Misconfigured, StartFailed
from upcall.model.entities import BLACKBOX
from upcall.model.preload import Preload
from upcall.model.resolvers import Address
from upcall.ports import ContainerSpec
from upcall.runtimes.python import confine

log = logging.getLogger(__name__)

_SLOTS = 60_000
"""More than there will be containers; each has a user id of its own."""


_COMMON = Preload()


class ProcessContainers:
    """The driver. `run` is a folder of its own, private and short of path; `api_host` becomes `__OW_API_HOST` where
    actions share the host's network, else the API is served inside theirs by `serve_api`. `dns` are resolvers, by
    default the host's own. `network` is what actions reach besides: None for a private one where that can be had.

    `log_bound` is the greatest log limit that an action may have: more is never kept. `pids` bounds the processes and
    threads of one container, `preload` says which modules those of Python have loaded.
    """

    def __init__(
        self,
        run: Path,
        *,
        isolation: Literal["full", "none"] = "full",
        api_host: str = "",
        serve_api: Serve | None = None,
        dns: Sequence[Address] = (),
        network: Reach | None = "none",
        network_range: IPv4Network | None = None,
        log_bound: int = 10 << 20,
        pids: int = 1024,
        preload: Preload = _COMMON,
    ) -> None:
        self._node = kinds.find_node()
        self.kinds: Sequence[str] = (*kinds.python_kinds(), *kinds.node_kinds(self._node))
        self._isolation = isolation
        self._api_host = api_host
        self._api_inside = URL if serve_api and network != "host" else api_host
        self.log_bound = log_bound
        self.pids = pids
        self._preload = preload
        self.host = Host(run)
        self.mode = confine.WITHOUT_ISOLATION
        self._filter = ""
        self._userns = -1
        self._zygote: Zygote | None = None
        self._starting = asyncio.Lock()
        self._shared = isolation == "none" or network == "host"
        self._outbound = way_out("host" if self._shared else network, run, self.ask, network_range)
        resolvers = None if network == "none" else Resolvers(dns)
        self._interior = Interior(self.ask, self._outbound, serve_api, resolvers)
        self._networks = Networks(self._interior.make, self._interior.let_go)
        self._containers: dict[int, ProcessContainer] = {}
        self._count = 0
        self._guardian = -1
        self._tasks: set[asyncio.Task[None]] = set()
        self._reaping: set[asyncio.Future[None]] = set()
        self._closing = False

    async def start(self) -> None:
        """Check the host, remove what an earlier life left, and prove that a container comes up."""
        self.mode = launch.mode(self._isolation)
        if self.mode == confine.WITHOUT_ISOLATION:
            log.warning("actions run WITHOUT isolation: their code has all rights of this process")
        elif self._shared:
            log.warning("actions share the network of this host: they reach all that listens on it, and each other")
        if self.mode != confine.WITHOUT_ISOLATION:
            self._filter = (await asyncio.to_thread(seccomp.program)).hex()
        try:
            await self._come_up()
        except StartFailed as error:
            await self.close()
            raise launch.refusal(str(error)) from error
        except OSError as error:
            await self.close()
            raise Misconfigured(f"The process driver cannot start: {error}") from error
        except BaseException:
            await self.close()
            raise

    async def _come_up(self) -> None:
        await asyncio.to_thread(self.host.start)
        await asyncio.to_thread(launch.prepare, self.host.life, network=not self._shared)
        self._watch_guardian()
        await self._outbound.start()
        if missing := kinds.remark(self._node):
            log.info(missing)
        probe = await self.create(ContainerSpec(kind="python:3", memory=64, name="probe", tenant="probe"))
        await probe.destroy()
        if self.host.cgroups is None:
            log.warning("no cgroups may be used here: memory and processes are bounded by resource limits alone")

    @property
    def trouble(self) -> str | None:
        """None: a zygote that has died is started anew by the next creation."""
        return None

    def facts(self) -> dict[str, str]:
        """How actions are kept apart here, in words."""
        names = {confine.AS_ROOT: "full, as root", confine.AS_USER: "full, as an ordinary user"}
        groups = self.host.cgroups.folders if self.host.cgroups else {}
        return {
            "driver": "process",
            "isolation": names.get(self.mode, "none"),
            "network": "the host's" if self._shared else self._outbound.reach,
            "cgroups": ", ".join(f"{name} (v{place.version})" for name, place in sorted(groups.items())) or "none",
        }

    async def create(self, spec: ContainerSpec) -> "ProcessContainer":
        """A container; without a tenant one that waits for `claim`."""
        if spec.kind not in self.kinds and not images.is_native(spec):
            raise images.refusal(spec) if spec.kind == BLACKBOX else kinds.refusal(spec.kind, self._node)
        if self._closing:
            raise StartFailed("The driver is closing.")
        number = self._number()
        container = ProcessContainer(self, spec, number)
        self._containers[number] = container
        try:
            await container.prepare()
            if spec.tenant:
                await container.claim(spec.tenant)
            elif kinds.runtime_of(spec.kind) == confine.NODEJS:
                await container.warm_up()
        except OSError as error:
            await container.destroy()
            raise StartFailed(f"The container cannot be made: {error}") from error
        except BaseException:
            await container.destroy()
            raise
        return container

    async def close(self) -> None:
        """Remove every container, the zygote, the guardian and the folders."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._reaping, return_exceptions=True)
        async with asyncio.TaskGroup() as group:
            for container in list(self._containers.values()):
                group.create_task(container.destroy())
        self._networks.reset()
        await self._interior.close()
        await self._outbound.close()
        if self._zygote is not None:
            await self._zygote.close()
            self._zygote = None
        self._drop_guardian()
        if self._userns >= 0:
            os.close(self._userns)
            self._userns = -1
        await asyncio.to_thread(self.host.close)

    async def spawn(self, order: dict[str, Any], tenant: str, fds: list[int]) -> Fork:
        """Fork a container; its network is nobody's yet where there is no tenant. `fds`: socket, stdout, stderr,
        status, cgroups."""
        zygote = await self._ready()
        if self._shared:
            _, given = await zygote.request({"op": "spawn", "net": False, **order}, fds)
            return Fork(given[0], None, zygote)
        namespace = await (self._networks.hold(tenant) if tenant else self._networks.fresh())
        try:
            message = {"op": "spawn", "net": True, **order}
            _, given = await zygote.request(message, [*fds[:4], namespace.fd, *fds[4:]])
        except BaseException:
            self._networks.release(namespace)
            raise
        return Fork(given[0], namespace, zygote)

    def headroom(self, kind: str) -> int:
        """Bytes of data that a kind's runtime takes for itself."""
        return self._node.data if self._node and kinds.runtime_of(kind) == confine.NODEJS else 0

    def give(self, namespace: Namespace, tenant: str) -> None:
        """A container that had none has got its tenant."""
        self._networks.give(namespace, tenant)

    def settled(self) -> None:
        """A container has started: time to make ready for the next one."""
        if not self._shared and self._networks.wanting and not self._closing:
            self._background(self._networks.prepare())

    def leave(self, namespace: Namespace) -> None:
        """One container fewer in it."""
        self._networks.release(namespace)

    def forget(self, number: int, namespace: Namespace | None) -> None:
        """A container is gone."""
        self._containers.pop(number, None)
        if namespace is not None:
            self._networks.release(namespace)

    def zygote_pid(self) -> int:
        """The process on the host that stands for the outer sandbox."""
        assert self._zygote is not None
        return self._zygote.pid

    def _number(self) -> int:
        while True:
            self._count = (self._count + 1) % _SLOTS
            if self._count not in self._containers:
                return self._count

    async def _ready(self) -> Zygote:
        """The zygote, started if there is none."""
        async with self._starting:
            if self._zygote is None:
                self._zygote = await self._launch()
            return self._zygote

    async def _launch(self) -> Zygote:
        """One that has loaded what it can: a module under which it ends is left out of the next."""
        modules = list(self._preload.modules)
        while True:
            zygote = self._begin()
            try:
                _, (userns,) = await zygote.request(self._hello(), [])
                self._keep(userns)
                fatal = await self._load(zygote, modules)
            except BaseException as error:
                await asyncio.shield(zygote.close())
                if isinstance(error, StartFailed):
                    raise ZygoteLost(zygote.complaint or str(error)) from error
                raise
            if not fatal:
                break
            modules.remove(fatal)
        return zygote

    def _keep(self, userns: int) -> None:
        """That of root's first zygote is entered by all others. It comes from within: to ask /proc for it takes the
        right to trace."""
        if self.mode == confine.AS_ROOT and self._userns < 0:
            self._userns = userns
        else:
            os.close(userns)

    def _begin(self) -> Zygote:
        keep = [self._userns] if self._userns >= 0 else []
        if self.mode == confine.WITHOUT_ISOLATION:
            argv = launch.plain(self._api_host)
        else:
            userns, programs = keep[0] if keep else None, [self._node.program] if self._node else []
            argv = launch.isolated(self.host.life, self._api_inside, userns, programs, network=not self._shared)
        return Zygote(argv, keep, self._zygote_died)

    def _hello(self) -> dict[str, Any]:
        node = self._node.program if self._node else ""
        if self.mode != confine.WITHOUT_ISOLATION:
            node = launch.seen(node)
        return {"op": "hello", "mode": self.mode, "filter": self._filter, "node": node, "common": self._preload.common}

    async def _load(self, zygote: Zygote, modules: list[str]) -> str:
        """Gives the module under which it has ended."""
        for name in modules:
            try:
                reply, _ = await zygote.request({"op": "preload", "module": name}, [])
                why = str(reply["refused"])
            except ZygoteLost as error:
                await zygote.close()
                why = (zygote.complaint or str(error)).splitlines()[-1]
            if why:
                log.warning("preload: %s is not loaded ahead: %s", name, why)
            if not zygote.alive:
                return name
        return ""

    def _zygote_died(self) -> None:
        """Its containers die with it, once they are thawed; the next one gets a new zygote."""
        dead, self._zygote = self._zygote, None
        if dead is None:
            return  # it never came up: whoever started it knows
        log.error("the zygote has died; %d containers are lost", len(self._containers))
        for container in self._containers.values():
            container.thaw()
        if self.mode == confine.AS_USER:
            self._networks.reset()
        reaping = asyncio.get_running_loop().run_in_executor(None, dead.reap)
        self._reaping.add(reaping)
        reaping.add_done_callback(self._reaping.discard)

    async def ask(self, message: dict[str, Any], fds: list[int]) -> tuple[dict[str, Any], list[int]]:
        """One request to the zygote, which is started where there is none."""
        zygote = await self._ready()
        return await zygote.request(message, fds)

    def _watch_guardian(self) -> None:
        self._guardian = os.pidfd_open(self.host.guardian_pid())
        asyncio.get_running_loop().add_reader(self._guardian, self._guardian_died)

    def _drop_guardian(self) -> None:
        if self._guardian >= 0:
            asyncio.get_running_loop().remove_reader(self._guardian)
            os.close(self._guardian)
            self._guardian = -1

    def _guardian_died(self) -> None:
        log.error("the guardian has died; starting another")
        self._drop_guardian()
        self.host.reap_guardian()
        self.host.guard()
        self._watch_guardian()

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # where it was cancelled before it began

    async def _logged(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StartFailed as error:  # the zygote has died: a known thing
            log.warning("nothing could be made ahead: %s", error)
        except Exception:
            log.exception("work in the background has failed")
