"""A pod template: YAML itself, or `file:/path` of it (spec: kubernetes.md §6). One document, a Pod; read once.

It is looked at as far as our own work goes by it; whether Kubernetes takes the rest, its API says.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from upcall.containers.kubernetes.options import Object

_FILE = "file:"
_LARGEST = 1 << 20
"""Bytes."""
_PARTS = ("metadata", "metadata.labels", "metadata.annotations", "spec", "spec.securityContext", "spec.affinity")
_LISTS = ("spec.containers", "spec.initContainers", "spec.volumes", "spec.tolerations", "spec.imagePullSecrets")
_RIGHTS = ("securityContext", "securityContext.capabilities")
_NODES = "spec.affinity.nodeAffinity"
_REQUIRED = f"{_NODES}.requiredDuringSchedulingIgnoredDuringExecution"


def read(text: str) -> Object:
    """Of the setting's text; `{}` of an empty one. Raises ValueError with cause and place."""
    text = text.strip()
    if not text:
        return {}
    if text.startswith(_FILE):
        return _parsed(_content(Path(text.removeprefix(_FILE))), text.removeprefix(_FILE))
    return _parsed(text, "the pod template")


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ValueError(f"{path} has more than {_LARGEST} bytes")
        return data.decode()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8") from error


def _parsed(text: str, where: str) -> Object:
    try:
        found = yaml.safe_load(text)
        found = json.loads(json.dumps(found, default=str))  # YAML has dates, of which Kubernetes knows nothing
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise ValueError(f"{where} is no YAML{place}: {getattr(error, 'problem', None) or error}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{where} is no YAML of a pod: {error}") from error
    _check(found, where)
    pod: Object = found
    return pod


def _check(found: Any, where: str) -> None:
    if not isinstance(found, dict) or found.get("kind", "Pod") != "Pod":
        raise ValueError(f"{where} is to be one YAML document of kind Pod")
    for path in (*_PARTS, _NODES, _REQUIRED):
        _expect(found, path, dict, where)
    for path in (*_LISTS, f"{_REQUIRED}.nodeSelectorTerms"):
        for number, entry in enumerate(_expect(found, path, list, where) or ()):
            if not isinstance(entry, dict):
                raise ValueError(f"{where}: {path}[{number}] is to be a mapping")
    for number, term in enumerate(_at(found, f"{_REQUIRED}.nodeSelectorTerms") or ()):
        _expect(term, "matchExpressions", list, f"{where}: nodeSelectorTerms[{number}]")
    _check_containers(_at(found, "spec.containers") or (), where)


def _check_containers(containers: Any, where: str) -> None:
    for number, container in enumerate(containers):
        if not isinstance(container.get("name"), str):
            raise ValueError(f"{where}: spec.containers[{number}] has no name; user-action is the one actions run in")
        place = f"{where}: container {container['name']}"
        for path in _RIGHTS:
            _expect(container, path, dict, place)
        for path in ("securityContext.capabilities.add", "securityContext.capabilities.drop"):
            _expect(container, path, list, place)


def _expect(found: Any, path: str, kind: type, where: str) -> Any:
    value = _at(found, path)
    if value is not None and not isinstance(value, kind):
        raise ValueError(f"{where}: {path} is to be a {'mapping' if kind is dict else 'list'}")
    return value


def _at(found: Any, path: str) -> Any:
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found
