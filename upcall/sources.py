"""Where the texts of settings come from, and which source wins.

The command line's flag, the variable `UPCALL_<NAME>`, upstream's sources (`upcall.upstream`), the TOML file, the
default. Empty variables count as absent.
"""

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from upcall.catalogue import VARIABLES
from upcall.errors import Misconfigured
from upcall.setting import Found, Role, Setting
from upcall.upstream import Upstream, is_number

Texts = Mapping[str, str]
Lists = Mapping[str, list[str]]
SERVICE = re.compile(r"(tcp|udp|sctp)://\S+:\d+")
CLIENTS = ("UPCALL_APIHOST",)
"""Variables of the command line that are nearly a setting's."""


class Sources:
    """All of them but the defaults, which are the settings' own."""

    def __init__(self, flags: Mapping[str, str | None], environment: Texts, file: Path | None, role: Role) -> None:
        """Raises Misconfigured where the file cannot be read."""
        self._flags = flags
        self.environment = environment
        self.upstream = Upstream(environment, role, VARIABLES)
        self._file = file
        self._table, self._table_lists = _toml(file) if file else ({}, {})

    def find(self, setting: Setting) -> Found:
        flag = self._flags.get(setting.field)
        if flag is not None:
            return Found(setting.option, flag)
        variable = self.environment.get(setting.variable)
        if variable and not _of_a_service(setting.variable, variable):
            return Found(setting.variable, variable)
        for key in setting.upstream:
            if value := self._upstream(setting, key):
                return Found(self.upstream.source(key), value)
        in_file = f"'{setting.name}' in the configuration file"
        if setting.open and (value := _members(self._table, self._table_lists, f"{setting.name}.", setting.many)):
            return Found(in_file, value)
        if setting.many and setting.name in self._table_lists:
            return Found(in_file, _json(self._table_lists[setting.name]))
        if setting.name in self._table:
            return Found(in_file, self._table[setting.name])
        return Found(f"the default of {setting.name}", setting.default, given=False)

    def _upstream(self, setting: Setting, key: str) -> str | None:
        if key.endswith(".*"):
            return _members(self.upstream.keys, self.upstream.lists, key[:-1], setting.many)
        if setting.many and key in self.upstream.lists:
            return _json(self.upstream.lists[key])
        return self.upstream.keys.get(key)

    def remarks(self, settings: tuple[Setting, ...]) -> list[str]:
        """What has no effect: keys of the file, and of our variables those that are nearly a setting's; others are the
        client's, or Kubernetes' of a service."""
        known = [setting.variable for setting in settings]
        return (
            [
                f"{self._file}: the key '{key}' is not known and has no effect"
                for key in self._table
                if not _known(key, settings)
            ]
            + [
                f"the variable {name}={text} is Kubernetes' of a service called upcall, and not the port to listen on"
                for name, text in self.environment.items()
                if _of_a_service(name, text)
            ]
            + [
                f"the variable {name} is not known and has no effect; {near[0]} is"
                for name in sorted(set(self.environment) - {*known, *CLIENTS})
                if name.startswith("UPCALL_") and (near := get_close_matches(name, known, 1, 0.9))
            ]
        )


def _of_a_service(name: str, text: str) -> bool:
    """Kubernetes sets `UPCALL_PORT=tcp://10.96.0.7:80` in all pods beside a service called upcall."""
    return name == "UPCALL_PORT" and SERVICE.fullmatch(text) is not None


def _known(key: str, settings: tuple[Setting, ...]) -> bool:
    return any(key == setting.name or (setting.open and key.startswith(f"{setting.name}.")) for setting in settings)


def _members(table: Texts, lists: Lists, prefix: str, many: bool) -> str:
    """All that begin with the prefix, as a JSON object without it; empty where there are none. `many`: each is an
    array, and elements are no members of their own."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        if not name.startswith(prefix):
            continue
        if not many:
            found[name.removeprefix(prefix)] = value
        elif not _is_element(name, lists):
            found[name.removeprefix(prefix)] = lists.get(name, [value])
    return _json(found) if found else ""


def _is_element(name: str, lists: Lists) -> bool:
    of, _, last = name.rpartition(".")
    return is_number(last) and of in lists


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _toml(file: Path) -> tuple[dict[str, str], Lists]:
    """All values by their whole names, and arrays element by element."""
    try:
        rows = _flat(tomllib.loads(file.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise Misconfigured(f"the configuration file {file} cannot be read: {why}") from error
    lists = {name: value for name, value in rows if isinstance(value, list)}
    return {name: ",".join(value) if isinstance(value, list) else value for name, value in rows}, lists


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str | list[str]]]:
    rows: list[tuple[str, str | list[str]]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", [*map(_text, value)] if isinstance(value, list) else _text(value)))
    return rows


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
