"""Settings: what a process was told, read once and handed on as arguments.

A value comes from the first of these that has it: the command line's flag, the variable `UPCALL_<NAME>`, upstream's
variables, the TOML file, the default (`upcall.sources`). One table (`upcall.catalogue`) says what there is; roles have
different parts of it. Everything that is wrong or missing is told at once.

TOML keys are the names as they stand in the table; a dot opens a table:

    port = 3233
    memory = "4 GB"
    [limits]
    invocations-per-minute = 600
"""

from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Literal

import msgspec

from upcall.balancing import Balancing, take_balancing
from upcall.brokers import Brokers, missing_brokers, take_brokers
from upcall.catalogue import SETTINGS, settings_of
from upcall.core.record import StoreLevel
from upcall.core.stems import Wish
from upcall.couch import KEY
from upcall.docker import Docker, Driver, deployed, take_docker, unused
from upcall.errors import Misconfigured
from upcall.fates import Fate, given, near_misses
from upcall.identity import Claim, Surroundings, beyond, invoker_id, surroundings
from upcall.kubernetes.settings import Kubernetes, take_kubernetes
from upcall.limits import take_limits
from upcall.model.keep import USUAL, Keep
from upcall.model.preload import Preload
from upcall.model.resolvers import Address
from upcall.model.runtimes import Manifest
from upcall.model.sizes import SystemLimits
from upcall.model.store_url import CouchUrl, SqliteUrl, StoreUrl
from upcall.places import DATABASE, default_data
from upcall.pooling import Pooling, take_pooling
from upcall.providers import refused, remarks
from upcall.recording import LogStore, take_keys
from upcall.roles import well_known
from upcall.secured import Https, bare, take_https
from upcall.setting import Found, Role, Setting
from upcall.sources import Sources, Texts

