"""The templates of deploy/helm/upcall that are made, not written: objects of a whole platform, with Helm's expressions
where the chart's values go.

A manifest is made of wishes that occur nowhere else (`SAMPLE`). What came of them, and fields that a value decides as a
whole, become marks in the objects, and marks in the text become expressions. So the chart says what `upcall manifests`
says, and what is not a value of the chart is not written a second time.
"""

import re
from typing import Any

import msgspec

from upcall.manifests.document import Object, plain, stream
from upcall.manifests.fleet import fleet
from upcall.manifests.invoker import invoker
from upcall.manifests.profiles import ANY, profile
from upcall.manifests.scaling import scaling, threshold
from upcall.manifests.wanted import Driver, Wanted, mebibytes

COUNTS = ("INVOKER_COUNT", "INVOKER_INSTANCES")
SAMPLE = Wanted(
    release="release",
    namespace="namespace",
    image="image.example/upcall",
    replicas=777,
    memory=600_000,
    docker_group=776,
    zookeeper="zookeeper:1",
    prometheus="http://prometheus:1",
    most=778,
)
HEAD = "{{/* Made by scripts/manifests.py, of what 'upcall manifests' writes; values are put in. */}}"
ISOLATED = (
    'and (eq (include "upcall.workload" .) "kubernetes") .Values.invoker.containerFactory.kubernetes.isolateUserActions'
)
CLAIMED = {"invoker": "invoker", "postgres": "db", "kafka": "kafka"}
"""Parts with data of their own, and which value says how large."""
_PLACE = "CONFIG_whisk_kubernetes_userPodNodeAffinity"
"""Variables that depend on the selector, which the chart writes itself."""
_RELEASE, _SPACE = "{{ .Release.Name }}", "{{ .Release.Namespace }}"
_FIXED = '{{- if eq .Values.invoker.scale "none" }}'
_NUMBERS = [
    line for name in COUNTS for line in (f"- name: {name}", '  value: {{ include "upcall.replicas" . | quote }}')
]
_BLOCKS = {
    "M_CHECKSUM": ['upcall/settings: {{ include "upcall.digest" . }}'],
    "M_TOLERATIONS": ['{{- with include "upcall.tolerations" . }}', "tolerations: {{ . }}", "{{- end }}"],
    "M_AFFINITY": ['{{- with include "upcall.affinity" . }}', "affinity: {{ . }}", "{{- end }}"],
    "M_PULL": ["{{- with .Values.imagePullSecrets }}", "imagePullSecrets: {{ toJson . }}", "{{- end }}"],
    "M_SETTINGS": [
        '{{- if ne (include "upcall.settings" .) "{}" }}',
        f"- configMapRef: {{name: {_RELEASE}-settings}}",
        "{{- end }}",
    ],
    "M_DATA": ["{{- if not .Values.k8s.persistence.enabled }}", "- name: data", "  emptyDir: {}", "{{- end }}"],
    "M_REPLICAS": [_FIXED, 'replicas: {{ include "upcall.replicas" . }}', "{{- end }}"],
    "M_COUNT": [_FIXED, *_NUMBERS, "{{- end }}"],
    "M_ENVIRONMENT": [_FIXED, "env:", *(f"  {line}" for line in _NUMBERS), "{{- else }}", "env: []", "{{- end }}"],
    "M_EVERYWHERE": ["{{- if .Values.metrics.serviceMonitor }}", "namespaceSelector: {}", "{{- end }}"],
    "M_MORE": [
        '{{- range $name, $value := include "upcall.invoker" . | fromJson }}',
        "{{ $name }}: {{ $value | quote }}",
        "{{- end }}",
    ],
    "M_CLAIMS": ['{{- with include "upcall.claims" (list . PART) }}', "volumeClaimTemplates: {{ . }}", "{{- end }}"],
}
"""What stands for a line with such a mark."""
_WORDS = {
    "release-kafka.namespace:9092": '{{ include "upcall.kafka" . | quote }}',
    "http://release-controller.namespace:8080": '{{ include "upcall.api" . | quote }}',
    SAMPLE.prometheus: "{{ .Values.metrics.prometheusUrl | quote }}",
    str(threshold(SAMPLE)): '{{ include "upcall.threshold" . | quote }}',
    str(SAMPLE.most): "{{ int .Values.invoker.maxReplicas }}",
    SAMPLE.zookeeper: '{{ include "upcall.zookeeper" . | quote }}',
    SAMPLE.image: '{{ include "upcall.image" . | quote }}',
    "release-upcall": '{{ include "upcall.secret" . }}',
    "M_SELECTOR_INVOKER": '{{ include "upcall.selector" . }}',
    "M_SELECTOR": "{{ toJson .Values.nodeSelector }}",
    "M_DRIVER": "{{ .Values.invoker.containerFactory.impl }}",
    "M_CONTROLLERS": "{{ int .Values.controller.replicaCount }}",
    str(SAMPLE.replicas): '{{ include "upcall.replicas" . }}',
    "release": "{{ .Release.Name | quote }}",
    "namespace": "{{ .Release.Namespace | quote }}",
}
"""What stands for a value that is this, and nothing else."""
_PARTS = {
    mebibytes(SAMPLE.pod_memory): '{{ include "upcall.podMemory" . }}Mi',
    f"{SAMPLE.memory} MB": '{{ include "upcall.memory" . }} MB',
    str(SAMPLE.docker_group): "{{ int .Values.invoker.dockerGroup }}",
}


