"""Credentials of registries, as Docker's own configuration files have them.

    $DOCKER_CONFIG/config.json, else ~/.docker/config.json      the platform's: for all who have none of their own
    FOLDER/<namespace>/config.json, FOLDER/<namespace>.json     a namespace's

    {"auths": {"registry:5000": {"auth": "<base64 of user:password>"}}, "credHelpers": {"registry": "name"},
     "credsStore": "name"}

A namespace's file comes first where it names the registry, or has a `credsStore`: that stands for all registries. A
file is read anew when it has changed, and one that cannot be read counts as if it were not there: told once, by its
name. Whose credentials they are is known before they are asked for (`Source.owner`): who shares them shares what they
may fetch. None of them is in a text, a log or an `owner`.
"""

import asyncio
import base64
import binascii
import errno
import logging
import os
from collections.abc import Mapping
from itertools import chain, islice
from pathlib import Path
from threading import Lock
from typing import NamedTuple, TypeVar

import msgspec

from upcall.containers.docker.helper import HelperFailed, ask
from upcall.errors import Misconfigured
from upcall.model.images import HUB

log = logging.getLogger(__name__)

HUB_KEY = "https://index.docker.io/v1/"
"""What Docker has Docker Hub's credentials under."""
_HUBS = frozenset((HUB, f"index.{HUB}", f"registry-1.{HUB}"))
_LARGEST = 1 << 20
"""Bytes of a file."""
_FILES = 1024
"""That are remembered."""

Value = TypeVar("Value")
Auth = dict[str, str]
"""`X-Registry-Auth` before its encoding."""


class Entry(msgspec.Struct, frozen=True):
    """One registry's. Docker writes an empty one where a helper has the credentials."""

    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None
    registrytoken: str | None = None


class Config(msgspec.Struct, frozen=True):
    """What of a file concerns us."""

    auths: dict[str, Entry] | None = None
    creds_store: str | None = msgspec.field(default=None, name="credsStore")
    cred_helpers: dict[str, str] | None = msgspec.field(default=None, name="credHelpers")


class Source(NamedTuple):
    """Where the credentials for one registry come from. `owner` differs where they may; empty: there are none."""

    owner: str
    server: str
    entry: Entry | None
    helper: str | None

    async def auth(self) -> Auth | None:
        """For one request; None: nobody's. A helper is asked each time: what it gives is often short of life."""
        found = None
        if self.helper:
            try:
                found = await ask(self.helper, self.server)
            except HelperFailed as error:
                log.error("credentials for the registry %s: %s", self.server, error)
        found = found or (plain(self.entry) if self.entry else None)
        return {**found, "serveraddress": self.server} if found else None


NOBODY = Source("", "", None, None)


