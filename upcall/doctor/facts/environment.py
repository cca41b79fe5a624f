"""What a container of a manifest is told by its variables, as the kubelet would put them together."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from upcall.doctor.facts.deployment import WORKLOADS, Deployment, Object, Workload, workload
from upcall.setting import APART, ROLES, Role

_NAMED = re.compile(r"\$\(([\w.-]+)\)")


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """`values`: what is known. `unknown`: names whose values are elsewhere. `open`: whether there may be more.
    `origins`: where a value stands, where that is not the container."""

    values: Mapping[str, str]
    unknown: frozenset[str]
    open: bool
    origins: Mapping[str, str]


def processes(deployment: Deployment) -> Iterator[tuple[Role, Workload]]:
    """What is a process of the platform, by its command or its name."""
    for kind in WORKLOADS:
        for each in deployment.of(kind):
            found = workload(kind, each, deployment.namespace)
            if (role := _role(found)) is not None:
                yield role, found


def environment(of: Workload, deployment: Deployment) -> Environment:
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    unknown: set[str] = set()
    complete = True
    for source in of.main.get("envFrom") or ():
        data, place, optional = _whole(source, deployment)
        complete = complete and (data is not None or optional)
        given = {f"{source.get('prefix') or ''}{key}": text for key, text in (data or {}).items()}
        values |= given
        origins |= dict.fromkeys(given, place)
    for each in of.main.get("env") or ():
        name, value = str(each.get("name", "")), _value(each, deployment)
        origins.pop(name, None)
        if value is None:
            unknown.add(name)
            values.pop(name, None)
        else:
            values[name] = _NAMED.sub(lambda match: values.get(match[1], match[0]), value)
    return Environment(values=values, unknown=frozenset(unknown), open=not complete, origins=origins)


_SOURCES = {"configMapRef": "ConfigMap", "secretRef": "Secret"}
_KEYS = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}


def _role(found: Workload) -> Role | None:
    words = [str(word) for key in ("command", "args") for word in found.main.get(key) or ()]
    said = next((role for role in ROLES if role in words), None)
    if said is not None:
        return said
    about = f"{found.name} {found.main.get('image', '')}"
    return next((role for role in APART if role in about), None)


def _whole(source: Object, deployment: Deployment) -> tuple[dict[str, str] | None, str, bool]:
    """Of an object all of whose data are variables: them, where they are, and whether it need not be there."""
    for key, kind in _SOURCES.items():
        if reference := source.get(key):
            name = str(reference.get("name", ""))
            return _data(deployment, kind, name), f"{kind} {name}", bool(reference.get("optional"))
    return None, "", False


def _value(each: Object, deployment: Deployment) -> str | None:
    """None where it is not in what was given."""
    source = each.get("valueFrom")
    if not source:
        return str(each.get("value") if each.get("value") is not None else "")
    for key, kind in _KEYS.items():
        if reference := source.get(key):
            data = _data(deployment, kind, str(reference.get("name", "")))
            return None if data is None else data.get(str(reference.get("key", "")))
    return None


def _data(deployment: Deployment, kind: str, name: str) -> dict[str, str] | None:
    for each in deployment.of(kind):
        if (each.get("metadata") or {}).get("name") == name:
            plain = {str(key): str(value) for key, value in (each.get("data") or {}).items()}
            if kind == "Secret":
                plain = {key: _decoded(value) for key, value in plain.items()}
                plain |= {str(key): str(value) for key, value in (each.get("stringData") or {}).items()}
            return plain
    return None


def _decoded(value: Any) -> str:
    try:
        return base64.b64decode(value).decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""
