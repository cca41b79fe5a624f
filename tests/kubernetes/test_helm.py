"""What Helm makes of the chart: the objects of `upcall manifests`, and OpenWhisk's values with their meaning."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tests.kubernetes.charts import CHART, Helm, Object, Refused, by_name, difference, without_digest
from tests.kubernetes.cluster.fixtures import required
from tests.kubernetes.cluster.place import CHECKOUT
from upcall.config import load
from upcall.identity import Surroundings
from upcall.manifests.document import stream
from upcall.manifests.fleet import fleet
from upcall.manifests.invoker import invoker
from upcall.manifests.profiles import ANY, profile
from upcall.manifests.wanted import Wanted
from upcall.model.sizes import Bounds
from upcall.model.store_url import CouchUrl, PostgresUrl, parse_store

MYCLUSTER = CHECKOUT / "tests" / "kubernetes" / "mycluster.yaml"
PASSWORDS = ("--set", "db.auth.password=upcall,operator.password=operator")
ALONE = (
    *("--set", "controller.enabled=false,existingSecret=stores,kafka.connect_string=kafka.example.org:9092"),
    *("--set", "whisk.ingress.apiHostName=api.example.org"),
)
USUAL = Wanted(release="demo", namespace="demo")
OTHERS = msgspec.structs.replace(
    USUAL, secret="stores", kafka="kafka.example.org:9092", api_host="https://api.example.org"
)
PLACED = {"openwhisk-role": "invoker"}


@pytest.fixture(scope="module")
def helm() -> Helm:
    required()
    return Helm()


def replaced(wanted: Wanted, **changes: Any) -> Wanted:
    return msgspec.structs.replace(wanted, **changes)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), USUAL),
        (("--set", "invoker.replicas=3,whisk.containerPool.userMemory=3g"), replaced(USUAL, replicas=3, memory=3072)),
        (("--set", "invoker.containerFactory.impl=docker"), replaced(USUAL, driver="docker")),
        (("--set", "invoker.containerFactory.impl=kubernetes"), replaced(USUAL, driver="kubernetes")),
        (
            ("--set", "docker.registry.name=r.example.org/x/,image.tag=7,invoker.spread=required"),
            replaced(USUAL, registry="r.example.org/x", image="upcall/invoker:7", spread="required"),
        ),
        (
            ("--set", "invoker.scale=hpa,invoker.maxReplicas=7,whisk.containerPool.userMemory=1000m"),
            replaced(USUAL, scaler="hpa", most=7, memory=1000),
        ),
        (
            ("--set", "invoker.scale=hpa,invoker.containerFactory.impl=docker"),
            replaced(USUAL, scaler="hpa", driver="docker"),
        ),
        (
            ("--set", "invoker.scale=keda,metrics.serviceMonitor=true,metrics.prometheusUrl=http://p:1"),
            replaced(USUAL, scaler="keda", monitor=True, prometheus="http://p:1"),
        ),
        (("--set", "k8s.persistence.enabled=true"), replaced(USUAL, volume="default")),
        (
            ("--set", "k8s.persistence.enabled=true,k8s.persistence.explicitStorageClass=fast"),
            replaced(USUAL, volume="fast"),
        ),
    ],
)
def test_a_platform_is_what_the_manifests_say(helm: Helm, words: tuple[str, ...], wanted: Wanted) -> None:
    made = without_digest(helm.objects(*PASSWORDS, *words))
    assert difference(by_name(stream(fleet(wanted, profile(ANY)))), made) == ""


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), OTHERS),
        (
            ("--set", "affinity.enabled=true,toleration.enabled=true,invoker.containerFactory.impl=kubernetes"),
            replaced(
                OTHERS,
                driver="kubernetes",
                node_selector=PLACED,
                tolerations=("openwhisk-role=invoker:NoSchedule",),
            ),
        ),
        (("--set", "invoker.spread=none,imagePullSecrets[0].name=r"), replaced(OTHERS, spread="none", pull_secret="r")),
        (
            ("--set", "invoker.containerFactory.impl=docker,invoker.dockerGroup=998"),
            replaced(OTHERS, driver="docker", docker_group=998),
        ),
        (
            ("--set", "invoker.containerFactory.impl=docker,invoker.daemonSet=true,zookeeper.host=zk"),
            replaced(OTHERS, driver="docker", daemon=True, zookeeper="zk:2181"),
        ),
    ],
)
def test_invokers_alone_are_what_the_manifests_say(helm: Helm, words: tuple[str, ...], wanted: Wanted) -> None:
    made = without_digest(helm.objects(*ALONE, *words))
    assert difference(by_name(stream(invoker(wanted, profile(ANY)))), made) == ""


def test_lint_has_nothing_to_say(helm: Helm) -> None:
    assert "[ERROR]" not in helm("lint", str(CHART), "--strict")


@pytest.fixture(scope="module")
def mine(helm: Helm) -> dict[str, Object]:
    return helm.objects("-f", str(MYCLUSTER), release="owdev", namespace="openwhisk")


def environment(objects: dict[str, Object], name: str) -> dict[str, str]:
    """Of a pod's container, as Kubernetes gives it."""
    pod = objects[name]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        ((kind, chosen),) = source.items()
        if kind == "configMapRef":
            found |= objects[f"ConfigMap/{chosen['name']}"]["data"]
        else:
            found |= objects[f"Secret/{chosen['name']}"]["stringData"]
    return found | {each["name"]: each.get("value", "a-pod-1") for each in container.get("env", [])}


