"""Where the server is and who asks: read from flags, environment, `~/.wskprops` and the data folder, in this order.

    flag            --apihost …                      as given
    environment     UPCALL_APIHOST, __OW_API_HOST …  the first that is set
    properties      ~/.wskprops, or the file that WSK_CONFIG_FILE names
    data folder     .wskprops of the platform on this machine (UPCALL_DATA, else the usual place)

Each property comes from the first that has it. The data folder's file counts only while nothing names another server:
its key is for that server alone, and so is the trust in the certificate that the server made itself. Invokers and
controllers of this machine have folders in it, each with its address and its operator's key, which counts where that
address is the server's. Files hold lines `APIHOST=…` (spec: cli-admin.md §2); unknown keys are kept.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from upcall.cli.refusal import Refused
from upcall.controller.tls import PUBLIC
from upcall.places import default_data, operator_file, properties_file

DEFAULTS = {"namespace": "_", "apiversion": "v1"}
VARIABLES = {
    "apihost": ("UPCALL_APIHOST", "__OW_API_HOST"),
    "auth": ("UPCALL_AUTH", "__OW_API_KEY"),
    "namespace": ("UPCALL_NAMESPACE", "__OW_NAMESPACE"),
    "apiversion": ("UPCALL_APIVERSION",),
    "cert": ("UPCALL_CERT",),
    "key": ("UPCALL_KEY",),
    "insecure": ("UPCALL_INSECURE", "__OW_IGNORE_CERTS"),
    "operator": ("UPCALL_OPERATOR",),
}
SECRETS = ("auth", "operator")
"""Not shown."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
FILED = ("apihost", "auth", "namespace", "apiversion", "cert", "key")
"""Properties that files hold, under their names in capitals."""


class Value(NamedTuple):
    text: str
    source: str
    """In words, for `-v`."""


class Properties(NamedTuple):
    """What was found, by the names of `VARIABLES`; and where it was looked for."""

    values: Mapping[str, Value]
    files: tuple[Path, ...]

    def get(self, name: str) -> str:
        found = self.values.get(name)
        return found.text if found else DEFAULTS.get(name, "")

    @property
    def insecure(self) -> bool:
        return self.get("insecure").lower() not in ("", "0", "false", "no")


def find(flags: Mapping[str, object], environment: Mapping[str, str]) -> Properties:
    """All that can be known. Raises Refused where a file is there and cannot be read."""
    own, data = user_file(environment), data_file(environment)
    values: dict[str, Value] = {}
    for name, value in (*_flags(flags), *_variables(environment), *_filed(own)):
        values.setdefault(name, value)
    local = dict(_filed(data)) if os.access(data, os.R_OK) else {}
    if "apihost" not in values or values["apihost"].text == local.get("apihost", Value("", "")).text:
        for name, value in local.items():
            values.setdefault(name, value)
        if os.access(operator := operator_file(data.parent), os.R_OK):
            values.setdefault("operator", Value(operator.read_text().strip(), str(operator)))
        if (certificate := data.with_name(PUBLIC)).exists():
            values["authority"] = Value(str(certificate), str(data.parent))
    if "operator" not in values and "apihost" in values:
        for value in _operators(data.parent, values["apihost"].text)[-1:]:
            values["operator"] = value
    return Properties(values, (own, data))


def _operators(data: Path, server: str) -> list[Value]:
    """Of the Invokers and controllers of this machine that have this address, or had it; who came last is last."""
    found = []
    for path in (*data.glob("invoker*"), *data.glob("controller*")):
        address, operator = properties_file(path), operator_file(path)
        if os.access(address, os.R_OK) and os.access(operator, os.R_OK):
            own = _local(read(address).get("APIHOST", ""))
            if own and own == _local(server):
                found.append((address.stat().st_mtime, Value(operator.read_text().strip(), str(operator))))
    return [value for _, value in sorted(found)]


def _local(server: str) -> tuple[str, int] | None:
    """Host and port, whatever name this machine has for itself."""
    try:
        parts = urlsplit(server if "://" in server else f"//{server}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if host is None or port is None:
        return None
    return "localhost" if host in LOOPBACK else host, port


def user_file(environment: Mapping[str, str]) -> Path:
    """The file that `property set` writes."""
    return Path(os.path.expanduser(environment.get("WSK_CONFIG_FILE") or "~/.wskprops"))


def data_file(environment: Mapping[str, str]) -> Path:
    given = environment.get("UPCALL_DATA")
    return properties_file(Path(os.path.expanduser(given)) if given else default_data())


def read(path: Path) -> dict[str, str]:
    """All properties of a file, by their names in capitals; nothing where there is no file."""
    return {name: value for line in _lines(path) for name, value in [_property(line)] if name}


def write(path: Path, changes: Mapping[str, str | None]) -> None:
    """Set properties in the file, None removes one; other lines stay. For this user's eyes alone, and whole whatever
    happens."""
    held = {name: f"{name}={value}" for name, value in _capitals(changes) if value is not None}
    changed = {name for name, _ in _capitals(changes)}
    lines = []
    for line in _lines(path):
        name, _ = _property(line)
        if name not in changed:
            lines.append(line)
        elif name in held:
            lines.append(held.pop(name))
    _replace(path, "".join(f"{line}\n" for line in (*lines, *held.values())))


def _capitals(changes: Mapping[str, str | None]) -> Iterator[tuple[str, str | None]]:
    for name, value in changes.items():
        if value is not None and len(value.splitlines()) > 1:
            raise Refused(f"the value of {name} has more than one line")
        yield name.upper(), value


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Refused(f"{path} cannot be read: {why}") from None


def _property(line: str) -> tuple[str, str]:
    """Name and value; no name where the line holds none."""
    name, equals, value = line.partition("=")
    return ("", "") if not equals or line.lstrip().startswith("#") else (name.strip(), value.strip())


def _replace(path: Path, text: str) -> None:
    target = Path(os.path.realpath(path))
    fresh = target.with_name(f"{target.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        fresh.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise Refused(f"{path} cannot be written: {error.strerror}") from None


def _flags(flags: Mapping[str, object]) -> Iterator[tuple[str, Value]]:
    return ((name, Value(str(flags[name]), f"--{name}")) for name in VARIABLES if flags.get(name))


def _variables(environment: Mapping[str, str]) -> Iterator[tuple[str, Value]]:
    for name, variables in VARIABLES.items():
        for variable in variables:
            if environment.get(variable):
                yield name, Value(environment[variable], variable)


def _filed(path: Path) -> Iterator[tuple[str, Value]]:
    held = read(path)
    return ((name, Value(held[name.upper()], str(path))) for name in FILED if held.get(name.upper()))
