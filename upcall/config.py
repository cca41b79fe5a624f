"""Settings: one table says every setting's name, meaning, default and the upstream keys that it answers to.

A value comes from the first of these that has it: the command line's flag, the variable `UPCALL_<NAME>`, upstream's
variables (`CONFIG_whisk_…`, `LIMITS_…`; spec: invoker.md §2), the TOML file, the default. Empty variables count as
absent, and `CONFIG_` values that begin with `$` name another variable: deployments rely on both. Settings are read
once and handed on as arguments; `docs/reference/settings.md` is generated from the same table.

TOML keys are the names as they stand here; a dot opens a table:

    port = 3233
    memory = "4 GB"
    [limits]
    invocations-per-minute = 600
"""

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Literal

import msgspec

from upcall.brokers import KAFKA_SETTINGS, Brokers, missing_brokers, take_brokers
from upcall.core.record import StoreLevel
from upcall.core.stems import Wish, parse_prewarm
from upcall.errors import Misconfigured
from upcall.limits import LIMIT_SETTINGS, take_limits
from upcall.model.forms import (
    credentials,
    folder,
    log_level,
    megabytes,
    network,
    one_of,
    optional,
    port_number,
    switch,
    username,
)
from upcall.model.keep import Keep, parse_keep
from upcall.model.resolvers import Address, parse_resolvers
from upcall.model.sizes import SystemLimits, parse_duration
from upcall.model.store_url import StoreUrl, parse_store
from upcall.setting import Setting

LEVELS = one_of("STORE_ALWAYS", "STORE_FAILURES", "STORE_FAILURES_NOT_APPLICATION_ERRORS")

