"""Settings of Invokers and controllers that are processes of their own, and how theirs are written."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from upcall.model.forms import optional, switch
from upcall.model.names import INVOKER_NAME, INVOKERS
from upcall.model.runtimes import Manifest, parse_manifest
from upcall.model.sizes import parse_duration
from upcall.setting import RUNS, Role, Setting

_ID = re.compile(r"[a-zA-Z0-9._-]{1,128}")
_MANIFEST = 10 * 1024**2
"""Bytes that a file may have to be read as one."""


def invoker_number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"'{text}' is no number of an Invoker: they are numbered 0, 1, 2, …")
    if len(text) > 9 or int(text) >= INVOKERS:
        raise ValueError(f"{text[:20]} is too high: Invokers are numbered 0, 1, 2, …, up to {INVOKERS - 1}")
    return int(text)


def controller_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(f"'{text}' is no id of a controller: 1 to 128 letters, digits, '.', '_' and '-'")
    return text


def name(text: str) -> str | None:
    """Of an Invoker; None for a blank one."""
    if not text.isprintable() or len(text) > INVOKER_NAME:
        raise ValueError(f"a name of an Invoker has no control characters, and {INVOKER_NAME} characters at most")
    return text.strip() or None


def words(text: str) -> list[str]:
    """`a,b`; deployments put quotes and blanks around them, and around nothing."""
    return [word for part in text.strip().strip("'\"").split(",") if (word := part.strip())]


def fraction(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number <= 1:
        raise ValueError(f"'{text}' is no number above 0, and up to 1")
    return number


def interval(text: str) -> float:
    """Seconds."""
    seconds = parse_duration(text)
    if not 0.1 <= seconds < float("inf"):
        raise ValueError(f"'{text}' is no time between two looks: 100 ms or more")
    return seconds


def api_url(text: str) -> str:
    """`https://host` or `http://host:port`; the port of the scheme is left out."""
    if "@" in text:
        raise ValueError("this is no URL of an API, as https://api.example.org is one: without users")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"'{text}' is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise ValueError(f"'{text}' is no URL of an API, as https://api.example.org or http://10.0.0.1:3233 are")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")


def manifest(text: str) -> Manifest:
    """Of a JSON text, or of the file that `@FILE` or a path names."""
    if text.lstrip().startswith("{"):
        return parse_manifest(text)
    path = Path(text.removeprefix("@")).expanduser()
    try:
        with path.open("rb") as file:
            return parse_manifest(file.read(_MANIFEST))
    except OSError as error:
        raise ValueError(f"the file {path} cannot be read: {error.strerror}") from error


def well_known(role: Role, password: str | None) -> list[str]:
    """A warning while the operator's password is the one that everybody knows."""
    if role == "serve" or password != f"{role}.pass":
        return []
    return [
        "whoever reaches the port can disable this process: its operator's password is the well-known one; set "
        f"UPCALL_OPERATOR_PASSWORD (or CONFIG_whisk_{role}_password)"
    ]


IDENTITY: tuple[Setting, ...] = (
    Setting(
        "id",
        optional(invoker_number),
        "",
        "number of this Invoker  [default: the ordinal of a StatefulSet's pod]",
        form="N",
        roles=("invoker",),
    ),
    Setting("id", controller_id, "0", "id of this controller", form="ID", roles=("controller",)),
    Setting(
        "unique-name",
        optional(name),
        "",
        "name of this Invoker; unless --id is given, ZooKeeper keeps its number",
        form="NAME",
        roles=("invoker",),
        also=("--uniqueName",),
    ),
    Setting(
        "displayed-name",
        optional(name),
        "",
        "another name of this Invoker, for people",
        form="NAME",
        roles=("invoker",),
        also=("--displayedName",),
    ),
    Setting(
        "id-from-hostname",
        switch,
        "off",
        "take the number that the host's name ends in, as in invoker-3",
        roles=("invoker",),
        bare=True,
    ),
    Setting(
        "overwrite-id",
        optional(invoker_number),
        "",
        "number that ZooKeeper keeps for the name from now on, and for no other",
        form="N",
        roles=("invoker",),
        also=("--overwriteId",),
    ),
)
"""Who this process is."""

ROLE_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "tags",
        words,
        "",
        "tags of this Invoker, with commas between them, for controllers that place by them",
        ("whisk.invoker.resource.tags",),
        roles=("invoker",),
    ),
    Setting(
        "dedicated-namespaces",
        words,
        "",
        "namespaces that this Invoker is for, with commas between them, for controllers that place by them",
        ("whisk.invoker.dedicated.namespaces",),
        roles=("invoker",),
    ),
    Setting(
        "api-host",
        optional(api_url),
        "",
        "URL of the API that actions get as __OW_API_HOST",
        ("WHISK_API_HOST_NAME",),
        form="URL",
        roles=("invoker",),
    ),
    Setting(
        "api-host",
        optional(api_url),
        "",
        "URL of the API that actions in Docker's containers get as __OW_API_HOST  [default: it listens on their "
        "network, too]",
        ("WHISK_API_HOST_NAME",),
        form="URL",
        roles=("serve",),
    ),
    Setting(
        "runtimes",
        optional(manifest),
        "",
        "kinds and their images: OpenWhisk's manifest as JSON, or @FILE  [default: the kinds of this version]",
        ("RUNTIMES_MANIFEST",),
        form="@FILE",
    ),
    Setting(
        "concurrent-peek-factor",
        fraction,
        "0.5",
        "share of concurrent activations that are fetched ahead: above 0, up to 1",
        ("whisk.container-pool.concurrent-peek-factor",),
        roles=RUNS,
    ),
    Setting(
        "blacklist.poll-interval",
        interval,
        "5 minutes",
        "how often blocked namespaces are looked up",
        ("whisk.blacklist.poll-interval",),
        roles=RUNS,
    ),
    Setting(
        "user-events",
        switch,
        "off",
        "events of each activation and of metrics, in the topic events of Kafka: on or off",
        ("whisk.user-events.enabled",),
    ),
)
