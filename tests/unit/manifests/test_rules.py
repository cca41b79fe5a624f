"""What holds for every manifest, whatever the nodes are and whatever was wished for (spec: kubernetes.md §11)."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.manifests.golden import by_kind, objects, pod, rows, workloads
from upcall.catalogue import SETTINGS
from upcall.config import survey
from upcall.identity import Surroundings
from upcall.manifests.document import Object, plain
from upcall.manifests.fleet import fleet
from upcall.manifests.old import old
from upcall.manifests.profiles import PROFILES
from upcall.manifests.single import single
from upcall.manifests.wanted import Wanted

ANY = PROFILES["any"]
DOCKER = PROFILES["ubuntu-docker"]
PLATFORM = Wanted(namespace="upcall", replicas=2)
EVERYTHING: list[list[Object]] = [objects(row, wanted) for row, wanted in rows()] + [
    plain(single(PLATFORM, ANY)),
    plain(single(Wanted(driver="docker", volume="default"), DOCKER)),
    plain(single(Wanted(driver="kubernetes", volume="default"), ANY)),
    plain(fleet(PLATFORM, ANY)),
    plain(fleet(Wanted(driver="kubernetes", release="a", volume="default"), ANY)),
    plain(old(Wanted(driver="docker", replicas=2), DOCKER)),
    plain(old(Wanted(driver="docker", release="owdev", arch="arm64"), PROFILES["flatcar"])),
]
SECRET = re.compile(r"PASSWORD|USERNAME|password|username|UPCALL_STORE|UPCALL_AUTH")
SOURCES = {"configMapRef": "ConfigMap", "secretRef": "Secret"}


def containers() -> list[tuple[list[Object], Object, dict[str, Any]]]:
    return [(found, each, pod(each)["containers"][0]) for found in EVERYTHING for each in workloads(found)]


def settings(found: list[Object], container: dict[str, Any]) -> dict[str, str]:
    """The environment, without what comes from elsewhere."""
    maps = {(each["kind"], each["metadata"]["name"]): each for each in found}
    given: dict[str, str] = {}
    for source in container.get("envFrom", []):
        ((kind, reference),) = source.items()
        named = maps.get((SOURCES[kind], reference["name"]), {})
        given |= {**named.get("data", {}), **named.get("stringData", {})}
    return given | {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}


def test_each_path_of_a_host_says_what_it_is() -> None:
    paths = [
        volume["hostPath"]
        for _, workload, _ in containers()
        for volume in pod(workload)["volumes"]
        if "hostPath" in volume
    ]
    assert paths
    assert all(path["type"] in ("Socket", "Directory", "DirectoryOrCreate", "File") for path in paths)


def test_nothing_secret_is_outside_of_secrets() -> None:
    for found in EVERYTHING:
        assert not any(SECRET.search(key) for each in by_kind(found, "ConfigMap") for key in each["data"])
        assert "hushhush" not in str([each for each in found if each["kind"] != "Secret"])
    for _, _, container in containers():
        plainly = [
            each["name"] for each in container.get("env", []) if "value" in each and each["name"] != "POSTGRES_USER"
        ]
        assert not any(SECRET.search(name) for name in plainly)


def test_what_is_chosen_by_labels_has_them() -> None:
    for found in EVERYTHING:
        pods = [each["spec"]["template"]["metadata"]["labels"] for each in workloads(found)]
        for each in workloads(found):
            assert (
                each["spec"]["selector"]["matchLabels"].items()
                <= each["spec"]["template"]["metadata"]["labels"].items()
            )
        chosen = [each["spec"]["selector"] for each in by_kind(found, "Service")]
        chosen += [each["spec"]["selector"]["matchLabels"] for each in by_kind(found, "PodDisruptionBudget")]
        for selector in chosen:
            assert len([labels for labels in pods if selector.items() <= labels.items()]) == 1


def test_what_is_named_is_there() -> None:
    for found, workload, container in containers():
        spec, names = pod(workload), {(each["kind"], each["metadata"]["name"]) for each in found}
        if "serviceAccountName" in spec:
            assert ("ServiceAccount", spec["serviceAccountName"]) in names
        if workload["kind"] == "StatefulSet":
            assert ("Service", workload["spec"]["serviceName"]) in names
        claims = [each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", [])]
        volumes = [each["name"] for each in spec["volumes"]] + claims
        assert sorted(volumes) == sorted({each["name"] for each in container["volumeMounts"]})
        assert len(volumes) == len(set(volumes))
        for source in container.get("envFrom", []):
            ((kind, reference),) = source.items()
            assert (SOURCES[kind], reference["name"]) in names or reference["name"] == "mine"


def test_all_is_in_one_namespace_that_is_made_first() -> None:
    for found in EVERYTHING:
        first, *others = found
        assert first["kind"] == "Namespace"
        assert {each["metadata"]["namespace"] for each in others} == {first["metadata"]["name"]}
        assert len({(each["kind"], each["metadata"]["name"]) for each in found}) == len(found)


def test_the_number_of_invokers_is_one_number() -> None:
    seen = set()
    for found, workload, container in containers():
        if container["name"] != "invoker":
            continue
        counts = {each["value"] for each in container["env"] if each["name"] in ("INVOKER_COUNT", "INVOKER_INSTANCES")}
        scaled = by_kind(found, "HorizontalPodAutoscaler") + by_kind(found, "ScaledObject")
        assert counts == ({str(workload["spec"]["replicas"])} if "replicas" in workload["spec"] else set())
        assert ("replicas" in workload["spec"]) == (workload["kind"] == "StatefulSet" and not scaled)
        seen |= counts
    assert seen == {"1", "2", "3"}


def test_pods_are_looked_at_have_an_end_and_no_links() -> None:
    for _, workload, container in containers():
        spec = pod(workload)
        assert spec["enableServiceLinks"] is False
        assert "limits" in container.get("resources", {}) or container.get("command") is not None, "2017 had none"
        if container["name"] in ("invoker", "controller", "upcall"):
            assert spec["terminationGracePeriodSeconds"] == 330
            probes = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
            assert probes == {"startupProbe": "/ping", "livenessProbe": "/ping", "readinessProbe": "/ready"}
            assert container["imagePullPolicy"] == "IfNotPresent"


def test_who_is_sent_work_lingers_and_still_has_its_time() -> None:
    """Callers and controllers find another one meanwhile."""
    seen = set()
    for found, workload, container in containers():
        hooks = container.get("lifecycle", {})
        called = container["name"] in ("controller", "upcall", "invoker")
        assert hooks == ({"preStop": {"exec": {"command": ["sleep", "5"]}}} if called else {})
        if container["name"] in ("controller", "upcall", "invoker"):
            grace = int(settings(found, container)["UPCALL_GRACE"].removesuffix(" s"))
            assert 300 <= grace <= pod(workload)["terminationGracePeriodSeconds"] - 5 - 10
        seen.add(container["name"])
    assert seen == {"controller", "upcall", "invoker", "kafka", "postgres"}


def test_memory_that_is_asked_for_is_the_bound() -> None:
    for _, _, container in containers():
        if resources := container.get("resources"):
            assert resources["requests"]["memory"] == resources["limits"]["memory"]


@pytest.mark.parametrize("driver", ["process", "docker"])
def test_roles_have_what_is_used_and_no_more(driver: Any) -> None:
    found = objects(DOCKER, Wanted(driver=driver))
    (role,) = by_kind(found, "Role")
    own = {"apiGroups": ["apps"], "resources": ["statefulsets"], "resourceNames": ["invoker"], "verbs": ["get"]}
    assert role["rules"] == [own]
    assert by_kind(objects(DOCKER, Wanted(driver=driver, daemon=True, zookeeper="z:1")), "Role") == []


def test_the_driver_of_pods_may_make_pods_and_needs_no_rights_in_its_own() -> None:
    found = objects(PROFILES["talos"], Wanted(driver="kubernetes"))
    (role,) = by_kind(found, "Role")
    assert {"apiGroups": [""], "resources": ["pods"]}.items() <= role["rules"][1].items()
    (workload,) = workloads(found)
    spec, container = pod(workload), pod(workload)["containers"][0]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert found[0]["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "baseline"}, (
        "users' images are root"
    )
    assert not any("hostPath" in volume for volume in spec["volumes"])


def test_images_of_kinds_are_where_the_invokers_is_and_a_given_manifest_says_it_itself() -> None:
    def told(**wishes: str) -> set[tuple[str, str]]:
        found = objects(PROFILES["talos"], Wanted(driver="kubernetes", **wishes))  # type: ignore[arg-type]
        (workload,) = workloads(found)
        return {*settings(found, pod(workload)["containers"][0]).items()}

    registry, secret = ("UPCALL_DOCKER_REGISTRY", "r.example/x"), ("UPCALL_KUBERNETES_PULL_SECRETS", "key")
    assert {registry, secret} <= told(registry="r.example/x", pull_secret="key")
    assert registry not in told(registry="r.example/x", runtimes='{"runtimes": {}}')


def test_who_scales_looks_at_what_invokers_show() -> None:
    """And at what of their memory and messages is in use, on average of an Invoker."""
    shown = (Path(__file__).parents[3] / "docs" / "reference" / "metrics.md").read_text()
    (hpa,) = by_kind(objects(ANY, Wanted(scaler="hpa", memory=1000)), "HorizontalPodAutoscaler")
    pods = {each["pods"]["metric"]["name"]: each["pods"]["target"]["averageValue"] for each in hpa["spec"]["metrics"]}
    assert list(pods.values()) == [str(700 * 1024**2), "4"]
    assert all(f"`{name}`" in shown for name in pods)
    (keda,) = by_kind(objects(ANY, Wanted(scaler="keda", memory=1000, namespace="whisk")), "ScaledObject")
    asked = {each["metadata"]["query"]: each["metadata"]["threshold"] for each in keda["spec"]["triggers"]}
    assert asked == {f'sum({name}{{namespace="whisk",pod=~"invoker-[0-9]+"}})': value for name, value in pods.items()}


def test_who_watches_comes_from_another_namespace_and_actions_never() -> None:
    for monitor in (False, True):
        (policy,) = by_kind(objects(ANY, Wanted(monitor=monitor)), "NetworkPolicy")
        ((source,),) = [each["from"] for each in policy["spec"]["ingress"]]
        assert ("namespaceSelector" in source) == monitor
        assert source["podSelector"]["matchExpressions"] == [{"key": "user-action-pod", "operator": "DoesNotExist"}]


def known() -> set[str]:
    return {setting.variable for setting in SETTINGS}


def test_each_role_takes_every_variable_that_it_is_given() -> None:
    for found, workload, container in containers():
        if container["name"] not in ("invoker", "controller", "upcall"):
            continue
        given = settings(found, container)
        role: Any = {"upcall": "serve"}.get(container["name"], container["name"])
        flags = {"invoker": {"id": "0"}, "controller": {}, "serve": {}}[role]
        if "mine" in str(container.get("envFrom")):
            given["UPCALL_STORE"] = "postgresql://u@h/n"
        seen = survey(flags, given, None, role, Surroundings("here"))
        assert not [fate for fate in seen.fates if fate.kind == "unknown"]
        assert not {name for name in given if name.startswith("UPCALL_")} - known()
        assert not seen.faults, (workload["metadata"], given)


def test_an_invoker_with_docker_is_preceded_by_the_doctor_with_what_it_has_itself() -> None:
    """And others, whose nodes have nothing to decide, are not."""
    for row, wanted in rows():
        for workload in workloads(objects(row, wanted)):
            spec = workload["spec"]["template"]["spec"]
            (main, *_), first = spec["containers"], spec.get("initContainers", [])
            docker = any(each["name"] == "dockersock" for each in spec["volumes"])
            assert [each["command"][:3] for each in first] == ([["upcall", "doctor", "--init"]] if docker else [])
            for each in first:
                same = ("image", "envFrom", "volumeMounts", "securityContext", "resources")
                assert {name: each[name] for name in same} == {name: main[name] for name in same}