def test_settings_of_a_mycluster_yaml_mean_what_they_mean_to_openwhisk(mine: dict[str, Object]) -> None:
    given = environment(mine, "StatefulSet/owdev-invoker")
    assert given["UPCALL_DRIVER"] == "kubernetes"
    found, remarks = load({"id": "1"}, {**given, "UPCALL_DRIVER": "docker"}, None, "invoker", Surroundings("here"))
    assert remarks == []
    assert isinstance(found.store, CouchUrl)
    assert (found.store.protocol, found.store.host, found.store.port) == ("https", "couchdb.example.org", 6984)
    assert (found.store.username, found.store.password) == ("whisk_admin", "it's $ecret: {yes}")
    assert (found.store.entities, found.store.subjects) == ("prod_whisks", "prod_subjects")
    assert found.brokers is not None
    assert found.brokers.hosts == "kafka-0.example.org:9092,kafka-1.example.org:9092"
    assert (found.brokers.replication_factor, found.brokers.prefix) == (3, "blue")
    assert found.brokers.topics == {
        "invoker.retention.bytes": "1073741824",
        "invoker.retention.ms": "172800000",
        "invoker.segment.bytes": "536870912",
    }
    assert (found.limits.memory, found.limits.logs) == (Bounds(128, 1024, 256), Bounds(0, 20, 10))
    assert (found.limits.concurrency, found.limits.payload) == (Bounds(1, 4, 1), 2097152)
    assert (found.memory, found.api_host) == (4096, "https://openwhisk.example.org")
    assert (found.log_level, found.user_events, found.metrics, found.metrics_tags) == ("debug", True, False, False)
    assert found.docker.extra_env == ("__OW_ALLOW_CONCURRENT=true",)


def test_settings_of_a_mycluster_yaml_reach_controllers(mine: dict[str, Object]) -> None:
    given = environment(mine, "StatefulSet/owdev-controller")
    found, _ = load({}, {**given, "UPCALL_DRIVER": "docker"}, None, "controller", Surroundings("here"))
    assert found.auth is not None
    assert found.auth.startswith("23bc46b1-71f6-4ed5-8c54-816aa4f8c502:")
    assert (found.limits.invocations_per_minute, found.limits.sequence_length) == (999, 40)
    assert (found.balancing.blackbox_fraction, found.balancing.readiness_fraction) == (0.2, 0.5)


def test_a_mycluster_yaml_places_invokers(mine: dict[str, Object]) -> None:
    invokers = mine["StatefulSet/owdev-invoker"]["spec"]
    assert invokers["replicas"] == 3
    pod = invokers["template"]["spec"]
    assert pod["nodeSelector"] == PLACED
    assert pod["tolerations"] == [
        {"key": "openwhisk-role", "operator": "Equal", "value": "invoker", "effect": "NoSchedule"}
    ]
    assert pod["containers"][0]["image"].startswith("registry.example.org/tools/upcall/invoker:")
    assert mine["StatefulSet/owdev-controller"]["spec"]["replicas"] == 2