SETTINGS: tuple[Setting, ...] = (
    Setting("host", str, "127.0.0.1", "address to listen on; 0.0.0.0 opens the API to the network", form="ADDRESS"),
    Setting("port", port_number, "3233", "port of the API; 0 takes a free one", form="PORT"),
    Setting(
        "data", optional(folder), "", "folder of database and keys  [default: $XDG_DATA_HOME/upcall]", form="FOLDER"
    ),
    Setting(
        "store",
        optional(parse_store),
        "",
        "database: sqlite:////FILE or postgresql://USER@HOST/NAME  [default: upcall.db in the data folder]",
        form="URL",
    ),
    Setting(
        "memory",
        optional(megabytes),
        "",
        "memory that running actions may take together, as in 4 GB  [default: 75 % of the RAM]",
        ("whisk.container-pool.user-memory",),
        form="SIZE",
    ),
    Setting(
        "driver", one_of("process"), "process", "what actions run in: process (a sandbox of this host)", form="process"
    ),
    Setting(
        "auth",
        optional(credentials),
        "",
        "UUID:KEY of the guest subject  [default: made at first start]",
        form="UUID:KEY",
    ),
    Setting(
        "isolation",
        one_of("full", "none"),
        "full",
        "full: the kernel keeps actions apart; none: only for code that you trust as your own",
        form="full|none",
    ),
    Setting(
        "action-network",
        optional(one_of("none", "private", "host")),
        "",
        "what actions reach: the API alone, other networks but not this host, or all  "
        "[default: private if it can be had]",
        form="none|private|host",
    ),
    Setting("action-network-range", optional(network), "", "IPv4 addresses of private networks  [default: any free]"),
    Setting(
        "dns",
        parse_resolvers,
        "",
        "DNS resolvers that answer actions, with commas between them  [default: the host's]",
        ("whisk.container-factory.container-args.dns-servers",),
        form="ADDRESSES",
    ),
    Setting(
        "prewarm",
        parse_prewarm,
        "",
        "containers kept ready, as in nodejs:20=2 or python:3=1/512m; none: no  [default: one of Node.js]",
        form="KIND=COUNT",
    ),
    Setting("grace", parse_duration, "30 s", "how long running actions may take to end when stopping", form="TIME"),
    Setting(
        "durability",
        one_of("normal", "full"),
        "normal",
        "what records survive: normal: any crash of the platform; full: loss of power too",
        form="normal|full",
    ),
    Setting(
        "keep",
        parse_keep,
        "30d,10GB",
        "how long activation records are kept: by age, by size of the database, or both; forever: all of them",
        form="AGE,SIZE",
    ),
    Setting(
        "tls",
        one_of("off", "self-signed"),
        "off",
        "self-signed: https, with a certificate made in the data folder",
        form="off|self-signed",
    ),
    Setting("tls-cert", optional(folder), "", "https, with this certificate (PEM, the chain after it)", form="FILE"),
    Setting("tls-key", optional(folder), "", "private key (PEM) of --tls-cert", form="FILE"),
    Setting(
        "log.level",
        log_level,
        "info",
        "least level that is logged: debug, info, warning or error",
        ("CONFIG_logback_log_level",),
        form="LEVEL",
    ),
    Setting(
        "log.format",
        one_of("console", "json"),
        "console",
        "form of the platform's log lines: console or json",
        form="console|json",
    ),
    Setting(
        "metrics",
        switch,
        "on",
        "GET /metrics, in Prometheus' form and for anybody who reaches the port: on or off",
        ("whisk.metrics.prometheus-enabled",),
    ),
    Setting(
        "metrics-tags",
        switch,
        "on",
        "labels of OpenWhisk's metrics (namespace, action, state); off: the state is part of the name",
        ("METRICS_KAMON_TAGS", "whisk.metrics.kamon-tags-enabled"),
    ),
    Setting(
        "operator.username",
        username,
        "operator",
        "who may ask for the pool, and disable",
        ("whisk.invoker.username", "whisk.credentials.invoker.username"),
    ),
    Setting(
        "operator.password",
        optional(str),
        "",
        "the operator's password  [default: made at first start, in the data folder's .operator]",
        ("whisk.invoker.password", "whisk.credentials.invoker.password"),
    ),
    Setting(
        "pool.pause-grace",
        parse_duration,
        "10 s",
        "idle time before a container is paused",
        ("whisk.container-proxy.timeouts.pause-grace",),
    ),
    Setting(
        "pool.idle-container",
        parse_duration,
        "10 minutes",
        "paused time before a container is removed",
        ("whisk.container-proxy.timeouts.idle-container",),
    ),
    Setting(
        "bus",
        one_of("memory", "kafka"),
        "memory",
        "what carries activations: memory (of this process) or kafka (the brokers of --kafka-hosts)",
        form="memory|kafka",
    ),
    *KAFKA_SETTINGS,
    *LIMIT_SETTINGS,
    Setting(
        "transactions-header",
        str,
        "X-Request-ID",
        "header with the transaction's id",
        ("whisk.transactions.header",),
    ),
    Setting(
        "store-level.blocking",
        LEVELS,
        "STORE_ALWAYS",
        "which blocking activations are recorded",
        ("whisk.activation.store-blocking-result-level",),
    ),
    Setting(
        "store-level.non-blocking",
        LEVELS,
        "STORE_ALWAYS",
        "which other activations are recorded",
        ("whisk.activation.store-non-blocking-result-level",),
    ),
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a process was told; fields are named as in `SETTINGS`, sizes in MB or bytes, durations in seconds."""

    host: str
    port: int
    data: Path | None
    store: StoreUrl | None
    memory: int | None
    driver: Literal["process"]
    auth: str | None
    isolation: Literal["full", "none"]
    action_network: Literal["none", "private", "host"] | None
    action_network_range: IPv4Network | None
    dns: tuple[Address, ...]
    prewarm: tuple[Wish, ...] | None
    grace: float
    durability: Literal["normal", "full"]
    keep: Keep
    tls: Literal["off", "self-signed"]
    tls_cert: Path | None
    tls_key: Path | None
    log_level: str
    log_format: Literal["console", "json"]
    metrics: bool
    metrics_tags: bool
    operator_username: str
    operator_password: str | None
    pool_pause_grace: float
    pool_idle_container: float
    transactions_header: str
    store_level_blocking: StoreLevel
    store_level_non_blocking: StoreLevel
    bus: Literal["memory", "kafka"]
    brokers: Brokers | None
    limits: SystemLimits


def load(
    flags: Mapping[str, str | None], environment: Mapping[str, str], file: Path | None = None
) -> tuple[Settings, list[str]]:
    """The settings, and remarks worth a warning (unknown TOML keys). Raises Misconfigured naming source and fix."""
    upstream = upstream_keys(environment)
    table = _toml(file) if file else {}
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        source, text = _find(setting, flags, environment, upstream, table)
        try:
            values[setting.field] = setting.parse(text)
        except ValueError as error:
            raise Misconfigured(f"{source}: {error}") from error
    remarks = [f"{file}: the key '{key}' is not known and has no effect" for key in table if not _known(key)]
    return _settings(values), remarks + _misspelt(environment)


def _misspelt(environment: Mapping[str, str]) -> list[str]:
    """Of our variables those that are nearly a setting's; others are the client's, or Kubernetes' of a service."""
    known = [setting.variable for setting in SETTINGS]
    return [
        f"the variable {name} is not known and has no effect; {near[0]} is"
        for name in sorted(set(environment) - set(known))
        if name.startswith("UPCALL_") and (near := get_close_matches(name, known, 1, 0.9))
    ]


def _known(key: str) -> bool:
    return any(key == setting.name or (setting.open and key.startswith(f"{setting.name}.")) for setting in SETTINGS)


def upstream_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """`CONFIG_whisk_aB_c=x` → `whisk.a-b.c: x` (spec: invoker.md §2.1); a part that begins with a capital stays. The
    elements of a list, `…_0`, `…_1`, are joined by commas under the list's name, too."""
    found: dict[str, str] = {}
    for name, raw in environment.items():
        if not name.startswith("CONFIG_"):
            continue
        value = environment.get(raw[1:], "") if raw.startswith("$") else raw
        value = value.strip().strip("'\"").strip()
        if value:
            found[".".join(map(_kebab, name.removeprefix("CONFIG_").split("_")))] = value
    return {**found, **_lists(found)}


def _lists(found: Mapping[str, str]) -> dict[str, str]:
    elements = [(name.rpartition("."), value) for name, value in found.items()]
    numbered = sorted((name, int(last), value) for (name, _, last), value in elements if last.isdecimal())
    return {name: ",".join(value for other, _, value in numbered if other == name) for name, _, _ in numbered}


def _kebab(part: str) -> str:
    return part if part[:1].isupper() else re.sub(r"[A-Z]", lambda match: f"-{match[0].lower()}", part)


def _find(
    setting: Setting,
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    upstream: Mapping[str, str],
    table: Mapping[str, str],
) -> tuple[str, str]:
    """Where the value comes from, in words for an error, and the value."""
    flag = flags.get(setting.field)
    if flag is not None:
        return setting.option, flag
    if environment.get(setting.variable):
        return setting.variable, environment[setting.variable]
    for key in setting.upstream:
        value = _members(upstream, key[:-1]) if key.endswith(".*") else upstream.get(key) or environment.get(key)
        if value:
            return key, value
    if setting.open and (value := _members(table, f"{setting.name}.")):
        return f"'{setting.name}' in the configuration file", value
    if setting.name in table:
        return f"'{setting.name}' in the configuration file", table[setting.name]
    return f"the default of {setting.name}", setting.default


def _members(table: Mapping[str, str], prefix: str) -> str:
    """All that begin with the prefix, as a JSON object without it; empty where there are none."""
    found = {name.removeprefix(prefix): value for name, value in table.items() if name.startswith(prefix)}
    return msgspec.json.encode(found).decode() if found else ""


def _toml(file: Path) -> dict[str, str]:
    try:
        return dict(_flat(tomllib.loads(file.read_text())))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise Misconfigured(f"the configuration file {file} cannot be read: {why}") from error


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", ",".join(map(_text, value)) if isinstance(value, list) else _text(value)))
    return rows


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _settings(values: dict[str, Any]) -> Settings:
    limits, brokers = take_limits(values), take_brokers(values)
    if values["bus"] == "kafka" and brokers is None:
        raise missing_brokers()
    return Settings(**values, limits=limits, brokers=brokers)
