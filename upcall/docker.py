"""Docker's settings: which engine, how containers are made by it, where images come from (spec: container.md §1, §4).

`docker.extra-env` and `docker.extra-args` are lists whose texts may have commas: where a file or numbered variables
have them they come as JSON.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from upcall.masks import arguments_shown, variables_shown
from upcall.model.forms import count, folder, optional, switch
from upcall.model.images import parse_registry
from upcall.model.sizes import parse_duration
from upcall.setting import RUNS, Found, Setting

Driver = Literal["process", "docker", "kubernetes", "auto"]
DRIVERS: tuple[Driver, ...] = ("process", "docker", "kubernetes", "auto")
_NETWORK = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_VARIABLE = re.compile(r"[^=\s\0]+(=[^\0]*)?")
_texts = msgspec.json.Decoder(list[str]).decode
_table = msgspec.json.Decoder(dict[str, list[str] | str]).decode
_FACTORY = ("whisk.container-factory.", "whisk.docker.")
_TIMES = {
    "run": ("1 minute", "for a container to be made and started"),
    "rm": ("1 minute", "for a container to be removed"),
    "ps": ("1 minute", "for containers to be listed"),
    "inspect": ("1 minute", "for a container or an image to be described"),
    "pull": ("10 minutes", "for an image to be fetched"),
    "pause": ("10 s", "for a container to be paused, where its freezer's file is out of reach"),
    "unpause": ("10 s", "for a container to go on, where its freezer's file is out of reach"),
    "version": ("10 s", "for the engine to say what it is"),
}


class Docker(msgspec.Struct, frozen=True, kw_only=True):
    """`times` in seconds by operation; None: what Docker itself would take."""

    host: str
    tls: Path | None
    network: str
    dns_search: tuple[str, ...]
    dns_options: tuple[str, ...]
    extra_env: tuple[str, ...]
    extra_args: Mapping[str, tuple[str, ...]]
    user_cpus: float | None
    parallel_runs: int
    mask_args: bool
    times: Mapping[str, float]
    registry: str
    user_registry: str
    registry_credentials: Path | None


def driver(text: str) -> Driver:
    """Ours by its name, OpenWhisk's by the last part of its class's name."""
    for known in DRIVERS:
        if text == known:
            return known
    last = text.rpartition(".")[2]
    if last.startswith("Docker"):
        return "docker"
    if last.startswith("Kubernetes"):
        return "kubernetes"
    raise ValueError(f"'{text}' is none of: {', '.join(DRIVERS)}")


def network(text: str) -> str:
    if not _NETWORK.fullmatch(text):
        raise ValueError(f"'{text}' is no name of a Docker network, as bridge is one")
    return text


def texts(text: str) -> tuple[str, ...]:
    """`a,b`, or a JSON array where a text has commas."""
    if not text.lstrip().startswith("["):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return tuple(_texts(text))
    except msgspec.MsgspecError as error:
        raise ValueError(f"it is no JSON array of texts: {error}") from error


def variables(text: str) -> tuple[str, ...]:
    """Values may be secret: not quoted."""
    found = texts(text)
    if not all(map(_VARIABLE.fullmatch, found)):
        raise ValueError("variables are written as NAME=VALUE,NAME=VALUE; a name alone is an empty one")
    return found


def arguments(text: str) -> dict[str, tuple[str, ...]]:
    """`name=value,name=value`, or a JSON object of arrays. Values may be secret: not quoted."""
    if text.lstrip().startswith("{"):
        try:
            found = _table(text)
        except msgspec.MsgspecError as error:
            raise ValueError(f"it is no JSON object of arrays of texts: {error}") from error
        return {name: (value,) if isinstance(value, str) else tuple(value) for name, value in found.items()}
    given: dict[str, tuple[str, ...]] = {}
    for name, equals, value in (part.strip().partition("=") for part in text.split(",") if part.strip()):
        if not equals or not name:
            raise ValueError("options of docker run are written as name=value,name=value, without dashes before them")
        given[name.removeprefix("--")] = (*given.get(name.removeprefix("--"), ()), value)
    return given


def cpus(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < 1e6:
        raise ValueError(f"'{text}' is no number of CPUs above 0, as 3.5 is one")
    return number


def unused(keys: Mapping[str, str]) -> list[str]:
    """What to tell of OpenWhisk's `keys` that have no effect here (spec: container.md §4.4)."""
    if keys.get("whisk.docker.container-factory.use-runc", "").lower() != "true":
        return []
    return [
        "whisk.docker.container-factory.use-runc: runc is not called; containers are paused by their freezer's file, "
        "which is faster, and by Docker's API where that is out of reach"
    ]