def test_what_comes_from_outside_is_not_installed(mine: dict[str, Object]) -> None:
    assert not [name for name in mine if name.endswith(("-kafka", "-postgres"))]


def test_an_ingress_leads_to_the_controllers(mine: dict[str, Object]) -> None:
    ingress = mine["Ingress/owdev-controller"]
    assert ingress["spec"]["tls"] == [{"hosts": ["openwhisk.example.org"], "secretName": "openwhisk-tls"}]
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    service = mine[f"Service/{path['backend']['service']['name']}"]
    assert path["backend"]["service"]["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}


@pytest.mark.parametrize(
    "changed",
    ["settings.UPCALL_LOG_LEVEL=debug", "whisk.limits.actionsInvokesPerminute=1", "operator.password=x", "db.url=y"],
)
def test_pods_have_a_mark_of_their_settings_and_of_nothing_else(helm: Helm, changed: str) -> None:
    usual, more, other = (helm.objects(*words) for words in ((), ("--set", "invoker.replicas=2"), ("--set", changed)))
    for part in ("controller", "invoker"):
        name = f"StatefulSet/demo-{part}"
        marks = [made[name]["spec"]["template"]["metadata"]["annotations"] for made in (usual, more, other)]
        assert marks[0] == marks[1] != marks[2]


def test_action_pods_are_isolated_unless_that_is_switched_off(helm: Helm) -> None:
    pods = ("--set", "invoker.containerFactory.impl=kubernetes")
    off = (*pods, "--set", "invoker.containerFactory.kubernetes.isolateUserActions=false")
    one, other = (set(helm.objects(*words)) for words in (pods, off))
    assert one - other == {"NetworkPolicy/demo-upcall-actions"}
    assert other < one


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "kafka.external=true"), "kafka.connect_string: where Kafka is"),
        ((*ALONE, "--set", "existingSecret="), "db.host: where CouchDB is"),
        ((*ALONE, "--set", "whisk.ingress.apiHostName="), "whisk.ingress.apiHostName: how actions reach the API"),
        (("--set", "invoker.daemonSet=true"), "leave daemonSet out, or set impl to docker"),
        (("--set", "invoker.containerFactory.impl=docker,invoker.daemonSet=true"), "zookeeper.connect_string"),
        (("--set", "invoker.containerFactory.impl=mesos"), "impl"),
        (("--set", "whisk.containerPool.userMemory=much"), "userMemory"),
        (("--set", "invoker.containerFactory.kubernetes.replicaCount=0"), "at least one Invoker"),
    ],
)
def test_what_cannot_be_is_refused_with_the_value_that_is_wrong(helm: Helm, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(Refused, match=said):
        helm.objects(*words)


def test_passwords_that_nobody_gave_are_made(helm: Helm) -> None:
    one, other = (helm.objects()["Secret/demo-upcall"]["stringData"] for _ in range(2))
    assert one["POSTGRES_PASSWORD"] in one["UPCALL_STORE"]
    assert len(one["POSTGRES_PASSWORD"]) == 24
    for name in ("POSTGRES_PASSWORD", "UPCALL_OPERATOR_PASSWORD"):
        assert one[name] != other[name]


def test_hostile_values_stay_values(helm: Helm, tmp_path: Path) -> None:
    odd = 'a "b": {c}\n# d\n- \\ {{ fail "no" }}'
    given = {
        "settings": {"UPCALL_NAME": odd},
        "operator": {"password": odd},
        "db": {"auth": {"password": "p@ss:/w?rd#"}},
        "invoker": {"options": odd},
    }
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump(given))
    made = helm.objects("-f", str(tmp_path / "odd.yaml"))
    got = environment(made, "StatefulSet/demo-invoker")
    assert got["UPCALL_NAME"] == got["UPCALL_OPERATOR_PASSWORD"] == got["INVOKER_OPTS"] == odd
    url = parse_store(got["UPCALL_STORE"])
    assert isinstance(url, PostgresUrl)
    assert "p%40ss" in got["UPCALL_STORE"]
