"""What OpenWhisk's own sources say, by its keys (spec: invoker.md §2.1). Later ones win: the names of 2017, the HOCON
of `OPENWHISK_ENCODED_CONFIG` and `OPENWHISK_CONFIG`, `-Dkey=value` of the JVM's options, `CONFIG_…`.

Deployments' slips are borne: empty and blank values and quotes around them count for nothing, `CONFIG_` values that
begin with `$` name another variable, and a `$(NAME)` that Kubernetes did not replace is no value.
"""

import base64
import binascii
import re
import shlex
from collections.abc import Iterable, Mapping

from upcall import hocon
from upcall.couch import joined
from upcall.properties import HOSTS, SUCCESSORS, succeeded
from upcall.setting import Role

Texts = Mapping[str, str]
API_HOST, *_ = API_PARTS = ("WHISK_API_HOST_NAME", "WHISK_API_HOST_PROTO", "WHISK_API_HOST_PORT")
OPTIONS: dict[Role, tuple[str, ...]] = {
    "serve": ("JAVA_OPTS", "CONTROLLER_OPTS", "INVOKER_OPTS"),
    "invoker": ("JAVA_OPTS", "INVOKER_OPTS"),
    "controller": ("JAVA_OPTS", "CONTROLLER_OPTS"),
}
"""Variables with the JVM's options."""
ENCODED, PLAIN = "OPENWHISK_ENCODED_CONFIG", "OPENWHISK_CONFIG"
_NAMED = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_INDIRECT = re.compile(r"\$\(([A-Za-z_][\w.-]*)\)")


class Upstream:
    """`keys` by their whole names, and plain variables by theirs; `lists` are those with elements `.0`, `.1`, …, which
    `keys` have, too, with commas between them. `origins` say which variable each is from;
    `lost` are variables that name what is not there."""

    def __init__(self, environment: Texts, role: Role, plain: Iterable[str] = ()) -> None:
        """`plain` are the variables that count beside keys."""
        self.keys: dict[str, str] = {}
        self.origins: dict[str, str] = {}
        self.faults: list[str] = []
        self.remarks: list[str] = []
        self.lost: set[str] = set()
        self._environment = environment
        self._plain(role, {*plain, *API_PARTS, *SUCCESSORS, *HOSTS, *(port for port, _ in HOSTS.values())})
        self._hocon(ENCODED)
        self._hocon(PLAIN)
        for name in OPTIONS[role]:
            self._options(name)
        self._variables()
        self.lists = _lists(self.keys)
        self.keys |= {name: ",".join(elements) for name, elements in self.lists.items()}
        self.origins |= {name: self.origins[f"{name}.{_first(self.keys, name)}"] for name in self.lists}
        self.keys |= joined(self.keys)

    def source(self, key: str) -> str:
        """In words for people."""
        origin = self.origins.get(key, key)
        return key if origin == key or origin.startswith("CONFIG_") else f"{key} ({origin})"

    def _plain(self, role: Role, names: set[str]) -> None:
        given = {name: self._clean(name, self._environment[name]) for name in sorted(names & {*self._environment})}
        if role != "serve":
            for key, (name, value) in succeeded(given).items():
                self._say({key: value}, name)
        for name, value in given.items():
            if value and name not in SUCCESSORS and name not in HOSTS:
                self._say({name: value}, name)
        self.keys |= _api_host({part: given.get(part, "") for part in API_PARTS})

    def _hocon(self, name: str) -> None:
        text = self._environment.get(name, "")
        if not text.strip():
            return
        try:
            self._say(hocon.parse(_decoded(text) if name == ENCODED else text, self._environment), name)
        except ValueError as error:
            self.faults.append(f"{name}: {error}")

    def _options(self, name: str) -> None:
        try:
            words = shlex.split(self._environment.get(name, ""))
        except ValueError as error:
            wrong = f"{name}: its quotes are wrong: {str(error).lower()}"
            if name == "JAVA_OPTS":  # the JVM's, and not read by OpenWhisk's Invoker (spec: invoker.md §2.2)
                self.remarks.append(f"{wrong}; it has no effect")
            else:
                self.faults.append(wrong)
            return
        pairs = (word[2:].partition("=") for word in words if word.startswith("-D"))
        self._say({key: self._filled(value) for key, _, value in pairs if key and value}, name)

    def _variables(self) -> None:
        found = {
            name: (key, value)
            for name, raw in sorted(self._environment.items())
            if (key := key_of(name)) and (value := self._clean(name, raw))
        }
        self._say(dict(found.values()), "")
        self.origins |= {key: name for name, (key, _) in found.items()}

    def _say(self, table: Texts, origin: str) -> None:
        """Over what was said before: a list replaces the whole list, or the text, of its name."""
        heads = {*table, *_lists(table)} - {""}
        for key in [key for key in self.keys if key in heads or _head(key) in heads]:
            del self.keys[key]
        self.keys |= table
        self.origins |= dict.fromkeys(table, origin)

    def _clean(self, name: str, raw: str) -> str:
        """Empty where it is no value, of which is told what is lost."""
        value = unquoted(raw)
        match = _NAMED.fullmatch(value) if name.startswith("CONFIG_") else None
        if match:
            other = match[1] or match[2]
            value = unquoted(self._environment.get(other, ""))
            if other not in self._environment:
                self.lost.add(name)
                self.remarks.append(f"{name} has no effect: it names the variable {other}, which there is not")
        for other in _INDIRECT.findall(value):
            if other not in self._environment:
                self.lost.add(name)
                self.remarks.append(
                    f"{name} has no effect: $({other}) in it was not replaced, for Kubernetes knows no variable "
                    f"{other} that is defined before it"
                )
                return ""
            value = value.replace(f"$({other})", self._environment[other])
        return value

    def _filled(self, value: str) -> str:
        """With `$NAME` replaced where there is such a variable, as a shell would."""
        return _NAMED.sub(lambda match: self._environment.get(match[1] or match[2], match[0]), value)


