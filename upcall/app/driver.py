"""What runs actions, out of the settings: the driver of containers, and what is offered with it."""

import contextlib
import logging
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from upcall.app.folders import docker_folder, remove, run_folder
from upcall.app.ground import Ground
from upcall.app.offer import Offer, by_both, by_docker, by_pods, by_process, wanted
from upcall.app.parts import topic_prefix
from upcall.config import Settings
from upcall.containers.choice import Choice, Driver
from upcall.containers.process import ProcessContainers
from upcall.containers.sandbox.host import private_run
from upcall.containers.sandbox.interior import Serve
from upcall.errors import Misconfigured
from upcall.http.metrics import Collect
from upcall.model.runtimes import Deployment
from upcall.model.sizes import MB
from upcall.ownership import private_file, unusable

if TYPE_CHECKING:
    from upcall.containers.docker.driver import DockerContainers
    from upcall.containers.docker.options import DockerOptions

log = logging.getLogger("upcall")

_DNS = 53
_PARALLEL = "__OW_ALLOW_CONCURRENT=true"
"""What upstream's runtimes are told before they take one run beside another (spec: container.md §7.3)."""
_IDENTITY = ".instance"


class Api(NamedTuple):
    """How actions reach the API: `url` is its address as it is outside of their networks, `serve` serves it inside."""

    url: str = ""
    serve: Serve | None = None


class Running(NamedTuple):
    """What runs actions, and which."""

    containers: Driver
    offer: Offer


