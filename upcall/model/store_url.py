"""Where the store is, as `--store` says it.

    sqlite:////var/lib/upcall/upcall.db      a file; with three slashes its path is relative
    postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full
    couchdb://USER:PASSWORD@HOST:PORT/PREFIX  the databases PREFIXsubjects, PREFIXwhisks and PREFIXactivations;
                                              couchdbs:// speaks https

A URL that holds a password is never shown as a whole: not by an error, not by `repr`.
"""

from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

FORMS = "sqlite:////path/to/file.db, postgresql://user@host/database or couchdb://user@host:5984/prefix"

SUBJECTS, ENTITIES, ACTIVATIONS = "subjects", "whisks", "activations"
"""How the names of the three databases of CouchDB end, as upstream's usually do (spec: store.md §1)."""
PORTS = {"http": 5984, "https": 6984}


class SqliteUrl(msgspec.Struct, frozen=True):
    """One file of this machine."""

    path: Path


class PostgresUrl(msgspec.Struct, frozen=True):
    """A database on a server."""

    url: str
    """With the password, for the driver alone."""

    @property
    def masked(self) -> str:
        """For errors and logs."""
        parts = urlsplit(self.url)
        user, at, _ = parts.netloc.rpartition("@")
        hosts = parts.netloc.rpartition("@")[2]
        name = f"{user.partition(':')[0]}{':***' if ':' in user else ''}{at}"
        shown = [(key, value) for key, value in parse_qsl(parts.query) if key == "host"]
        return f"postgresql://{name}{hosts}{parts.path}" + "".join(f"?{key}={value}" for key, value in shown)

    def __repr__(self) -> str:
        return f"PostgresUrl({self.masked})"


class Designs(msgspec.Struct, frozen=True):
    """Names of the design documents that upstream lets an operator choose (`whisk.db`; spec: store.md §1)."""

    subjects: str = "subjects.v2.0.0"
    entities: str = "whisks.v2.1.0"
    activations: str = "whisks.v2.1.0"
    filters: str = "whisks-filters.v2.1.1"


class CouchUrl(msgspec.Struct, frozen=True, kw_only=True):
    """Three databases on a CouchDB server."""

    protocol: str = "http"
    host: str
    port: int
    username: str = ""
    """Empty: no credentials are sent."""
    password: str = ""
    subjects: str
    entities: str
    activations: str
    designs: Designs = Designs()

    @property
    def url(self) -> str:
        """The server's, without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol}://{host}:{self.port}"

    @property
    def masked(self) -> str:
        """For errors and logs."""
        user = f"{self.username}{':***' if self.password else ''}@" if self.username else ""
        scheme = "couchdbs" if self.protocol == "https" else "couchdb"
        return f"{scheme}://{user}{self.url.partition('://')[2]}/{self._names}"

    @property
    def _names(self) -> str:
        """The databases' common prefix, or all three."""
        prefix = self.entities.removesuffix(ENTITIES)
        if (self.subjects, self.entities, self.activations) == _named(prefix):
            return prefix
        return f"{self.subjects},{self.entities},{self.activations}"

    def __repr__(self) -> str:
        return f"CouchUrl({self.masked})"


StoreUrl = SqliteUrl | PostgresUrl | CouchUrl


def parse_store(text: str) -> StoreUrl:
    """Raises ValueError, which quotes nothing that may be a password."""
    scheme, found, rest = text.partition("://")
    if not found or scheme not in ("sqlite", "postgresql", "postgres", "couchdb", "couchdbs"):
        raise ValueError(f"a store is given as {FORMS}")
    if scheme.startswith("couchdb"):
        return _couch("https" if scheme == "couchdbs" else "http", _checked(text))
    if scheme != "sqlite":
        return PostgresUrl(_checked(f"postgresql://{rest}"))
    if not rest.startswith("/") or len(rest) == 1 or "\x00" in rest:
        raise ValueError(f"'{text}' names no file, as sqlite:////path/to/file.db does")
    return SqliteUrl(Path(unquote(rest[1:])).expanduser())


def _couch(protocol: str, text: str) -> CouchUrl:
    parts = urlsplit(text)
    prefix = unquote(parts.path[1:])
    if parts.query or not parts.hostname or "/" in prefix:
        raise ValueError("a store in CouchDB is given as couchdb://user:password@host:5984/prefix, and nothing more")
    subjects, entities, activations = _named(prefix)
    return CouchUrl(
        protocol=protocol,
        host=parts.hostname,
        port=parts.port or PORTS[protocol],
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        subjects=subjects,
        entities=entities,
        activations=activations,
    )


def _named(prefix: str) -> tuple[str, str, str]:
    return f"{prefix}{SUBJECTS}", f"{prefix}{ENTITIES}", f"{prefix}{ACTIVATIONS}"


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"this is no URL, as {FORMS} are") from error
    if parts.fragment or "@" in parts.path + parts.query or not url.isprintable():
        raise ValueError("in a store's user and password the signs / ? # @ : are written as %2F %3F %23 %40 %3A")
    for port in _ports(parts):
        if not port.isdecimal() or int(port) > 65535:
            raise ValueError("the store's URL has a port that is no number up to 65535")
    return url


def _ports(parts: SplitResult) -> list[str]:
    """Of all hosts that have one."""
    hosts = parts.netloc.rpartition("@")[2].split(",")
    return [port for host in hosts if (port := host.rpartition("]")[2].partition(":")[2])]
