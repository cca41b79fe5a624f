"""Where the texts of settings come from, and which source wins.

The command line's flag, the variable `UPCALL_<NAME>`, upstream's variables (`CONFIG_whisk_…`, `LIMITS_…`, …; spec:
invoker.md §2), the TOML file, the default. Empty variables count as absent, and `CONFIG_` values that begin with `$`
name another variable: deployments rely on both.
"""

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from upcall.errors import Misconfigured
from upcall.setting import Setting

Texts = Mapping[str, str]
Lists = Mapping[str, list[str]]
SERVICE = re.compile(r"(tcp|udp|sctp)://\S+:\d+")
API_HOST = "WHISK_API_HOST_NAME"
CLIENTS = ("UPCALL_APIHOST",)
"""Variables of the command line that are nearly a setting's."""


class Found(NamedTuple):
    """Where a value comes from, in words for people, and its text."""

    source: str
    text: str
    given: bool = True
    """False for a default."""


class Sources:
    """All of them but the defaults, which are the settings' own."""

    def __init__(self, flags: Mapping[str, str | None], environment: Texts, file: Path | None) -> None:
        """Raises Misconfigured where the file cannot be read."""
        self._flags = flags
        self.environment = environment
        self.upstream = {**upstream_keys(environment), **_api_host(environment)}
        self._upstream_lists = _lists(_keys(environment))
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
                return Found(key, value)
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
            return _members(self.upstream, self._upstream_lists, key[:-1], setting.many)
        if setting.many and key in self._upstream_lists:
            return _json(self._upstream_lists[key])
        return self.upstream.get(key) or self.environment.get(key)

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


def upstream_keys(environment: Texts) -> dict[str, str]:
    """`CONFIG_whisk_aB_c=x` → `whisk.a-b.c: x` (spec: invoker.md §2.1); a part that begins with a capital stays. The
    elements of a list, `…_0`, `…_1`, are joined by commas under the list's name, too."""
    found = _keys(environment)
    return {**found, **{name: ",".join(elements) for name, elements in _lists(found).items()}}


def _keys(environment: Texts) -> dict[str, str]:
    """As single variables have them."""
    found: dict[str, str] = {}
    for name, raw in environment.items():
        if not name.startswith("CONFIG_"):
            continue
        value = environment.get(raw[1:], "") if raw.startswith("$") else raw
        value = value.strip().strip("'\"").strip()
        if value:
            found[".".join(map(_kebab, name.removeprefix("CONFIG_").split("_")))] = value
    return found


def _lists(found: Texts) -> Lists:
    """The elements of each list, in their order."""
    elements = [(name.rpartition("."), value) for name, value in found.items()]
    numbered = sorted((name, int(last), value) for (name, _, last), value in elements if last.isdecimal())
    return {name: [value for other, _, value in numbered if other == name] for name, _, _ in numbered}


def _kebab(part: str) -> str:
    return part if part[:1].isupper() else re.sub(r"[A-Z]", lambda match: f"-{match[0].lower()}", part)


def _api_host(environment: Texts) -> dict[str, str]:
    """Three variables make one URL (spec: invoker.md §2.2)."""
    name = environment.get(API_HOST, "").strip()
    scheme = environment.get("WHISK_API_HOST_PROTO", "").strip() or "https"
    port = environment.get("WHISK_API_HOST_PORT", "").strip() or "443"
    return {API_HOST: f"{scheme}://{name}:{port}"} if name else {}


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
    return last.isdecimal() and of in lists


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
