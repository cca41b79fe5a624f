"""A pod template is read from text or file, and what is wrong with it is said with its place."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.containers.kubernetes.labels import Maker
from upcall.containers.kubernetes.options import PodOptions
from upcall.containers.kubernetes.spec import pod
from upcall.containers.kubernetes.template import read
from upcall.ports import ContainerSpec

TEXT = """
apiVersion: v1
kind: Pod
metadata:
  annotations: {since: 2026-11-24}
spec:
  containers:
  - name: user-action
    securityContext:
"""
FOUND = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"annotations": {"since": "2026-11-24"}},
    "spec": {"containers": [{"name": "user-action", "securityContext": None}]},
}
SPEC = ContainerSpec(kind="python:3", image="i", memory=256, name="wsk00_1_guest_hello")
MAKER = Maker(invoker=0, release="r", instance="i", boot="b")


def test_inline_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "pod.yml"
    file.write_text(TEXT)
    assert read(TEXT) == read(f"file:{file}") == FOUND
    assert read(" ") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "line 1"),
        ("- a", "one YAML document of kind Pod"),
        ("kind: Deployment", "one YAML document of kind Pod"),
        ("a: 1\n---\nb: 2", "line 2: but found another document"),
        ("spec: 5", "spec is to be a mapping"),
        ("spec: {containers: {}}", "spec.containers is to be a list"),
        ("spec: {containers: [{image: x}]}", r"spec.containers\[0\] has no name"),
        ("spec: {containers: [5]}", r"spec.containers\[0\] is to be a mapping"),
        ("spec: {containers: [{name: a, securityContext: []}]}", "container a: securityContext is to be a mapping"),
        ("metadata: {labels: []}", "metadata.labels is to be a mapping"),
        ("a: &a {b: *a}", "no YAML of a pod"),
        ("a: !!python/object:os.system {}", "no YAML, line 1"),
        ("file:/nowhere/pod.yml", "/nowhere/pod.yml cannot be read: No such file"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(text)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "pod.yml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="no text in UTF-8"):
        read(f"file:{file}")


PATHS = (
    "metadata.labels.name",
    "spec.securityContext.capabilities.add.drop",
    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms.matchExpressions",
    "spec.containers.name.securityContext",
    "spec.tolerations.imagePullSecrets",
)
NAMES = sorted({name for path in PATHS for name in path.split(".")})
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_what_is_not_refused_can_be_built_on(found: dict[str, object]) -> None:
    try:
        template = read(json.dumps(found))
    except ValueError:
        return
    made = pod(SPEC, PodOptions(namespace="a", template=template, pull_secrets=("s",)), MAKER)
    assert made["spec"]["automountServiceAccountToken"] is False
