"""What Kafka, CouchDB and others answer that the settings of a process name: all are asked at once, for a second each.

Nothing is made or changed. Names of users are told, passwords never.
"""

import asyncio
import contextlib
import os
import re
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

from upcall.brokers import Brokers
from upcall.bus.kafka_client import common_config, made
from upcall.config import Settings
from upcall.errors import Misconfigured
from upcall.model.store_url import CouchUrl, PostgresUrl
from upcall.setting import Role
from upcall.store.couch_designs import designs
from upcall.store.couch_http import FAILURES, Answer, CouchHttp, Oversized, cause, fault

T = TypeVar("T")
SECOND = 1.0
"""For an answer."""
SILENCE = f"nobody answers within {SECOND:.0f} s"
TURNS = 5
TOPICS = 50
"""Whose limits are looked at, at most."""
_HURRY = {"socket.connection.setup.timeout.ms": int(SECOND * 1000)}
_ITSELF = re.compile(r"(?:\w+://)?(\S+)/\d+: (.*)", re.DOTALL)
"""A complaint of a broker that is known by its number: that address is its own word."""
USERS = "_users"
SESSION = "_session"


class Kafka(msgspec.Struct, frozen=True, kw_only=True):
    """`brokers`: each by the address that it gives itself, and why that is not reached, empty where it is. `limits`:
    bytes of a message that a topic takes. `error`: why nothing is known."""

    hosts: str
    largest: int
    """Bytes that messages may have, by the settings."""
    brokers: Mapping[str, str] = {}
    limits: Mapping[str, int] = {}
    error: str = ""
    unfit: str = ""
    """Which setting the client does not take."""


class Reply(msgspec.Struct, frozen=True):
    """HTTP's status, and CouchDB's own words: `error: reason`."""

    status: int
    said: str = ""
    welcome: bool = True
    """Whether it is CouchDB who answers; of `/` alone."""


class Couch(msgspec.Struct, frozen=True, kw_only=True):
    """`replies` by path: `/`, `/_session`, `/_users`, `/DATABASE`, `/DATABASE/_design/NAME`."""

    place: str
    user: str
    databases: Sequence[str]
    replies: Mapping[str, Reply] = {}
    error: str = ""


class Hairpin(msgspec.Struct, frozen=True):
    """A pod's own Service, and whether connections to it from the pod are not answered."""

    service: str
    silent: bool


class Dependencies(msgspec.Struct, frozen=True, kw_only=True):
    """`others`: places of ZooKeeper and PostgreSQL that are not reached, and why. `api`: the same of the API's address
    that actions get."""

    role: Role
    looked_at: Sequence[str] = ()
    kafka: Kafka | None = None
    couch: Couch | None = None
    others: Mapping[str, str] = {}
    api: Mapping[str, str] = {}
    itself: Hairpin | None = None
    """None where that is no question."""


async def gather(settings: Settings, service: str = "") -> Dependencies:
    """`service`: of the pod in which this is, if it is in one."""
    others = [*_addresses(settings.zookeeper_hosts)]
    if isinstance(settings.store, PostgresUrl):
        others += _addresses(urlsplit(settings.store.url).netloc.rpartition("@")[2], 5432)
    url = settings.store if isinstance(settings.store, CouchUrl) else None
    brokers = settings.brokers if settings.bus == "kafka" else None
    api = _address(settings.api_host) if settings.api_host else []
    kafka, couch, reached, called, itself = await asyncio.gather(
        _kafka(brokers, settings.limits.payload + brokers.serdes_overhead) if brokers else _nothing(),
        _couch(url) if url else _nothing(),
        _reached(others),
        _reached(api),
        hairpin(service, settings.port) if service else _nothing(),
    )
    looked = [f"Kafka at {brokers.hosts}"] if brokers else []
    looked += [f"CouchDB at {url.masked}"] if url else []
    looked += [f"{host}:{port}" for host, port in (*others, *api)]
    return Dependencies(
        role=settings.role,
        looked_at=looked,
        kafka=kafka,
        couch=couch,
        others=_ill(reached),
        api=_ill(called),
        itself=itself,
    )


async def hairpin(service: str, port: int) -> Hairpin | None:
    """Whether a pod reaches itself by its own Service, which takes that its node lets traffic turn round. Only silence
    counts: who is refused has been answered, and a Service may have other ports than its pods. One of several pods may
    be led to another, so it is tried some times. None where nothing listens here, or the name leads nowhere."""
    if await _aside(_connect, "127.0.0.1", port):
        return None
    whys = await asyncio.gather(*(_aside(_connect, service, port) for _ in range(TURNS)))
    if any(why not in ("", SILENCE) for why in whys):
        return None
    return Hairpin(service, SILENCE in whys)


def service_of(hostname: str) -> str:
    """Of a StatefulSet's pod, by our manifests: the name without the ordinal; else empty."""
    name, _, ordinal = hostname.rpartition("-")
    return name if ordinal.isdecimal() else ""


async def _nothing() -> None:
    return None


def _ill(found: Mapping[str, str]) -> dict[str, str]:
    return {place: why for place, why in found.items() if why}


