"""What the engine is told of a container that it is to create: `docker run`'s arguments as upstream has them, as the
body of POST /containers/create (spec: container.md §4.1).

Ours on top: labels, the MAC address by which the rules know our containers, and what the logs take; and no image's
HEALTHCHECK is carried out: the engine would do it at the host's cost, as often as each millisecond. `extra-args` come
last: of an option that may be given once they win; others are joined, but from `cap-drop` on in upstream's order they
replace what stands there. Labels of ours are never replaced.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from upcall.containers.docker.entry import Entry
from upcall.containers.docker.flags import Field
from upcall.containers.docker.options import DockerOptions
from upcall.ports import ContainerSpec

_LEAST_SHARES, _SHARES = 2, 1024
_LEAST_CPUS = 0.01
_REPLACED = ("cap-drop", "ulimit", "log-opt")
"""Options whose values are lists or maps, and which `extra-args` replace instead of joining."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a container is given besides what its spec says."""

    labels: Mapping[str, str]
    api_host: str = ""
    """`http://172.17.0.1`; empty: there is no API to be reached."""
    mac: str = ""
    """Empty: none can be given on its network."""
    entry: Entry = Entry()


def body(
    spec: ContainerSpec,
    options: DockerOptions,
    extra: Mapping[str, Field],
    given: Surroundings,
    api: tuple[int, int],
) -> dict[str, Any]:
    """Of POST /containers/create; `extra` are the options' own `extra_args`, read (`flags.parse`)."""
    host = _host(spec, options)
    told: dict[str, Any] = {
        "Image": spec.image,
        "Env": environment(options, given.api_host),
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": host,
    }
    for name, field in extra.items():
        _apply(told, field, replace=name in _REPLACED)
    for field in _entered(given.entry):
        _apply(told, field)
    told["Labels"] = {**told.get("Labels", {}), **given.labels}
    if given.mac and api < (1, 44):
        told["MacAddress"] = given.mac
    elif given.mac:
        told["NetworkingConfig"] = {"EndpointsConfig": {host["NetworkMode"]: {"MacAddress": given.mac}}}
    return told


def _host(spec: ContainerSpec, options: DockerOptions) -> dict[str, Any]:
    memory = spec.memory << 20
    host: dict[str, Any] = {
        "CpuShares": shares(spec.memory, options.user_memory),
        "Memory": memory,
        "MemorySwap": memory,
        "NetworkMode": options.network,
        "CapDrop": ["NET_RAW", "NET_ADMIN"],
        "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 1024}],
        "PidsLimit": 1024,
        "LogConfig": {"Type": "json-file" if options.log_bound else "", "Config": {}},
    }
    for key, values in (
        ("Dns", options.dns_servers),
        ("DnsSearch", options.dns_search),
        ("DnsOptions", options.dns_options),
    ):
        if values:
            host[key] = list(values)
    if options.user_cpus is not None:
        host["NanoCpus"] = round(cpus(spec.memory, options.user_memory, options.user_cpus) * 1e9)
    return host


def shares(memory: int, user_memory: int) -> int:
    """`--cpu-shares`: 1024 for all containers together; sizes in MB."""
    return max(_SHARES // _count(memory, user_memory), _LEAST_SHARES)


def cpus(memory: int, user_memory: int, user_cpus: float) -> float:
    """`--cpus`: of those for all containers the part of this one's memory."""
    return max(round(user_cpus / _count(memory, user_memory), 5), _LEAST_CPUS)


def _count(memory: int, user_memory: int) -> int:
    """How many of this size there can be; one, where it is larger than all of the memory."""
    return max(user_memory // memory, 1)


def environment(options: DockerOptions, api_host: str) -> list[str]:
    """The API's address first; of a name that comes twice the last value counts."""
    pairs = [f"__OW_API_HOST={api_host}"] if api_host else []
    named = {pair.partition("=")[0]: pair for pair in (*pairs, *options.extra_env)}
    return [pair if "=" in pair else f"{pair}=" for pair in named.values()]


def _entered(entry: Entry) -> Iterator[Field]:
    """How the container begins: whatever the image and the operator say, that is in it."""
    if entry.mounts:
        yield Field(("HostConfig", "Mounts"), [dict(mount) for mount in entry.mounts])
    if entry.entrypoint is not None:
        yield Field(("Entrypoint",), tuple(entry.entrypoint))
    if entry.command is not None:
        yield Field(("Cmd",), tuple(entry.command))


def _apply(told: dict[str, Any], field: Field, replace: bool = False) -> None:
    *path, last = field.place
    inside = told
    for key in path:
        inside = inside.setdefault(key, {})
    old, new = inside.get(last), field.value
    if replace or old is None:
        inside[last] = new
    elif isinstance(new, list):
        inside[last] = [*old, *new]
    elif isinstance(new, dict):
        inside[last] = {**old, **new}
    else:
        inside[last] = new
