"""The Kubernetes driver's settings: which cluster, what pods are made of, where they run (spec: kubernetes.md §6).

Of Docker's settings those that say what an image is and what a container is told count for pods, too: registries,
registry-credentials and docker.extra-env.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from upcall.model.forms import count, megabytes, optional, switch
from upcall.model.sizes import parse_duration
from upcall.setting import RUNS, Setting

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SECRET = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_KEY = re.compile(rf"([a-z0-9][-a-z0-9.]{{0,251}}[a-z0-9]/)?{_VALUE.pattern[:-1]}")
_VARIABLE = re.compile(r"[A-Za-z_.-][\w.-]*")
_table = msgspec.json.Decoder(dict[str, str]).decode
_KEYS = "whisk.kubernetes."


class Kubernetes(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in MB, durations in seconds."""

    master: str
    """Empty: the service account's or the kubeconfig's."""
    namespace: str
    """Empty: the one that these name."""
    release: str
    pod_template: str
    """As `containers.kubernetes.template` reads it."""
    pull_secrets: tuple[str, ...]
    node_affinity: bool
    node_key: str
    node_value: str
    cpu_millicpus: int | None
    """None: no bound of CPUs."""
    cpu_memory: int
    cpu_max_millicpus: int
    storage_limit: int | None
    storage_factor: float | None
    field_env: Mapping[str, str]
    """Paths of fields by variables."""
    times_run: float
    times_delete: float


def _fit(form: re.Pattern[str], what: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not form.fullmatch(text):
            raise ValueError(f"'{text}' is no {what}")
        return text

    return parse


_namespace = _fit(_NAME, "name of a namespace of Kubernetes, as openwhisk is one")
_secret = _fit(_SECRET, "name of a Secret, as registry-key is one")


def master(text: str) -> str:
    """Without a slash at its end."""
    if not re.fullmatch(r"https?://[^/\s]+/*", text):
        raise ValueError(f"'{text}' is no address of a Kubernetes API, as https://10.0.0.1:6443 is one")
    return text.rstrip("/")


def fields(text: str) -> dict[str, str]:
    """`NAME=path,NAME=path`, or a JSON object of texts."""
    if text.lstrip().startswith("{"):
        try:
            found = _table(text)
        except msgspec.MsgspecError as error:
            raise ValueError(f"it is no JSON object of texts: {error}") from error
    else:
        parts = (part.strip().partition("=") for part in text.split(",") if part.strip())
        found = {name: path for name, _, path in parts}
    for name, path in found.items():
        if not _VARIABLE.fullmatch(name) or not path:
            raise ValueError(f"'{name}={path}' is no variable with a field of the pod, as NODE=spec.nodeName is one")
    return found


def above_zero(text: str) -> int:
    if (number := count(text)) == 0:
        raise ValueError("0 is not enough: 1 or more")
    return number


def factor(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < 1e6:
        raise ValueError(f"'{text}' is no number above 0, as 1.5 is one")
    return number


def _secrets(text: str) -> tuple[str, ...]:
    return tuple(_secret(name.strip()) for name in text.split(",") if name.strip())


_AFFINITY, _CPU, _STORAGE = (
    f"{_KEYS}{part}" for part in ("user-pod-node-affinity", "cpu-scaling", "ephemeral-storage")
)


def _setting(name: str, parse: Callable[[str], Any], default: str, what: str, *upstream: str) -> Setting:
    return Setting(f"kubernetes.{name}", parse, default, what, upstream, roles=RUNS)


KUBERNETES_SETTINGS: tuple[Setting, ...] = (
    _setting(
        "master",
        optional(master),
        "",
        "address of the Kubernetes API  [default: what the pod's service account, or else KUBECONFIG, names]",
        "kubernetes.master",
    ),
    _setting(
        "namespace",
        optional(_namespace),
        "",
        "where the pods of actions are made  [default: the one that service account or kubeconfig names]",
        f"{_KEYS}action-namespace",
    ),
    _setting(
        "release",
        _fit(_VALUE, "value of a label: 63 letters, digits, '-', '_' and '.' at most"),
        "upcall",
        "value of the label release of the pods of actions",
        "whisk.helm.release",
    ),
    _setting(
        "pod-template",
        str,
        "",
        "a pod in YAML, or file:/path of one, on which the pods of actions are built  [default: none]",
        f"{_KEYS}pod-template",
    ),
    _setting(
        "pull-secrets",
        _secrets,
        "",
        "names of Secrets in that namespace with which images of all actions are fetched, with commas between them",
    ),
    _setting(
        "node-affinity",
        switch,
        "on",
        "whether the pods of actions run on nodes with a label alone: on or off",
        f"{_AFFINITY}.enabled",
    ),
    _setting(
        "node-key",
        _fit(_KEY, "name of a label, as openwhisk-role is one"),
        "openwhisk-role",
        "the name of that label",
        f"{_AFFINITY}.key",
    ),
    _setting("node-value", _fit(_VALUE, "value of a label"), "invoker", "its value", f"{_AFFINITY}.value"),
    _setting(
        "cpu.millicpus",
        optional(above_zero),
        "",
        "thousandths of a CPU for each cpu.memory of an action, and the fewest  [default: no bound of CPUs]",
        f"{_CPU}.millicpus",
    ),
    _setting("cpu.memory", megabytes, "256 MB", "memory that these CPUs are for", f"{_CPU}.memory"),
    _setting(
        "cpu.max-millicpus",
        above_zero,
        "4000",
        "the most thousandths of a CPU that an action has",
        f"{_CPU}.max-millicpus",
    ),
    _setting(
        "storage.limit",
        optional(megabytes),
        "",
        "what an action may have on its node's disk, at most  [default: no bound]",
        f"{_STORAGE}.limit",
    ),
    _setting(
        "storage.factor",
        optional(factor),
        "",
        "what of it an action has for each byte of its memory  [default: all of it]",
        f"{_STORAGE}.scale-factor",
    ),
    _setting(
        "field-env",
        fields,
        "",
        "variables of actions with fields of their pods, as in NODE=spec.nodeName",
        f"{_KEYS}field-ref-environment.*",
    ),
    _setting(
        "times.run",
        parse_duration,
        "1 minute",
        "the longest time for a pod to come up; Inf: any",
        f"{_KEYS}timeouts.run",
    ),
    _setting(
        "times.delete",
        parse_duration,
        "30 s",
        "the longest time for all pods to go, at the start and at the end",
        "whisk.runtime.delete.timeout",
    ),
)


def take_kubernetes(values: dict[str, Any]) -> Kubernetes:
    """Made of the values of `KUBERNETES_SETTINGS`, which are taken out."""
    own = {name: values.pop(name) for name in list(values) if name.startswith("kubernetes_")}
    found = {name.removeprefix("kubernetes_"): value for name, value in own.items()}
    return Kubernetes(**{**found, "master": found["master"] or "", "namespace": found["namespace"] or ""})
