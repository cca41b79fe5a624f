"""Settings of an Invoker's or controller's https as OpenWhisk has them, by a keystore, and of ZooKeeper (spec:
invoker.md §2.2, §2.3)."""

from pathlib import Path
from typing import Any, Literal

import msgspec

from upcall.masks import hidden
from upcall.model.forms import folder, one_of, optional, switch
from upcall.setting import Setting

_AT = "whisk.invoker"


class Https(msgspec.Struct, frozen=True, kw_only=True):
    """`keystore` is None where none was named."""

    protocol: Literal["http", "https"]
    keystore: Path | None
    keystore_password: str
    keystore_flavor: str
    client_auth: bool

    def __repr__(self) -> str:
        return f"Https({self.protocol}, {self.keystore}, {self.keystore_flavor})"


def zookeepers(text: str) -> str:
    """`a:2181,b:2181`, blanks taken out; what is after the last port, as in `/whisk`, is a path to begin from."""
    hosts, slash, path = text.partition("/")
    found = [part.strip() for part in hosts.split(",") if part.strip()]
    for host in found:
        name, colon, port = host.rpartition(":")
        if not name or not colon or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"'{host}' is no ZooKeeper; write it as zookeeper.example.org:2181")
    return ",".join(found) + slash + path if found else ""


SECURED_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "https.protocol",
        one_of("http", "https"),
        "http",
        "what this port speaks, https with the certificate of https.keystore",
        (f"{_AT}.protocol",),
        roles=("invoker",),
    ),
    Setting(
        "https.keystore",
        optional(folder),
        "",
        "file with the certificate and its key",
        (f"{_AT}.https.keystore-path",),
        roles=("invoker",),
    ),
    Setting(
        "https.keystore-password",
        str,
        "",
        "the file's password",
        (f"{_AT}.https.keystore-password",),
        roles=("invoker",),
        show=hidden,
    ),
    Setting(
        "https.keystore-flavor",
        str,
        "PKCS12",
        "the file's form",
        (f"{_AT}.https.keystore-flavor",),
        roles=("invoker",),
    ),
    Setting(
        "https.client-auth",
        switch,
        "off",
        "whether clients must have a certificate that the file knows: on or off",
        (f"{_AT}.https.client-auth",),
        roles=("invoker",),
    ),
    Setting(
        "zookeeper.hosts",
        zookeepers,
        "",
        "ZooKeeper's servers, which keep the ids of named Invokers, with commas between them",
        ("ZOOKEEPER_HOSTS",),
        form="HOST:PORT",
        roles=("invoker",),
    ),
)


def take_https(values: dict[str, Any]) -> Https:
    """Made of the values of `https.…`, which are taken out."""
    own = {name: values.pop(name) for name in list(values) if name.startswith("https_")}
    return Https(**{name.removeprefix("https_"): value for name, value in own.items()})


def bare(values: dict[str, Any]) -> list[str]:
    """What is wrong where https is asked for by upstream's setting and there is no certificate; `values` as they are
    after `take_https`."""
    certified = values["tls"] != "off" or values["tls_cert"] is not None or values["tls_key"] is not None
    https: Https = values["https"]
    if https.protocol != "https" or https.keystore is not None or certified:
        return []
    return ["https needs a certificate: name a keystore (https.keystore), or a file with --tls-cert"]
