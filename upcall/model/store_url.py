"""Where the store is, as `--store` says it.

    sqlite:////var/lib/upcall/upcall.db      a file; with three slashes its path is relative
    postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full

A URL that holds a password is never shown as a whole: not by an error, not by `repr`.
"""

from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

FORMS = "sqlite:////path/to/file.db or postgresql://user@host/database"


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


StoreUrl = SqliteUrl | PostgresUrl


def parse_store(text: str) -> StoreUrl:
    """Raises ValueError, which quotes nothing that may be a password."""
    scheme, found, rest = text.partition("://")
    if not found or scheme not in ("sqlite", "postgresql", "postgres"):
        raise ValueError(f"a store is given as {FORMS}")
    if scheme != "sqlite":
        return PostgresUrl(_checked(f"postgresql://{rest}"))
    if not rest.startswith("/") or len(rest) == 1 or "\x00" in rest:
        raise ValueError(f"'{text}' names no file, as sqlite:////path/to/file.db does")
    return SqliteUrl(Path(unquote(rest[1:])).expanduser())


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