def _addresses(hosts: str, usual: int = 2181) -> list[tuple[str, int]]:
    """Of `a:1,b:2/path`."""
    found = []
    for each in hosts.split(","):
        parts = urlsplit(f"//{each.strip().partition('/')[0]}")
        if parts.hostname:
            found.append((parts.hostname, parts.port or usual))
    return found


def _address(url: str) -> list[tuple[str, int]]:
    parts = urlsplit(url)
    usual = 443 if parts.scheme == "https" else 80
    return [(parts.hostname, parts.port or usual)] if parts.hostname else []


async def _reached(places: Sequence[tuple[str, int]]) -> dict[str, str]:
    """Each as `host:port`, and why it is not reached; empty where it is."""
    whys = await asyncio.gather(*(_aside(_connect, *place) for place in places))
    return {f"{host}:{port}": why for (host, port), why in zip(places, whys, strict=True)}


def _connect(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), SECOND).close()
    except socket.gaierror as error:
        return f"the name {host} is not known here ({error.strerror})"
    except TimeoutError:
        return SILENCE
    except OSError as error:
        return error.strerror or str(error)
    return ""


async def _aside(work: Callable[..., str], *arguments: Any) -> str:
    """In a thread that nobody waits for in the end: a name server may be silent for longer than anybody's patience."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[str] = loop.create_future()

    def tell(text: str) -> None:
        if not done.done():
            done.set_result(text)

    def run() -> None:
        text = work(*arguments)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, text)

    threading.Thread(target=run, daemon=True).start()
    try:
        return await asyncio.wait_for(done, 1.5 * SECOND)
    except TimeoutError:
        return SILENCE


async def _kafka(brokers: Brokers, largest: int) -> Kafka:
    """What the named ones say of all that there are, whether these are reached, and then what their topics take.

    The client goes over to the address that a broker gives itself as soon as it knows it. Where that leads nowhere, its
    complaint of that address is all that is told.
    """
    told: list[str] = []

    def complain(error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            told.append(error.str())

    known = Kafka(hosts=brokers.hosts, largest=largest)
    try:
        admin = made(AdminClient, {**common_config(brokers, complain), **_HURRY})
    except Misconfigured as error:
        return msgspec.structs.replace(known, unfit=str(error))
    found: list[Any] = []
    silence = await _aside(_listed, admin, found)
    if not found:
        itself = {match[1]: match[2] for each in told if (match := _ITSELF.fullmatch(each))}
        if itself:
            return msgspec.structs.replace(known, brokers=itself)
        return msgspec.structs.replace(known, error=told[0] if told else silence)
    cluster = found[0]
    reached = await _reached([(each.host, each.port) for each in cluster.brokers.values()])
    known = msgspec.structs.replace(known, brokers=reached)
    names = [name for name in sorted(cluster.topics) if _ours(name, brokers.prefix)][:TOPICS]
    if any(reached.values()) or not names:
        return known
    limits: dict[str, int] = {}
    await _aside(_limits, admin, names, limits)
    return msgspec.structs.replace(known, limits=limits)


def _listed(admin: AdminClient, found: list[Any]) -> str:
    try:
        found.append(admin.list_topics(timeout=SECOND))
    except KafkaException as error:
        while admin.poll(0.2):  # complaints
            pass
        return str(error.args[0].str())
    return ""


def _limits(admin: AdminClient, names: Sequence[str], found: dict[str, int]) -> str:
    asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    for resource, answer in admin.describe_configs(asked, request_timeout=SECOND).items():
        with contextlib.suppress(KafkaException, TimeoutError, KeyError, ValueError):  # not everybody may ask
            found[resource.name] = int(answer.result(SECOND)["max.message.bytes"].value)
    return ""


def _ours(topic: str, prefix: str) -> bool:
    """Those of activations and their answers."""
    if not topic.startswith(prefix):
        return False
    name = topic.removeprefix(prefix)
    return name.startswith("completed") or (name.startswith("invoker") and name[7:].isdigit())


async def _couch(url: CouchUrl) -> Couch:
    wanted = designs(url)
    known = Couch(place=url.masked, user=url.username, databases=list(wanted))
    paths: list[tuple[str, ...]] = [("",), (SESSION,), (USERS,), *((name,) for name in wanted)]
    paths += [(name, "_design", design) for name, views in wanted.items() for design in views]
    http = await CouchHttp(url).open()
    try:
        answers = await asyncio.gather(*(http.call("GET", *path, patience=SECOND) for path in paths))
    except (*FAILURES, Oversized) as error:
        return msgspec.structs.replace(known, error=_cause(error))
    finally:
        await http.close()
    replies = {f"/{'/'.join(path)}": _reply(path, answer) for path, answer in zip(paths, answers, strict=True)}
    return msgspec.structs.replace(known, replies=replies)


def _cause(error: Exception) -> str:
    number = getattr(getattr(error, "os_error", None), "errno", None)
    return os.strerror(number) if number and number > 0 else cause(error)


def _reply(path: Sequence[str], answer: Answer) -> Reply:
    welcome = path[0] != "" or answer.status != 200 or b'"couchdb"' in answer.body
    return Reply(answer.status, fault(answer), welcome)