def key_of(variable: str) -> str:
    """`CONFIG_whisk_aB_c` → `whisk.a-b.c`; empty for other variables."""
    parts = variable.removeprefix("CONFIG_").split("_") if variable.startswith("CONFIG_") else []
    return ".".join(map(_kebab, parts))


def is_number(part: str) -> bool:
    """Whether it is the place of an element in its list."""
    return part.isdecimal() and len(part) < 10


def unquoted(text: str) -> str:
    """Without blanks and one pair of quotes around it."""
    value = text.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1].strip()
    return value


def _kebab(part: str) -> str:
    return part if part[:1].isupper() else re.sub(r"[A-Z]", lambda match: f"-{match[0].lower()}", part)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(f"it is no text in base64: {error}") from error


def _lists(found: Texts) -> dict[str, list[str]]:
    """The elements of each list, in their order."""
    elements = [(name.rpartition("."), value) for name, value in found.items()]
    numbered = sorted((name, int(last), value) for (name, _, last), value in elements if name and is_number(last))
    lists: dict[str, list[str]] = {}
    for name, _, value in numbered:
        lists.setdefault(name, []).append(value)
    return lists


def _head(key: str) -> str:
    """The list's name of an element."""
    name, _, last = key.rpartition(".")
    return name if is_number(last) else ""


def _first(keys: Texts, name: str) -> str:
    return min((key.rpartition(".")[2] for key in keys if _head(key) == name), key=int)


def _api_host(given: Texts) -> dict[str, str]:
    """Three variables make one URL (spec: invoker.md §2.2)."""
    name, scheme, port = (given[part] for part in API_PARTS)
    return {API_HOST: f"{scheme or 'https'}://{name}:{port or '443'}"} if name else {}
