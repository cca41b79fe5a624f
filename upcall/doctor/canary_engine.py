"""A tiny container on a machine's Docker engine: is its line read back, is it paused and does it go on (spec:
kubernetes.md §10: HOST-07, HOST-08)?

Its image is one that is there, of an action where there is one; nothing is fetched. It has no network and no rights,
and is removed whatever happens; one that a killed doctor has left is removed by the next.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from upcall.doctor.examine import Report
from upcall.doctor.explain import explain
from upcall.doctor.facts.engine import Answer, ask
from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import Finding

LABEL = "upcall.doctor"
LINE = "the canary sings"
COMMAND = ["/bin/sh", "-c", f"echo '{LINE}'; sleep 30"]
PATIENCE = 3.0
"""Seconds for a request, and for the line."""
OLD = 60
"""Seconds after which a container of another doctor is one that was left."""
TRIED = 4
"""Images, of which some have no shell."""
PAUSE = 0.05
HERE = "this host"
MUTE = (
    "The log driver of the engine ({driver}) keeps nothing that can be read: OpenWhisk's Invokers find no logs of "
    "their containers, and remove each after one run. upcall's reads them itself."
)
SPEAK = (
    'Have containers log by json-file, local or journald: {"log-driver": "json-file"} in /etc/docker/daemon.json, and '
    "start Docker anew."
)
STIFF = (
    "The engine cannot pause containers: its runc does not fit the kernel's cgroups, or those have no freezer. "
    "Containers then stay awake between two runs, or are removed."
)
BEND = "Update Docker and runc (containerd.io); see that there is a freezer: /sys/fs/cgroup/freezer, or cgroup v2."
_REFUSED = 300


def sing(path: Path) -> Report:
    """`path`: of the engine's socket."""
    try:
        return _sung(path)
    except (OSError, ValueError) as error:
        return _unseen(f"Docker at {path}: {error}")


def _sung(path: Path) -> Report:
    _sweep(path)
    images = _images(path)
    if not images:
        return _unseen("Docker has no image here, and none is fetched for it: docker pull, or scripts/images")
    why = ""
    for image in images[:TRIED]:
        made = _do(path, "POST", "/containers/create", _body(image))
        if made.status >= _REFUSED:
            why = _said(made)
            continue
        place = f"/containers/{made.document['Id']}"
        try:
            started = _do(path, "POST", f"{place}/start")
            if started.status < _REFUSED:
                found = [*_lines(path, place), *_pauses(path, place)]
                return Report(looked_at=f"Docker by a canary of the image {image}", findings=found)
            why = _said(started)
        finally:
            _do(path, "DELETE", f"{place}?force=1")
    known = [each.but(where=HERE) for each in explain(why)]
    looked_at = f"Docker, which starts no container of {', '.join(images[:TRIED])}"
    return Report(looked_at=looked_at, findings=known) if known else _unseen(f"{looked_at}: {why}")


def _body(image: str) -> dict[str, Any]:
    return {
        "Image": image,
        "Entrypoint": COMMAND,
        "Cmd": [],
        "User": "65534",
        "Labels": {LABEL: "canary"},
        "NetworkDisabled": True,
        "HostConfig": {"NetworkMode": "none", "CapDrop": ["ALL"], "ReadonlyRootfs": True},
    }


def _lines(path: Path, place: str) -> Iterator[Finding]:
    """Containers of others have the engine's own log driver, too."""
    deadline, told = time.monotonic() + PATIENCE, b""
    while LINE.encode() not in told:
        answer = _do(path, "GET", f"{place}/logs?stdout=1&stderr=1")
        told = answer.body
        if answer.status >= _REFUSED or time.monotonic() > deadline:
            why = _said(answer) if answer.status >= _REFUSED else "its line is not in its log"
            driver = _inspected(path, place).get("HostConfig", {}).get("LogConfig", {}).get("Type", "?")
            named = FAILURES["HOST-07"].found(HERE, f"a container printed a line; log driver {driver}: {why}")
            yield named.but(cause=MUTE.format(driver=driver), fix=SPEAK)
            return
        time.sleep(PAUSE)


def _pauses(path: Path, place: str) -> Iterator[Finding]:
    for verb, paused in (("pause", True), ("unpause", False)):
        answer = _do(path, "POST", f"{place}/{verb}")
        state = _inspected(path, place).get("State", {})
        if answer.status >= _REFUSED or state.get("Paused") is not paused:
            why = _said(answer) if answer.status >= _REFUSED else f"it is {state.get('Status', '?')} afterwards"
            named = FAILURES["HOST-08"].found(HERE, f"docker {verb} of a container: {why}")
            yield named.but(cause=STIFF, fix=BEND)
            return


def _images(path: Path) -> list[str]:
    """By name; those of actions first."""
    found = _do(path, "GET", "/images/json").document
    names = [name for each in found or () for name in each.get("RepoTags") or () if "<none>" not in name]
    return sorted(names, key=lambda name: (not ("action" in name or "runtime" in name), name))


def _inspected(path: Path, place: str) -> dict[str, Any]:
    found = _do(path, "GET", f"{place}/json").document
    return found if isinstance(found, dict) else {}


def _sweep(path: Path) -> None:
    chosen = quote(f'{{"label": ["{LABEL}=canary"]}}')
    for each in _do(path, "GET", f"/containers/json?all=1&filters={chosen}").document or ():
        if time.time() - each.get("Created", 0) > OLD:
            _do(path, "DELETE", f"/containers/{each['Id']}?{urlencode({'force': 1})}")


def _do(path: Path, method: str, what: str, body: Any = None) -> Answer:
    """Raises OSError, ValueError."""
    return ask(path, method, what, body, PATIENCE)


def _said(answer: Answer) -> str:
    told = answer.document
    return str(told.get("message", answer.status)) if isinstance(told, dict) else f"HTTP {answer.status}"


def _unseen(why: str) -> Report:
    return Report(looked_at="Docker", findings=(), unseen=[f"The canary did not run: {why}"])
