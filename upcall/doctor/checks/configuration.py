"""What is missing in the settings of a process, or wrong: all at once (spec: kubernetes.md §10: CFG).

The settings are read as the process itself reads them (`upcall.config.survey`): of this environment, or of a container
in a manifest. Of the latter only what the manifest itself says is blamed: what a Secret elsewhere has is not known.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from upcall.brokers import missing_brokers
from upcall.config import Survey, survey
from upcall.couch import KEY
from upcall.doctor.facts.deployment import Deployment, Workload
from upcall.doctor.facts.environment import Environment, environment, processes
from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import Finding
from upcall.identity import Surroundings
from upcall.model.runtimes import Runtime, parse_manifest
from upcall.properties import HOSTS, SUCCESSORS
from upcall.setting import Role
from upcall.upstream import key_of

RUNTIMES = "RUNTIMES_MANIFEST"
MOST = 20
"""Of what is wrong with a manifest of runtimes."""
_OLD = frozenset([*SUCCESSORS, *HOSTS, *(port for port, _ in HOSTS.values()), *(new for _, new in HOSTS.values())])


def given(told: Survey) -> Iterator[Finding]:
    """Of a process: what keeps it from starting."""
    runtimes = next((each for each in told.findings if each.setting.field == "runtimes"), None)
    broken = runtimes.fault if runtimes is not None and runtimes.error else None
    if runtimes is not None and broken is not None:
        what = "; ".join(faults(runtimes.found.text)) or runtimes.error
        yield FAILURES["CFG-02"].found("the settings", runtimes.found.source, None, {"what": what})
    others = [_spelled(fault) for fault in told.faults if fault != broken]
    if others:
        evidence = f"{len(others)} settings are wrong or missing"
        yield FAILURES["CFG-01"].found("the settings", evidence, None, {"keys": "; ".join(others)})


def told(deployment: Deployment) -> Iterator[Finding]:
    """Of the containers of a manifest."""
    for role, each in processes(deployment):
        found = environment(each, deployment)
        if text := found.values.get(RUNTIMES, "").strip():
            wrong = faults(text) if text.startswith("{") or not _is_file(text) else []
            if wrong:
                evidence = f"{RUNTIMES} of {found.origins.get(RUNTIMES, each.said)}"
                yield FAILURES["CFG-02"].found(each.said, evidence, None, {"what": "; ".join(wrong)})
        if lacking := _lacking(role, each, found):
            keys = "; ".join(lacking)
            yield FAILURES["CFG-01"].found(each.said, f"variables of container {_name(each)}", None, {"keys": keys})


def faults(text: str) -> list[str]:
    """What is wrong with a manifest of runtimes, with its line; of one that can be read, all."""
    text = _text(text)
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        return [f"line {error.lineno}, column {error.colno}: {error.msg}"]
    except RecursionError:
        return ["it is nested too deep"]
    families = found.get("runtimes") if isinstance(found, dict) else None
    if not isinstance(families, dict):
        return ["it has no object `runtimes`"]
    wrong = [each for family, kinds in families.items() for each in _family(text, family, kinds)]
    if wrong:
        return wrong[:MOST]
    try:
        parse_manifest(text)
    except ValueError as error:
        return [str(error)]
    return []


def _family(text: str, family: str, kinds: Any) -> Iterator[str]:
    place = _line(text, rf'"{re.escape(family)}"\s*:')
    if not isinstance(kinds, list):
        yield f"{place}{family} is no list of kinds"
        return
    for each in kinds:
        kind = str(each.get("kind", "")) if isinstance(each, dict) else ""
        try:
            msgspec.convert(each, Runtime, strict=False)
        except (msgspec.MsgspecError, ValueError) as error:
            at = _line(text, rf'"kind"\s*:\s*"{re.escape(kind)}"') if kind else place
            yield f"{at}{kind or family}: {str(error).partition(' - at')[0]}"
    defaults = [each for each in kinds if isinstance(each, dict) and each.get("default") is True]
    if len(kinds) > 1 and not defaults:
        yield f"{place}{family} has several kinds, and none with default: true"
    elif len(defaults) > 1:
        yield f"{place}{family} has {len(defaults)} kinds with default: true"


def _line(text: str, pattern: str) -> str:
    match = re.search(pattern, text)
    return f"line {text.count(chr(10), 0, match.start()) + 1}: " if match else ""


def _is_file(text: str) -> bool:
    return text.startswith(("@", "/"))


def _text(text: str) -> str:
    """That of the file that is named; the same where none is."""
    if text.lstrip().startswith("{") or not _is_file(text):
        return text
    try:
        return Path(text.removeprefix("@")).expanduser().read_text(errors="replace")
    except OSError:
        return text


def _lacking(role: Role, each: Workload, found: Environment) -> list[str]:
    """Nothing of a container that is told nothing: its image or its command may know more."""
    if found.open or not any(key_of(name) or name in _OLD for name in (*found.values, *found.unknown)):
        return []
    words = {str(word).partition("=")[0] for key in ("command", "args") for word in each.main.get(key) or ()}
    around = Surroundings(f"{each.name}-0", pod=True)
    filled = {**found.values, **{name: _some(name) for name in found.unknown}}
    judged = survey({}, filled, None, role, around)
    ours = "upcall" in str(each.main.get("image", ""))
    lacking = []
    for one in judged.findings:
        known = one.found.source not in found.unknown and one.setting.option not in words
        if one.error and known and one.setting.field != "runtimes" and (ours or one.found.source.startswith(KEY)):
            lacking.append(one.fault)
    if (fault := missing_brokers(role)) in judged.faults and "--kafka-hosts" not in words:
        lacking.append(fault)
    return [_spelled(fault) for fault in lacking]


def _spelled(fault: str) -> str:
    """With the names of 2017, where a fault does not have them."""
    older = " (of 2017: KAFKA_HOST and KAFKA_HOST_PORT)" if "KAFKA_HOSTS" in fault else ""
    return fault.rstrip(".") + older


def _some(name: str) -> str:
    """A value of the right form for one that is not known here."""
    if name.endswith(("PORT", "_port")):
        return "1"
    return "unknown:1" if name.endswith(("HOSTS", "_hosts")) else "unknown"


def _name(each: Workload) -> str:
    return str(each.main.get("name", ""))


CHECKS: tuple[Callable[[Deployment], Iterator[Finding]], ...] = (told,)
