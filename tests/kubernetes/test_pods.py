"""A real API server takes what the driver makes of any action and option; a tenant finds nothing of the cluster."""

import json
import time
from typing import Any

import msgspec
import pytest

from tests.kubernetes import pods
from tests.kubernetes.cluster.cluster import Refused
from tests.kubernetes.cluster.fixtures import Cluster
from upcall.containers.kubernetes.labels import Maker
from upcall.containers.kubernetes.options import Cpu, Object, Place, PodOptions, Storage
from upcall.containers.kubernetes.policy import Reach, policies
from upcall.containers.kubernetes.secrets import secret
from upcall.containers.kubernetes.spec import pod
from upcall.invoker.naming import container_name, name_prefix
from upcall.model.names import InvokerId
from upcall.ports import ContainerSpec

LOOK = """
import json, os, pathlib, time
print(json.dumps({
    "env": dict(os.environ),
    "token": pathlib.Path("/var/run/secrets/kubernetes.io").exists(),
    "status": dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line),
    "mounts": open("/proc/mounts").read(),
}), flush=True)
time.sleep(600)
"""
EVERYTHING = {
    "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
    "spec": {
        "volumes": [{"name": "scratch", "emptyDir": {}}],
        "automountServiceAccountToken": True,
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "imagePullSecrets": [{"name": "own"}],
        "containers": [
            {
                "name": "user-action",
                "command": ["python3", "-c", LOOK],
                "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}},
            }
        ],
    },
}
DROPPED = 1 << 12 | 1 << 13
"""CAP_NET_ADMIN, CAP_NET_RAW."""


def told(cluster: Cluster, namespace: str, pod: str) -> Any:
    """What LOOK prints, as soon as it does."""
    end = time.monotonic() + 30
    while not (text := cluster.kubectl("-n", namespace, "logs", pod)).endswith("\n") and time.monotonic() < end:
        time.sleep(0.2)
    return json.loads(text)