def deployed(found: Found, keys: Mapping[str, str]) -> Found:
    """The driver of an Invoker: where none is named, and OpenWhisk's `keys` set up Docker's containers, it is these, as
    with OpenWhisk's own (spec: invoker.md §2.3)."""
    given = next((key for key in keys if key.startswith(_FACTORY)), None)
    if found.given or given is None:
        return found
    return Found(f"OpenWhisk's own default, beside {given}", "docker")


_OF_RUNS = Setting(
    "driver",
    driver,
    "process",
    "what actions run in: process (a sandbox of this host), docker (containers of its Docker engine), kubernetes (pods "
    "of a cluster), or auto: process where it runs the kind, else docker",
    ("whisk.spi.ContainerFactoryProvider",),
    form="process|docker|kubernetes|auto",
    roles=RUNS,
)

_OF_CONTROLLERS = Setting(
    "driver",
    driver,
    "process",
    "what Invokers run actions in, which says what kinds are offered where runtimes does not",
    ("whisk.spi.ContainerFactoryProvider",),
    form="process|docker|kubernetes|auto",
    roles=("controller",),
)
DRIVER = (_OF_RUNS, _OF_CONTROLLERS)
_ARGS = "whisk.container-factory.container-args"
DOCKER_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "docker.host",
        str,
        "unix:///var/run/docker.sock",
        "address of the Docker engine: unix:///path or tcp://host:port",
        ("DOCKER_HOST",),
        form="ADDRESS",
        roles=RUNS,
    ),
    Setting(
        "docker.tls",
        optional(folder),
        "",
        "folder of ca.pem, cert.pem and key.pem, with which tcp:// is spoken to  [default: without TLS]",
        ("DOCKER_CERT_PATH",),
        roles=RUNS,
    ),
    Setting(
        "docker.network",
        network,
        "bridge",
        "network of Docker's that containers are in",
        (f"{_ARGS}.network",),
        form="NAME",
        roles=RUNS,
    ),
    Setting(
        "docker.dns-search", texts, "", "domains that containers look up names in", (f"{_ARGS}.dns-search",), roles=RUNS
    ),
    Setting("docker.dns-options", texts, "", "options of containers' resolvers", (f"{_ARGS}.dns-options",), roles=RUNS),
    Setting(
        "docker.extra-env",
        variables,
        "",
        "further variables of containers, with commas between them, or a JSON array",
        (f"{_ARGS}.extra-env-vars",),
        form="NAME=VALUE",
        roles=RUNS,
        many=True,
        show=variables_shown,
    ),
    Setting(
        "docker.extra-args",
        arguments,
        "",
        "further options of docker run, as in ulimit=nofile=2048:2048, or a JSON object of arrays",
        (f"{_ARGS}.extra-args.*",),
        form="NAME=VALUE",
        roles=RUNS,
        many=True,
        show=arguments_shown,
    ),
    Setting(
        "docker.user-cpus",
        optional(cpus),
        "",
        "CPUs that all containers share, each by its memory  [default: no bound]",
        ("whisk.container-pool.user-cpus",),
        form="NUMBER",
        roles=RUNS,
    ),
    Setting(
        "docker.parallel-runs",
        count,
        "10",
        "containers that are made at a time; 0: any number",
        ("whisk.docker.client.parallel-runs",),
        roles=RUNS,
    ),
    Setting(
        "docker.mask-args",
        switch,
        "off",
        "whether containers' arguments are kept out of the log: on or off",
        ("whisk.docker.client.mask-docker-run-args",),
        roles=RUNS,
    ),
    *(
        Setting(
            f"docker.times.{operation}",
            parse_duration,
            default,
            f"the longest time {what}; Inf: any",
            (f"whisk.docker.client.timeouts.{operation}",),
            roles=RUNS,
        )
        for operation, (default, what) in _TIMES.items()
    ),
    Setting(
        "docker.registry",
        parse_registry,
        "",
        "registry of the manifest's images, where they name none themselves  [default: Docker Hub]",
        ("whisk.container-factory.runtimes-registry.url",),
        roles=RUNS,
    ),
    Setting(
        "docker.user-registry",
        parse_registry,
        "",
        "registry of users' images, where they name none themselves  [default: Docker Hub]",
        ("whisk.container-factory.user-images-registry.url",),
        roles=RUNS,
    ),
    Setting(
        "registry-credentials",
        optional(folder),
        "",
        "folder with credentials of namespaces for registries: NAMESPACE/config.json or NAMESPACE.json, as docker "
        "login writes it; the platform's own are in Docker's config.json",
        form="FOLDER",
        roles=RUNS,
    ),
)


def take_docker(values: dict[str, Any]) -> Docker:
    """Made of the values of `DOCKER_SETTINGS`, which are taken out."""
    own = {name: values.pop(name) for name in list(values) if name.startswith("docker_")}
    found = {name.removeprefix("docker_"): value for name, value in own.items()}
    times = {operation: found.pop(f"times_{operation}") for operation in _TIMES}
    return Docker(**found, times=times, registry_credentials=values.pop("registry_credentials"))
