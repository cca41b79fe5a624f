"""Where the server is and who asks: read from flags, environment, `~/.wskprops` and the data folder, in this order.

    flag            --apihost …                      as given
    environment     UPCALL_APIHOST, __OW_API_HOST …  the first that is set
    properties      ~/.wskprops, or the file that WSK_CONFIG_FILE names
    data folder     .wskprops of `upcall serve` on this machine (UPCALL_DATA, else the usual place)

Each property comes from the first that has it. The data folder's file counts only while nothing names another server:
its key is for that server alone. Files hold lines `APIHOST=…` (spec: cli-admin.md §2); unknown keys are kept.
"""

import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import NamedTuple

from upcall.cli.refusal import Refused
from upcall.places import default_data, properties_file

DEFAULTS = {"namespace": "_", "apiversion": "v1"}
VARIABLES = {
    "apihost": ("UPCALL_APIHOST", "__OW_API_HOST"),
    "auth": ("UPCALL_AUTH", "__OW_API_KEY"),
    "namespace": ("UPCALL_NAMESPACE", "__OW_NAMESPACE"),
    "apiversion": ("UPCALL_APIVERSION",),
    "cert": ("UPCALL_CERT",),
    "key": ("UPCALL_KEY",),
    "insecure": ("UPCALL_INSECURE", "__OW_IGNORE_CERTS"),
}
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
    return Properties(values, (own, data))


def user_file(environment: Mapping[str, str]) -> Path:
    """The file that `property set` writes."""
    return Path(os.path.expanduser(environment.get("WSK_CONFIG_FILE") or "~/.wskprops"))


def data_file(environment: Mapping[str, str]) -> Path:
    given = environment.get("UPCALL_DATA")
    return properties_file(Path(os.path.expanduser(given)) if given else default_data())


def read(path: Path) -> dict[str, str]:
    """All lines `NAME=VALUE`, in order; nothing where there is no file."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Refused(f"{path} cannot be read: {why}") from None
    lines = (line.partition("=") for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, _, value in lines}


def write(path: Path, changes: Mapping[str, str | None]) -> None:
    """Set properties in the file, None removes one; for this user's eyes alone, and whole whatever happens."""
    held: MutableMapping[str, str] = read(path)
    for name, value in changes.items():
        if value is None:
            held.pop(name.upper(), None)
        elif "\n" in value or "\r" in value:
            raise Refused(f"the value of {name} has more than one line")
        else:
            held[name.upper()] = value
    target = Path(os.path.realpath(path))
    fresh = target.with_name(f"{target.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(f"{name}={value}\n" for name, value in held.items())
        fresh.replace(target)
    except OSError as error:
        fresh.unlink(missing_ok=True)
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