class Drivers:
    """Makes one; `memory` of all actions in MB. What is made on the way goes with the stack."""

    def __init__(self, settings: Settings, ground: Ground, memory: int, stack: contextlib.AsyncExitStack) -> None:
        self._settings = settings
        self._ground = ground
        self._memory = memory
        self._stack = stack
        self.metrics: list[Collect] = []
        """Of what was made."""

    async def make(self, inside: Api, docker: Api) -> Running:
        """With the API as sandboxes reach it, and as containers and pods do. Raises Misconfigured."""
        match self._settings.driver:
            case "process":
                sandboxes = self._sandboxes(inside)
                return Running(sandboxes, by_process(self._settings.runtimes, sandboxes.kinds))
            case "docker":
                self._isolated("containers")
                return await self._docker(docker)
            case "kubernetes":
                self._isolated("pods")
                return await self._pods(docker)
            case "auto":
                return await self._auto(inside, docker)

    def _isolated(self, by: str) -> None:
        """Raises Misconfigured."""
        if self._settings.isolation == "none":
            raise Misconfigured(
                f"--isolation none is for sandboxes of this host; --driver {self._settings.driver} keeps actions apart "
                f"by {by}: leave one of the two out."
            )

    def _sandboxes(self, api: Api) -> ProcessContainers:
        settings = self._settings
        if settings.isolation == "none" and settings.action_network in ("none", "private"):
            raise Misconfigured(
                f"--action-network {settings.action_network} needs sandboxes; with --isolation none actions have the "
                "network of this host: leave one of the two out."
            )
        return ProcessContainers(
            run_folder(self._ground.data),
            isolation=settings.isolation,
            api_host=api.url,
            serve_api=api.serve,
            dns=settings.dns,
            network=settings.action_network,
            network_range=settings.action_network_range,
            log_bound=_log_bound(settings),
            preload=settings.preload,
        )

    async def _pods(self, api: Api) -> Running:
        from upcall.app.pods import pods

        settings = self._settings
        offer = by_pods(settings.runtimes, _deployment(settings))
        made = await pods(
            settings,
            await _identity(settings, self._ground),
            kinds=offer.kinds,
            api_host=api.url,
            env=_environment(settings),
            log_bound=_log_bound(settings),
        )
        return Running(made, offer)

    async def _docker(self, api: Api) -> Running:
        from upcall.containers.docker.survey import survey

        given, options, deployment = self._settings.runtimes, self._options(api), _deployment(self._settings)
        found = await survey(options, wanted(given, deployment))
        offer = by_docker(given, deployment, found.present)
        return Running(await self._engine(options, offer, api), offer)

    async def _auto(self, inside: Api, docker: Api) -> Running:
        from upcall.containers.docker.survey import survey

        sandboxes = self._sandboxes(inside)
        try:
            await sandboxes.start()
        except Misconfigured as error:
            log.warning("--driver auto: actions run in Docker's containers alone: %s", error)
            return await self._docker(docker)
        self._stack.push_async_callback(sandboxes.close)
        given, options, deployment = self._settings.runtimes, self._options(docker), _deployment(self._settings)
        try:
            found = await survey(options, wanted(given, deployment))
        except Misconfigured as error:
            log.warning("--driver auto: actions run in sandboxes of this host alone: %s", error)
            offer = by_process(given, sandboxes.kinds, "no Docker engine answers")
            return Running(Choice(sandboxes, None, sandboxes.kinds, offer.kinds), offer)
        offer = by_both(given, sandboxes.kinds, deployment, found.present)
        engine = await self._engine(options, offer, docker)
        return Running(Choice(sandboxes, engine, sandboxes.kinds, offer.kinds), offer)

    async def _engine(self, options: "DockerOptions", offer: Offer, api: Api) -> "DockerContainers":
        from upcall.containers.docker.driver import DockerContainers
        from upcall.containers.docker.labels import new_labels

        run = docker_folder(self._ground.data)
        private_run(run)
        self._stack.callback(remove, run)
        labels = new_labels(await _identity(self._settings, self._ground), self._settings.invoker_id)
        reach = self._settings.action_network
        made = DockerContainers(run, options, labels, kinds=offer.kinds, serve_api=api.serve, reach=reach)
        self.metrics.append(lambda: made.engine.commands.metrics(self._settings.metrics_tags))
        return made

    def _options(self, api: Api) -> "DockerOptions":
        from upcall.containers.docker.options import DockerOptions, Timeouts

        settings, docker = self._settings, self._settings.docker
        if odd := [host for host, port in settings.dns if port != _DNS]:
            raise Misconfigured(
                f"--dns {odd[0]}: Docker's containers ask resolvers at port {_DNS} only: leave the port out."
            )
        return DockerOptions(
            host=docker.host,
            tls=docker.tls,
            network=docker.network,
            dns_servers=tuple(host for host, _ in settings.dns),
            dns_search=docker.dns_search,
            dns_options=docker.dns_options,
            extra_env=_environment(settings),
            extra_args=docker.extra_args,
            user_cpus=docker.user_cpus,
            user_memory=self._memory,
            parallel_runs=docker.parallel_runs,
            mask_args=docker.mask_args,
            timeouts=Timeouts(**docker.times),
            api_host=api.url,
            registry_credentials=docker.registry_credentials,
            log_bound=_log_bound(settings),
        )


def _environment(settings: Settings) -> tuple[str, ...]:
    """Further variables of containers and pods."""
    return (*([_PARALLEL] if settings.limits.concurrency.max > 1 else []), *settings.docker.extra_env)


def _log_bound(settings: Settings) -> int:
    """Bytes of its log that are ever kept of an activation."""
    return settings.limits.logs.max * MB if settings.logs_store != "driver" else 0


def _deployment(settings: Settings) -> Deployment:
    return Deployment(
        registry=settings.docker.registry,
        users_registry=settings.docker.user_registry,
        local_prefix=settings.balancing.local_image_prefix,
    )


async def _identity(settings: Settings, ground: Ground) -> str:
    """Of this platform across restarts: what the brokers say where Invokers may come back with another disk, else what
    the data folder has."""
    if settings.role == "invoker":
        from upcall.bus.kafka import KafkaBus

        assert isinstance(ground.bus, KafkaBus)
        return f"{await ground.bus.cluster()}/{topic_prefix(settings)}"
    return _kept(ground.data)


def _kept(data: Path) -> str:
    """Made at the first start. Raises Misconfigured."""
    path = data / _IDENTITY
    try:
        with open(private_file(path), "r+") as file:
            if not (known := file.read().strip()):
                known = secrets.token_hex(16)
                file.write(f"{known}\n")
    except (OSError, UnicodeDecodeError) as error:
        raise unusable(data, f"{path.name}: {error}") from error
    return known
