"""What an operator says of the Docker driver (spec: container.md §1, §4.1). Durations are seconds, sizes MB."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

SOCKET = "unix:///var/run/docker.sock"
NEVER = float("inf")
_NOBODY = "192.0.2.1"
"""Of a range that is used nowhere (RFC 5737)."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """How long the engine may take for one thing; `inf` is for ever (`whisk.docker.client.timeouts`)."""

    run: float = 60.0
    rm: float = 60.0
    ps: float = 60.0
    inspect: float = 60.0
    pull: float = 600.0
    pause: float = 10.0
    unpause: float = 10.0
    version: float = 10.0


class DockerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Of one platform; upstream's keys stand below `whisk.container-factory.container-args` where none is named."""

    host: str = SOCKET
    """`unix:///path` or `tcp://host:port`."""
    tls: Path | None = None
    """Folder of `ca.pem`, `cert.pem` and `key.pem` with which `tcp://` is spoken to."""
    network: str = "bridge"
    dns_servers: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_env: tuple[str, ...] = ()
    """`name=value`, or a name alone for an empty one (`extra-env-vars`)."""
    extra_args: Mapping[str, tuple[str, ...]] = {}
    """Options of `docker run` by their long names without dashes, as `arguments.EXTRA` knows them."""
    user_cpus: float | None = None
    """CPUs for all actions together (`whisk.container-pool.user-cpus`)."""
    user_memory: int = 1024
    """MB for all actions together (`whisk.container-pool.user-memory`)."""
    parallel_runs: int = 10
    """Containers that are created at a time; 0: any number (`whisk.docker.client.parallel-runs`)."""
    mask_args: bool = False
    """Whether arguments are kept out of the log (`whisk.docker.client.mask-docker-run-args`)."""
    timeouts: Timeouts = Timeouts()
    api_host: str = ""
    """`http://name[:port]` for `__OW_API_HOST`; empty: the API's listener on the network."""
    registry_credentials: Path | None = None
    """Folder of registries' credentials by namespace."""
    log_bound: int = 10 << 20
    """Bytes: the greatest log limit that an action may have; more is never kept. 0: nothing is read, all is left to the
    engine's log driver."""


def nameless(options: DockerOptions) -> DockerOptions:
    """With a resolver that is nowhere: in a network of one's own the engine would ask the host's for containers, and
    names would be a way out."""
    return msgspec.structs.replace(options, dns_servers=(_NOBODY,))


def settled(options: DockerOptions) -> DockerOptions:
    """With the network in one place: among the extra arguments it wins, by either of its names."""
    args = dict(options.extra_args)
    networks = (*args.pop("net", ()), *args.pop("network", ()))
    if not networks:
        return options
    return msgspec.structs.replace(options, network=networks[-1], extra_args=args)