__all__ = ["Finding", "Settings", "Survey", "load", "survey"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a process was told; fields are named as in `SETTINGS`, sizes in MB or bytes, durations in seconds. A setting
    that the role does not have is at its default."""

    role: Role
    invoker_id: int
    """0 where the role is another, or while it is claimed."""
    claim: Claim | None
    """Who has the number, where ZooKeeper does."""
    controller_id: str
    """`0` where the role is another."""
    host: str
    port: int
    data: Path | None
    """Of all processes of a machine; what is this one's own is in `folder`."""
    store: StoreUrl | None
    memory: int | None
    driver: Driver
    docker: Docker
    kubernetes: Kubernetes
    auth: str | None
    isolation: Literal["full", "none"]
    action_network: Literal["none", "private", "host"] | None
    action_network_range: IPv4Network | None
    dns: tuple[Address, ...]
    prewarm: tuple[Wish, ...] | None
    preload: Preload
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
    pool: Pooling
    transactions_header: str
    store_level_blocking: StoreLevel
    store_level_non_blocking: StoreLevel
    store_level_tell_unstored: bool
    store_spill: int
    """Bytes."""
    logs_store: LogStore
    logs_folder: Path
    log_markers: bool
    shared_packages_execute_only: bool
    parameter_encryption: str
    parameter_keys: dict[str, str]
    """In base64, by algorithm."""
    https: Https
    zookeeper_hosts: str
    """Empty where none are named."""
    bus: Literal["memory", "kafka"]
    brokers: Brokers | None
    limits: SystemLimits
    balancing: Balancing
    unique_name: str | None
    displayed_name: str | None
    tags: list[str]
    dedicated_namespaces: list[str]
    api_host: str | None
    runtimes: Manifest | None
    concurrent_peek_factor: float
    blacklist_poll_interval: float
    user_events: bool

    @property
    def member(self) -> str:
        """The name among several processes on one database; none of `serve`, which is alone."""
        if self.role == "serve":
            return ""
        return f"{self.role}{self.invoker_id if self.role == 'invoker' else self.controller_id}"

    @property
    def folder(self) -> Path:
        """What is this process's own; for one of several `<role><id>` in the data folder."""
        return (self.data or default_data()) / self.member


class Finding(msgspec.Struct, frozen=True):
    """What one setting was found to be; `error` says what is wrong with its text."""

    setting: Setting
    found: Found
    value: Any
    """As it is read; where that fails, the default's."""
    error: str = ""

    @property
    def fault(self) -> str:
        return f"{self.found.source}: {self.error}"


class Survey(msgspec.Struct, frozen=True):
    """All settings of a role, all that is wrong with them and all that is worth a warning. `settings` is None where
    something is wrong."""

    findings: list[Finding]
    faults: list[str]
    remarks: list[str]
    settings: Settings | None
    fates: list[Fate]
    """Of the names of OpenWhisk's that were given."""


def load(
    flags: Mapping[str, str | None],
    environment: Texts,
    file: Path | None = None,
    role: Role = "serve",
    around: Surroundings | None = None,
) -> tuple[Settings, list[str]]:
    """The settings, and remarks worth a warning (unknown TOML keys). Raises Misconfigured naming sources and fixes."""
    found = survey(flags, environment, file, role, around)
    if found.settings is None:
        raise Misconfigured(listed(found.faults))
    return found.settings, found.remarks


def listed(faults: list[str]) -> str:
    """One in a line; more in a line each."""
    if len(faults) == 1:
        return faults[0]
    return f"{len(faults)} settings are wrong or missing:" + "".join(f"\n  {fault}" for fault in faults)


def survey(
    flags: Mapping[str, str | None],
    environment: Texts,
    file: Path | None = None,
    role: Role = "serve",
    around: Surroundings | None = None,
) -> Survey:
    """Raises Misconfigured where the file cannot be read."""
    sources = Sources(flags, environment, file, role)
    values: dict[str, Any] = {setting.field: setting.parse(setting.default) for setting in SETTINGS}
    findings = [_finding(setting, _found(sources, setting, role), values) for setting in settings_of(role)]
    wrong = {finding.setting.field for finding in findings if finding.error}
    faults = [finding.fault for finding in findings if finding.error]
    limits, unfit = take_limits(values)
    faults += [] if any(field.startswith("limits_") for field in wrong) else unfit
    brokers = take_brokers(values)
    values |= {"role": role, "limits": limits, "brokers": brokers, "bus": values["bus"] if role == "serve" else "kafka"}
    values |= {"balancing": take_balancing(values), "docker": take_docker(values), "pool": take_pooling(values)}
    values |= {"kubernetes": take_kubernetes(values), "https": take_https(values), "parameter_keys": take_keys(values)}
    if values["bus"] == "kafka" and brokers is None and "kafka_hosts" not in wrong:
        faults.append(missing_brokers(role))
    faults += _identify(values, wrong, around or surroundings(environment))
    theirs, chosen = sources.upstream, {finding.setting.name: finding.found.source for finding in findings}
    store_named = not chosen["store"].startswith((KEY, "the default"))
    faults += [] if "https_keystore" in wrong else bare(values)
    faults += theirs.faults + refused(role, theirs.keys, store_named)
    settings = None if faults else _settings(values)
    told = sources.remarks(SETTINGS) + theirs.remarks + near_misses(theirs) + remarks(role, theirs.keys, store_named)
    fates = [*given(theirs, environment, role, chosen)]
    return Survey(findings, faults, told + _remarks(settings, environment, theirs.keys), settings, fates)


def _found(sources: Sources, setting: Setting, role: Role) -> Found:
    found = sources.find(setting)
    return deployed(found, sources.upstream.keys) if setting.name == "driver" and role == "invoker" else found


def _finding(setting: Setting, found: Found, values: dict[str, Any]) -> Finding:
    """Puts its value among the values."""
    error = ""
    try:
        value = setting.parse(found.text)
    except ValueError as wrong:
        value, error = setting.parse(setting.default), str(wrong)
    values[setting.field] = value
    return Finding(setting, found, value, error)


def _identify(values: dict[str, Any], wrong: set[str], around: Surroundings) -> list[str]:
    """What is wrong with who this is; else `values` have it."""
    given, from_hostname = values.pop("id"), values.pop("id_from_hostname")
    role, overwrite, hosts = values["role"], values.pop("overwrite_id"), values["zookeeper_hosts"]
    values |= {"invoker_id": 0, "claim": None, "controller_id": given if role == "controller" else "0"}
    if role != "invoker" or wrong & {"id", "overwrite_id", "zookeeper_hosts"}:
        return []
    try:
        found = invoker_id(given, values["unique_name"], from_hostname, around, hosts=hosts, overwrite=overwrite)
    except Misconfigured as error:
        return [str(error)]
    values["claim" if isinstance(found, Claim) else "invoker_id"] = found
    return []


def _settings(values: dict[str, Any]) -> Settings:
    """Processes of one machine have one store, which is that of `serve`, too; how long records stay, it decides."""
    if values["role"] != "serve":
        values["store"] = values["store"] or SqliteUrl((values["data"] or default_data()) / DATABASE)
    if values["keep"] is None:  # databases that OpenWhisk may have filled lose nothing unasked
        values["keep"] = Keep() if isinstance(values["store"], CouchUrl) else USUAL
    return Settings(**values)


def _remarks(settings: Settings | None, environment: Texts, keys: Texts) -> list[str]:
    if settings is None:
        return []
    told = []
    if settings.role == "invoker" and settings.claim is None and not surroundings(environment).pod:
        told = beyond(settings.invoker_id, environment)
    if settings.user_events and settings.bus == "memory":
        told.append("user events are told to nobody: they go to a topic of Kafka, and --bus is memory")
    if settings.driver != "process":
        told += unused(keys)
    if settings.driver == "docker" and settings.action_network_range:
        told.append("action-network-range has no effect: the addresses of Docker's containers are its network's")
    if settings.driver in ("docker", "kubernetes") and settings.preload != Preload():
        whose = "Docker's containers" if settings.driver == "docker" else "pods"
        told.append(f"preload has no effect: {whose} have each a Python of their own")
    if settings.driver == "kubernetes":
        told += _of_sandboxes(settings)
    return told + well_known(settings.role, settings.operator_password)


def _of_sandboxes(settings: Settings) -> list[str]:
    """What of it pods do not have."""
    given = {
        "action-network": settings.action_network,
        "action-network-range": settings.action_network_range,
        "dns": settings.dns,
    }
    return [
        f"{name} has no effect: what pods reach, a NetworkPolicy says (upcall manifests writes one), and how they look "
        "up names, their template"
        for name, value in given.items()
        if value
    ]
