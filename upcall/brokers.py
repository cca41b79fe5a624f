"""Kafka's settings: where the brokers are, how clients and topics are made (spec: bus.md §2, §3).

`common`, `producer`, `consumer` and `topics` are open tables: every `CONFIG_whisk_kafka_common_…` is a member of
`common`, and so on. Their names are Kafka's with dashes for dots, or with dots.
"""

import re
from typing import Any

import msgspec

from upcall.masks import pairs_shown
from upcall.model.forms import count
from upcall.model.sizes import parse_duration, parse_size
from upcall.setting import Role, Setting

_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,100}")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s\[\]:,]+):(\d{1,5})")
_pairs = msgspec.json.Decoder(dict[str, str]).decode


class Brokers(msgspec.Struct, frozen=True, kw_only=True):
    """`silence` in seconds, `serdes_overhead` in bytes, `offset_metadata` in characters."""

    hosts: str
    prefix: str = ""
    user_event_prefix: str = ""
    replication_factor: int = 1
    serdes_overhead: int = 6068
    offset_metadata: int = 4095
    silence: float = 120.0
    common: dict[str, str] = {}
    producer: dict[str, str] = {}
    consumer: dict[str, str] = {}
    topics: dict[str, str] = {}


def host_ports(text: str) -> str:
    """`a:9092,b:9092`, blanks taken out."""
    hosts = [part.strip() for part in text.split(",") if part.strip()]
    for host in hosts:
        match = _HOST_PORT.fullmatch(host)
        if match is None or not 0 < int(match[2]) < 65536:
            raise ValueError(f"'{host}' is no broker; write it as kafka.example.org:9092")
    return ",".join(hosts)


def pairs(text: str) -> dict[str, str]:
    """`name=value,name=value`, or a JSON object of texts where values have commas. Values may be secret: not quoted."""
    if text.lstrip().startswith("{"):
        try:
            found = _pairs(text.encode())
        except msgspec.MsgspecError as error:
            raise ValueError(f"it is no JSON object of texts: {error}") from error
    else:
        parts = [part.partition("=") for part in text.split(",") if part.strip()]
        if any(not equals or not name.strip() for name, equals, _ in parts):
            raise ValueError("settings are written as name=value,name=value")
        found = {name.strip(): value.strip() for name, _, value in parts}
    return {name.replace("-", "."): value for name, value in found.items()}


def topic_prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError(f"'{text}' cannot begin a topic's name: letters, digits, '.', '_' and '-' can, 100 at most")
    return text


def _bytes(text: str) -> int:
    return int(text) if text.isdigit() else parse_size(text)


def _characters(text: str) -> int:
    number = count(text)
    if not 64 <= number <= 2**20:
        raise ValueError(f"'{text}' is not between 64 and {2**20}")
    return number


def _copies(text: str) -> int:
    number = count(text)
    if not 1 <= number <= 32767:
        raise ValueError(f"'{text}' is no number of copies: 1 to 32767")
    return number


def _silence(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < 10:
        raise ValueError(f"'{text}' is too short: a broker needs 10 s to be started again")
    return seconds


def _client(of: str) -> Setting:
    return Setting(
        f"kafka.{of}",
        pairs,
        "",
        f"settings of Kafka {of} clients, as in name=value,name=value",
        (f"whisk.kafka.{of}.*",),
        show=pairs_shown,
    )


KAFKA_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "kafka.hosts",
        host_ports,
        "",
        "Kafka's brokers, with commas between them",
        ("KAFKA_HOSTS",),
        form="HOST:PORT",
    ),
    Setting("kafka.prefix", topic_prefix, "", "what names of topics begin with", ("whisk.kafka.topics.prefix",)),
    Setting(
        "kafka.user-event-prefix",
        topic_prefix,
        "",
        "what the name of the topic events begins with",
        ("whisk.kafka.topics.user-event.prefix",),
    ),
    Setting("kafka.replication-factor", _copies, "1", "copies of new topics", ("whisk.kafka.replication-factor",)),
    Setting(
        "kafka.serdes-overhead",
        _bytes,
        "6068",
        "bytes that a message may be larger than limits.payload",
        ("whisk.activation.serdes-overhead",),
    ),
    Setting(
        "kafka.offset-metadata",
        _characters,
        "4095",
        "characters of a commit's metadata: one less than the brokers' offset.metadata.max.bytes",
    ),
    Setting("kafka.silence", _silence, "2 minutes", "how long brokers may be away before this process ends"),
    Setting(
        "kafka.common",
        pairs,
        "",
        "settings of all Kafka clients, as in security.protocol=SSL,ssl.ca.location=/etc/ca.pem",
        ("whisk.kafka.common.*",),
        show=pairs_shown,
    ),
    _client("producer"),
    _client("consumer"),
    Setting(
        "kafka.topics",
        pairs,
        "",
        "settings of new topics, as in invoker.retention.ms=172800000,completed.partitions=1",
        ("whisk.kafka.topics.*",),
        show=pairs_shown,
    ),
)


def take_brokers(values: dict[str, Any]) -> Brokers | None:
    """Made of the values of `KAFKA_SETTINGS`, which are taken out; None where no brokers are named."""
    names = [name for name in values if name.startswith("kafka_")]
    taken = {name.removeprefix("kafka_"): values.pop(name) for name in names}
    taken["topics"] = {
        name: value for name, value in taken["topics"].items() if "." in name and name != "user.event.prefix"
    }
    return Brokers(**taken) if taken["hosts"] else None


def missing_brokers(role: Role) -> str:
    """What to tell who has named none."""
    who = {"serve": "--bus kafka", "invoker": "an Invoker", "controller": "a controller"}[role]
    return f"{who} needs brokers: name them by --kafka-hosts HOST:PORT or the variable KAFKA_HOSTS."