def test_a_pod_with_every_option_runs(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("label", "node", cluster.node, "upcall-test-role=actions", "--overwrite")
    spec = msgspec.structs.replace(pods.SPEC, memory=64)
    name = pods.make(
        cluster,
        namespace,
        "",
        spec,
        cpu=Cpu(millicpus=50, memory=128, max_millicpus=1000),
        storage=Storage(limit=64, factor=0.5),
        place=Place(key="upcall-test-role", value="actions"),
        template=EVERYTHING,
        extra_env=("A=$(KUBERNETES)$$x", "B"),
        field_env=(("NODE", "spec.nodeName"),),
        pull_secrets=("all",),
        api_host="http://upcall.openwhisk",
    )
    found = told(cluster, namespace, name)
    environment = found["env"]
    assert environment["A"] == "$(KUBERNETES)$$x"
    assert (environment["B"], environment["NODE"]) == ("", cluster.node)
    assert environment["__OW_API_HOST"] == "http://upcall.openwhisk"
    assert "/scratch" in found["mounts"]
    assert not int(found["status"]["CapBnd"], 16) & DROPPED
    assert found["status"]["NoNewPrivs"] == "1"
    assert found["status"]["Seccomp"] == "2"
    shown = pods.shown(cluster, namespace, name)
    assert shown["metadata"]["labels"]["team"] == "a"
    assert shown["status"]["qosClass"] == "Guaranteed"


def test_a_tenant_gets_no_token_and_no_names_of_services(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("-n", namespace, "create", "service", "clusterip", "secret-service", "--tcp=80")
    name = pods.make(cluster, namespace, "", template=EVERYTHING)
    found = told(cluster, namespace, name)
    assert not found["token"]
    assert "serviceaccount" not in found["mounts"]
    assert not [each for each in found["env"] if each.startswith("SECRET_SERVICE")]


HOSTILE = [
    "guest",
    "user@example.com",
    "a" * 256,
    "ünïcödé ☃",
    "--",
    "...",
    "a: b\n- c: {d: [e",
    '"; rm -rf /',
    "${HOME}$(ls)",
    "(x)",
    "_",
    "A.B-C_D|E &F",
    "0",
]


def test_no_name_of_a_namespace_or_an_action_is_refused(cluster: Cluster, namespace: str) -> None:
    made = [
        pod(
            ContainerSpec(
                kind="blackbox",
                image="guest/image:1",
                memory=128,
                name=container_name(prefix, number, text, text),
                tenant=text,
                pull=True,
            ),
            PodOptions(namespace=namespace),
            Maker(invoker=1, release=text, instance=text, boot=text),
            action=text,
        )
        for prefix in (name_prefix(InvokerId(instance=1, user_memory="1 GB", unique_name=text)) for text in HOSTILE)
        for number, text in enumerate(HOSTILE)
    ]
    assert len({each["metadata"]["name"] for each in made}) == len(made)
    taken(cluster, namespace, made)


def taken(cluster: Cluster, namespace: str, objects: list[Object]) -> str:
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    return cluster.kubectl("-n", namespace, "create", "--dry-run=server", "-o", "name", "-f", "-", input=items)


def test_pods_pass_the_baseline_of_pod_security(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=baseline")
    taken(cluster, namespace, [pod(pods.SPEC, PodOptions(namespace=namespace), pods.MAKER)])
    privileged: Any = {"spec": {"hostNetwork": True}}
    with pytest.raises(Refused, match="baseline"):
        taken(cluster, namespace, [pod(pods.SPEC, PodOptions(namespace=namespace, template=privileged), pods.MAKER)])


@pytest.mark.parametrize("reach", ["private", "none", "host"])
def test_the_api_takes_the_policies(cluster: Cluster, namespace: str, reach: Reach) -> None:
    """This cluster's network carries none out: what they mean, tests/unit/containers/kubernetes/test_policy.py says."""
    rules = policies(namespace, {"app": "x"}, home="openwhisk", release="r", reach=reach, inner=("203.0.113.0/24",))
    assert taken(cluster, namespace, rules) == "networkpolicy.networking.k8s.io/r-upcall-actions\n"


def test_the_api_takes_a_pull_secret(cluster: Cluster, namespace: str) -> None:
    auth = {"username": "joe", "password": "ß:\"'", "serveraddress": "reg.example:5000"}
    assert taken(cluster, namespace, [secret("upcall-pull-1", namespace, pods.MAKER, auth)]) == "secret/upcall-pull-1\n"


def test_a_pod_goes_with_the_invokers_own(cluster: Cluster, namespace: str) -> None:
    """Nobody has to look after what a crash leaves."""
    owner = pods.make(cluster, namespace, pods.ACTION, msgspec.structs.replace(pods.SPEC, name="invoker_0"))
    uid = pods.shown(cluster, namespace, owner)["metadata"]["uid"]
    maker = Maker(invoker=0, release="r", instance="i", boot="b", pod=owner, uid=uid)
    options = PodOptions(namespace=namespace, place=None, template=pods.template(pods.ACTION))
    made = pod(pods.SPEC, options, maker)
    cluster.kubectl("create", "-f", "-", input=json.dumps(made))
    cluster.kubectl("-n", namespace, "delete", "pod", owner)
    cluster.kubectl("-n", namespace, "wait", "--for=delete", f"pod/{made['metadata']['name']}", "--timeout=60s")


def test_a_container_that_has_died_is_not_begun_again(cluster: Cluster, namespace: str) -> None:
    name = pods.make(cluster, namespace, "import time; time.sleep(1); raise SystemExit(3)")
    cluster.kubectl("-n", namespace, "wait", "--for=jsonpath={.status.phase}=Failed", f"pod/{name}", "--timeout=30s")
    [status] = pods.shown(cluster, namespace, name)["status"]["containerStatuses"]
    assert (status["state"]["terminated"]["exitCode"], status["restartCount"]) == (3, 0)