class Credentials:
    """`folder` has those of namespaces; `common` is Docker's configuration file, by default where Docker looks."""

    def __init__(self, folder: Path | None = None, common: Path | None = None) -> None:
        self._folder = folder
        self._common = common or _usual()
        self._files: dict[Path, tuple[str, Config | None]] = {}
        self._reading = Lock()

    @property
    def apart(self) -> bool:
        """Whether namespaces may have some of their own."""
        return self._folder is not None

    async def start(self) -> None:
        """Tell at once what cannot be read. Raises Misconfigured."""
        await asyncio.to_thread(self._look)

    def _look(self) -> None:
        self._read(self._common)
        if self._folder is None:
            return
        if not self._folder.is_dir():
            raise Misconfigured(f"--registry-credentials: {self._folder} is no folder: make it, or leave it out")
        files = chain(self._folder.glob("*.json"), self._folder.glob("*/config.json"))
        for path in islice(files, _FILES // 2):
            self._read(path)

    async def source(self, host: str, namespace: str) -> Source:
        """Of the registry's credentials for a namespace; empty: the platform itself."""
        return await asyncio.to_thread(self._source, host, namespace)

    def _source(self, host: str, namespace: str) -> Source:
        for path in self._paths(namespace):
            with self._reading:
                stamp, config = self._read(path)
            if config is not None and (found := look_up(config, host)) is not None:
                return found._replace(owner=f"{path} {stamp}")
        return NOBODY

    def _paths(self, namespace: str) -> list[Path]:
        own: list[Path] = []
        if self._folder is not None and namespace and "/" not in namespace and not namespace.startswith("."):
            own = [self._folder / namespace / "config.json", self._folder / f"{namespace}.json"]
        return [*own, self._common]

    def _read(self, path: Path) -> tuple[str, Config | None]:
        """With a stamp of its state; None where there is nothing to be had."""
        try:
            stat = path.stat()
            stamp = f"{stat.st_ino}.{stat.st_mtime_ns}.{stat.st_size}"
        except (FileNotFoundError, NotADirectoryError):
            self._files.pop(path, None)
            return "", None
        except (OSError, ValueError) as error:
            if getattr(error, "errno", 0) == errno.ENAMETOOLONG:
                return "", None
            stamp = f"unreadable: {getattr(error, 'strerror', None) or 'no name of a file'}"
        known = self._files.get(path)
        if known is None or known[0] != stamp:
            known = stamp, _told(path)
            while len(self._files) >= _FILES:
                self._files.pop(next(iter(self._files)), None)
            self._files[path] = known
        return known


def look_up(config: Config, host: str) -> Source | None:
    """Where a file has a registry's credentials; None: it says nothing of it."""
    entry, helpers = _named(config.auths or {}, host), config.cred_helpers or {}
    helper = _named(helpers, host) or config.creds_store or None
    if entry is not None and not (entry.auth or entry.username or entry.identitytoken or entry.registrytoken):
        entry = None
    if entry is None and helper is None:
        return None
    return Source("", HUB_KEY if host == HUB else host, entry, helper)


def plain(entry: Entry) -> Auth:
    """Its fields, with `auth` taken apart."""
    user, _, password = decode(entry.auth).partition(":") if entry.auth else ("", "", "")
    found = {
        "username": user or entry.username,
        "password": password.rstrip("\0") or entry.password,
        "identitytoken": entry.identitytoken,
        "registrytoken": entry.registrytoken,
    }
    return {name: value for name, value in found.items() if value}


def encoded(auth: Auth) -> str:
    """`X-Registry-Auth`."""
    return base64.urlsafe_b64encode(msgspec.json.encode(auth)).decode()


def decode(auth: str) -> str:
    """`user:password`. Raises ValueError, which says nothing of it."""
    try:
        text = base64.b64decode(auth, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    if ":" not in text:
        raise ValueError("'auth' is not the base64 of user:password")
    return text


def _named(table: Mapping[str, Value], host: str) -> Value | None:
    """By the host itself, or by a URL or a path that begins with it."""
    hosts = _HUBS if host == HUB else frozenset((host,))
    exact = next((table[key] for key in (host, HUB_KEY if host == HUB else host) if key in table), None)
    return exact if exact is not None else next((table[key] for key in table if _host(key) in hosts), None)


def _host(key: str) -> str:
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _told(path: Path) -> Config | None:
    try:
        return _config(path)
    except OSError as error:
        why = error.strerror or "it cannot be read"
    except ValueError as error:  # of JSON, too
        why = str(error)
    log.error("registries are asked without the credentials in %s: %s", path, why)
    return None


def _config(path: Path) -> Config:
    with path.open("rb") as file:
        text = file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST} bytes")
    config = msgspec.json.decode(text, type=Config)
    for key, entry in (config.auths or {}).items():
        try:
            plain(entry)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return config


def _usual() -> Path:
    """Of a user who may have no home."""
    folder = os.environ.get("DOCKER_CONFIG")
    return Path(folder or os.path.expanduser("~/.docker"), "config.json")