def templates() -> dict[str, str]:
    """By their names in templates/."""
    made = [found for found in fleet(SAMPLE, profile(ANY)) if found["kind"] not in ("Namespace", "Secret")]
    by = {part: [found for found in made if _part(found) == part] for part in ("postgres", "kafka", "controller")}
    return {
        "postgres.yaml": _template(by["postgres"], 'eq (include "upcall.bundled" (list . "db")) "yes"'),
        "kafka.yaml": _template(by["kafka"], 'eq (include "upcall.bundled" (list . "kafka")) "yes"'),
        "controller.yaml": _template(by["controller"], ".Values.controller.enabled"),
        **{f"invoker-{driver}.yaml": _invokers(driver) for driver in ("process", "docker", "kubernetes")},
        "invoker-daemon.yaml": _invokers("docker", daemon=True),
        "actions.yaml": _template(_actions(), ISOLATED),
        "scaler-hpa.yaml": _watched('eq .Values.invoker.scale "hpa"', scaler="hpa"),
        "scaler-keda.yaml": _watched('eq .Values.invoker.scale "keda"', scaler="keda"),
        "monitor.yaml": _watched(".Values.metrics.serviceMonitor", monitor=True),
        "_apart.tpl": _apart(),
    }


def _actions() -> list[Object]:
    """What keeps action pods apart."""
    return [found for found in _objects("kubernetes") if _part(found) == "actions"]


def _invokers(driver: Driver, daemon: bool = False) -> str:
    """Of one way to run actions."""
    objects = [found for found in _objects(driver, daemon) if _part(found) == "invoker"]
    return _template(objects, f'eq (include "upcall.workload" .) "{"daemon" if daemon else driver}"')


def _objects(driver: Driver, daemon: bool = False) -> list[Object]:
    wanted = msgspec.structs.replace(
        SAMPLE,
        driver=driver,
        daemon=daemon,
        zookeeper=SAMPLE.zookeeper if daemon else "",
        secret="release-upcall",  # noqa: S106 - its name
        kafka="release-kafka.namespace:9092",
        api_host="http://release-controller.namespace:8080",
    )
    return [found for found in invoker(wanted, profile(ANY)) if found["kind"] != "Namespace"]


def _watched(condition: str, **wishes: Any) -> str:
    """What watches Invokers, which have ordinals then."""
    return _template(scaling(msgspec.structs.replace(SAMPLE, **wishes)), condition)


def _apart() -> str:
    """Affinities by the name of how Invokers are spread."""
    made = []
    for spread in ("preferred", "required"):
        wanted = msgspec.structs.replace(SAMPLE, spread=spread)
        (found,) = (each for each in plain(invoker(wanted, profile(ANY))) if each["kind"] == "StatefulSet")
        text = msgspec.json.encode(found["spec"]["template"]["spec"]["affinity"]).decode()
        text = text.replace('"release"', "{{ .Release.Name | quote }}")
        made.append(f'{{{{- define "upcall.apart.{spread}" -}}}}\n{text}\n{{{{- end }}}}\n')
    return f"{HEAD}\n{''.join(made)}"


