"""Settings of containers, as manifests give them: all that is missing or wrong is told at once."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from upcall.config import survey
from upcall.doctor import examine
from upcall.doctor.checks.configuration import faults, given
from upcall.doctor.facts.deployment import Object, parse
from upcall.doctor.finding import Finding
from upcall.errors import Misconfigured

COUCH = {
    "DB_PROVIDER": "CouchDB", "DB_HOST": "couchdb", "DB_PORT": "5984", "DB_WHISK_AUTHS": "subjects",
    "DB_WHISK_ACTIONS": "whisks", "DB_WHISK_ACTIVATIONS": "activations",
}  # fmt: skip
WHOLE = {**COUCH, "KAFKA_HOST": "kafka", "KAFKA_HOST_PORT": "9092"}
RUNTIMES = (
    '{"runtimes": {"python": [\n  {"kind": "python:3", "image": {"prefix": "openwhisk", "name": "python3action"}}\n]}}'
)


def invoker(*env: Object, image: str = "upcall/invoker:1", **container: Any) -> Object:
    made = {"name": "invoker", "image": image, "env": list(env), **container}
    template = {"containers": [made], "terminationGracePeriodSeconds": 330, "enableServiceLinks": False}
    return {
        "kind": "StatefulSet", "apiVersion": "apps/v1", "metadata": {"name": "invoker"},
        "spec": {"replicas": 1, "template": {"spec": template}},
    }  # fmt: skip


def plain(values: dict[str, str]) -> list[Object]:
    return [{"name": name, "value": value} for name, value in values.items()]


def config(name: str = "settings", kind: str = "ConfigMap", **data: str) -> Object:
    return {"kind": kind, "apiVersion": "v1", "metadata": {"name": name}, "data": data}


def told(*objects: Object) -> list[Finding]:
    text = "\n---\n".join(json.dumps(each) for each in objects)
    return list(examine.manifest(parse(text, "invoker.yml")).findings)


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in WHOLE.items() if name not in names}


@pytest.mark.parametrize("image", ["upcall/invoker:1", "openwhisk/invoker:latest"])
def test_settings_that_are_whole(image: str) -> None:
    assert told(invoker(*plain(WHOLE), image=image)) == []
    assert told(invoker(image=image)) == []  # told nothing: its image may know


@pytest.mark.parametrize("image", ["upcall/invoker:1", "openwhisk/invoker:latest"])
def test_all_that_is_missing_is_told_at_once_in_both_spellings(image: str) -> None:
    names = ("KAFKA_HOST", "KAFKA_HOST_PORT", "DB_WHISK_ACTIONS", "DB_HOST")
    (found,) = told(invoker(*plain(without(*names)), image=image))
    assert (found.id, found.where) == ("CFG-01", "StatefulSet invoker")
    for name in (*names, "KAFKA_HOSTS", "CONFIG_whisk_couchdb_databases_WhiskEntity", "CONFIG_whisk_couchdb_host"):
        assert name in found.cause, name


def test_variables_of_a_config_map_and_a_secret_of_the_same_manifest() -> None:
    secret = config("keys", "Secret", KAFKA_HOST_PORT=base64.b64encode(b"9092").decode())
    sources = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}}]
    assert told(invoker(envFrom=sources), config(**without("KAFKA_HOST_PORT")), secret) == []
    (found,) = told(invoker(envFrom=sources), config(**without("DB_HOST", "KAFKA_HOST_PORT")), secret)
    assert found.id == "CFG-01"


def test_what_a_manifest_does_not_have_is_blamed_on_nobody() -> None:
    elsewhere = [{"secretRef": {"name": "elsewhere"}}]
    assert told(invoker(*plain(COUCH), envFrom=elsewhere)) == []
    keys = {"DB_HOST": "host", "KAFKA_HOST": "kafka", "KAFKA_HOST_PORT": "port", "DB_PORT": "port"}
    references = [
        {"name": name, "valueFrom": {"configMapKeyRef": {"name": "elsewhere", "key": key}}}
        for name, key in keys.items()
    ]
    assert told(invoker(*plain(without(*keys)), *references)) == []


def test_a_key_that_the_config_map_lacks() -> None:
    reference = {"name": "KAFKA_HOSTS", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "kafka"}}}
    assert told(invoker(*plain(COUCH), reference), config(kafka="kafka:9092")) == []


def test_a_wrong_value_of_ours_is_told_and_of_others_not() -> None:
    wrong = plain({**WHOLE, "CONFIG_whisk_containerPool_userMemory": "much"})
    (found,) = told(invoker(*wrong))
    assert found.id == "CFG-01"
    assert "much" in found.cause
    assert told(invoker(*wrong, image="openwhisk/invoker")) == []


def test_brokers_of_the_command_line() -> None:
    command = ["upcall", "invoker", "--kafka-hosts", "kafka:9092"]
    assert told(invoker(*plain(COUCH), command=command)) == []
    (found,) = told(invoker(*plain(COUCH), command=command[:2]))
    assert found.id == "CFG-01"


def test_a_manifest_of_runtimes_in_a_config_map_is_told_with_its_place() -> None:
    broken = config(**WHOLE, RUNTIMES_MANIFEST=RUNTIMES.replace('"python:3",', '"python:3"'))
    (found,) = told(invoker(envFrom=[{"configMapRef": {"name": "settings"}}]), broken)
    assert found.id == "CFG-02"
    assert "line 2, column 23" in found.cause
    assert "ConfigMap settings" in found.evidence


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (RUNTIMES, []),
        ("{", ["line 1, column 2: Expecting property name enclosed in double quotes"]),
        ("[]", ["it has no object `runtimes`"]),
        ('{"runtimes": []}', ["it has no object `runtimes`"]),
        ('{"runtimes": {"go": {}}}', ["line 1: go is no list of kinds"]),
        (
            '{"runtimes": {\n"go": [{"kind": "go:1", "image": {"name": "a"}}, {"kind": "go", "image": {"name": "b"}}],'
            '\n"php": [{"kind": "php:8",\n"image": {"name": "a b"}}, {"kind": "php:7"}]}}',
            [
                "line 2: go has several kinds, and none with default: true",
                "line 3: php:8: image of php:8: 'a b' is no name of an image",
                "line 4: php:7: Object missing required field `image`",
                "line 3: php has several kinds, and none with default: true",
            ],
        ),
        ("{" + '"a":{' * 100_000, None),
    ],
)
def test_what_is_wrong_with_a_manifest_of_runtimes(text: str, wrong: list[str] | None) -> None:
    if wrong is None:
        assert faults(text)
    else:
        assert len(faults(text)) == len(wrong)
        assert all(each.startswith(start[:40]) for each, start in zip(faults(text), wrong, strict=True)), faults(text)


def test_a_process_is_told_all_at_once(tmp_path: Path) -> None:
    file = tmp_path / "runtimes.json"
    file.write_text("{")
    environment = {"RUNTIMES_MANIFEST": f"@{file}", "UPCALL_PORT": "x"}
    found = {each.id: each.cause for each in given(survey({}, environment, None, "controller"))}
    assert set(found) == {"CFG-01", "CFG-02"}
    assert "UPCALL_PORT" in found["CFG-01"]
    assert "KAFKA_HOST_PORT" in found["CFG-01"]
    assert "line 1, column 2" in found["CFG-02"]


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "kind: StatefulSet\nmetadata: 7",
        "kind: StatefulSet\nspec: [1]",
        "kind: Service\nspec: [1]",
        "kind: DaemonSet\nspec: {template: {spec: {containers: [7]}}}",
        "kind: DaemonSet\nspec: {template: {spec: {volumes: x}}}",
        "kind: DaemonSet\nspec: {template: {spec: {containers: [{env: [7]}]}}}",
        "kind: DaemonSet\nspec: {template: {spec: {containers: [{envFrom: [x]}]}}}",
        f"{BOMB}kind: DaemonSet\nspec: {{template: {{spec: {{containers: [{{command: *a59}}]}}}}}}",
        "kind: List\nitems: [1]",
        "kind: ConfigMap\ndata: [1]",
        "kind: StatefulSet\nspec: {replicas: many}",
        "kind: 2001-13-45",
        "kind: ! 2001-99-99",
    ],
)
def test_what_has_another_shape_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"odd\.yml"):
        examine.manifest(parse(text, "odd.yml"))