def _template(objects: list[Object], condition: str) -> str:
    marked = [_marked(plain(found)) for found in objects]
    lines = [text for line in stream(marked).splitlines() for text in _line(line)]
    return "\n".join([HEAD, f"{{{{- if {condition} }}}}", *lines, "{{- end }}", ""])


_COUNTS = {"invoker": "M_REPLICAS", "controller": "M_CONTROLLERS"}


def _part(found: Object) -> str:
    part: str = found["metadata"]["labels"]["app.kubernetes.io/component"]
    return part


def _marked(found: Object) -> Object:
    """The object, with marks where values decide more than a word."""
    if found["kind"] == "ConfigMap":
        data = {name: value for name, value in found["data"].items() if not name.startswith(_PLACE)}
        found["data"] = {**data, "M_MORE": "M_MORE"}
    part, spec = _part(found), found.get("spec", {})
    if found["kind"] == "NetworkPolicy" and part == "invoker":
        spec["ingress"][0]["from"][0]["namespaceSelector"] = "M_EVERYWHERE"
    if found["kind"] not in ("StatefulSet", "DaemonSet"):
        return found
    if "replicas" in spec and part in _COUNTS:
        spec["replicas"] = _COUNTS[part]
    claimed = _pod(spec["template"], part)
    if claimed:
        spec["volumeClaimTemplates"] = f"M_CLAIMS_{CLAIMED[part]}"
    return found


def _pod(template: Object, part: str) -> bool:
    """Whether it has data that a volume may keep."""
    spec: dict[str, Any] = template["spec"]
    spec["nodeSelector"] = "M_SELECTOR_INVOKER" if part == "invoker" else "M_SELECTOR"
    spec["imagePullSecrets"] = "M_PULL"
    if part == "invoker":
        spec["tolerations"] = "M_TOLERATIONS"
    if "affinity" in spec:
        spec["affinity"] = "M_AFFINITY"
    if part in ("invoker", "controller"):
        template["metadata"]["annotations"] = {"M_CHECKSUM": "M_CHECKSUM"}
        container = spec["containers"][0]
        for each in (*spec.get("initContainers", ()), container):
            each["envFrom"].append("M_SETTINGS")
        counted = [each for each in container["env"] if each.get("value") == str(SAMPLE.replicas)]
        others = [each for each in container["env"] if each not in counted]
        if counted:
            container["env"] = ["M_COUNT", *others] if others else "M_ENVIRONMENT"
        for variable in others:
            if variable["name"] == "UPCALL_DRIVER":
                variable["value"] = "M_DRIVER"
    kept = {"name": "data", "emptyDir": {}}
    claimed = kept in spec["volumes"]
    spec["volumes"] = ["M_DATA" if volume == kept else volume for volume in spec["volumes"]]
    return claimed


def _line(line: str) -> list[str]:
    """Of the text, with its marks replaced."""
    indent, rest = re.fullmatch(r"( *)(.*)", line).groups()  # type: ignore[union-attr]
    if (found := re.fullmatch(r"(?:- )?(?:\w+: )?(M_[A-Z]+)(_[a-z]+)?", rest)) and found[1] in _BLOCKS:
        text = [each.replace("PART", f'"{(found[2] or "_")[1:]}"') for each in _BLOCKS[found[1]]]
        return [f"{indent}{each}" for each in text]
    start, _, value = rest.rpartition(": ")
    if start and (word := value.strip('"')) in _WORDS:
        return [f"{indent}{start}: {_WORDS[word]}"]
    for number, expression in _PARTS.items():
        rest = rest.replace(f'"{number}"' if f'"{number}"' in rest else number, _quoted(expression))
    return [f"{indent}{_named(rest)}"]


def _quoted(expression: str) -> str:
    """It begins with a number."""
    return expression if expression.endswith("}}") else f'"{expression}"'


def _named(text: str) -> str:
    text = text.replace("[release-", f"[{_RELEASE}-").replace('=\\"namespace\\"', f'=\\"{_SPACE}\\"')
    text = re.sub(r"(?<=[a-z]\.)namespace\b", _SPACE, text)
    return re.sub(r"(?<![\w.-])release-(?=[a-z])", f"{_RELEASE}-", text)
