"""A pod says what upstream's says (spec: kubernetes.md §6), and gives a tenant nothing of the cluster."""

import msgspec
import pytest

from upcall.containers.kubernetes.labels import Maker
from upcall.containers.kubernetes.options import Cpu, Object, Place, PodOptions, Storage
from upcall.containers.kubernetes.spec import millicpus, pod, storage
from upcall.ports import ContainerSpec

SPEC = ContainerSpec(
    kind="python:3", image="upcall/python:3.11", memory=256, name="wsk00_1_guest_hello", tenant="guest"
)
OWN = ContainerSpec(kind="blackbox", image="u/i:1", memory=128, name="wsk00_2_guest_own", tenant="guest", pull=True)
MAKER = Maker(invoker=0, release="owdev", instance="6f", boot="1", pod="owdev-invoker-0", uid="u-1")
OPTIONS = PodOptions(namespace="actions", api_host="http://upcall.openwhisk:80")


def made(options: PodOptions = OPTIONS, spec: ContainerSpec = SPEC, maker: Maker = MAKER) -> Object:
    return pod(spec, options, maker, action="hello")


def container(of: Object) -> Object:
    found: Object = next(each for each in of["spec"]["containers"] if each["name"] == "user-action")
    return found


USUAL = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "wsk00-1-guest-hello",
        "namespace": "actions",
        "labels": {
            "name": "wsk00-1-guest-hello",
            "user-action-pod": "true",
            "invoker": "invoker0",
            "release": "owdev",
            "upcall.instance": "6f",
            "upcall.boot": "1",
            "openwhisk/action": "hello",
            "openwhisk/namespace": "guest",
        },
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": "owdev-invoker-0",
                "uid": "u-1",
                "controller": False,
                "blockOwnerDeletion": False,
            }
        ],
    },
    "spec": {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "openwhisk-role", "operator": "In", "values": ["invoker"]}]}
                    ]
                }
            }
        },
        "tolerations": [{"key": "openwhisk-role", "operator": "Equal", "value": "invoker", "effect": "NoSchedule"}],
        "containers": [
            {
                "name": "user-action",
                "image": "upcall/python:3.11",
                "env": [{"name": "__OW_API_HOST", "value": "http://upcall.openwhisk:80"}],
                "ports": [{"name": "action", "containerPort": 8080}],
                "resources": {"requests": {"memory": "256Mi"}, "limits": {"memory": "256Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["NET_RAW", "NET_ADMIN"]},
                },
            }
        ],
    },
}


def test_by_default_it_is_this_and_nothing_else() -> None:
    assert made() == USUAL


def test_a_generic_pod_has_no_tenants_labels() -> None:
    generic = made(spec=msgspec.structs.replace(SPEC, tenant="", name="wsk00_1_prewarm_python3"))
    assert not [name for name in generic["metadata"]["labels"] if name.startswith("openwhisk/")]


def test_outside_of_a_cluster_nobody_owns_it() -> None:
    alone = made(maker=Maker(invoker=0, release="owdev", instance="6f", boot="1"))
    assert "ownerReferences" not in alone["metadata"]


def test_any_node_where_none_is_asked_for() -> None:
    inside = made(PodOptions(namespace="actions", place=None))["spec"]
    assert "affinity" not in inside
    assert "tolerations" not in inside


@pytest.mark.parametrize(("memory", "expected"), [(128, 100), (256, 100), (384, 150), (512, 200), (65536, 4000)])
def test_cpus_go_by_the_memory_within_bounds(memory: int, expected: int) -> None:
    assert millicpus(memory, Cpu(millicpus=100, memory=256, max_millicpus=4000)) == expected


def test_the_disk_goes_by_the_memory_up_to_a_limit_or_is_the_limit() -> None:
    assert storage(256, Storage(limit=2048, factor=1.5)) == 384
    assert storage(4096, Storage(limit=2048, factor=1.5)) == 2048
    assert storage(256, Storage(limit=2048)) == 2048


def test_requests_are_limits() -> None:
    options = PodOptions(
        namespace="a", cpu=Cpu(millicpus=100, memory=256, max_millicpus=4000), storage=Storage(limit=64)
    )
    amounts = {"memory": "256Mi", "cpu": "100m", "ephemeral-storage": "64Mi"}
    assert container(made(options))["resources"] == {"requests": amounts, "limits": amounts}


def test_values_of_variables_are_taken_as_they_are() -> None:
    extra = ("A=$(__OW_API_HOST)", "B=$$x", "C", "D=1", "D=2", "E=a=b")
    options = PodOptions(namespace="a", extra_env=extra, field_env=(("NODE", "spec.nodeName"),))
    assert container(made(options))["env"] == [
        {"name": "A", "value": "$$(__OW_API_HOST)"},
        {"name": "B", "value": "$$$$x"},
        {"name": "C", "value": ""},
        {"name": "D", "value": "2"},
        {"name": "E", "value": "a=b"},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ]


def test_a_users_image_is_asked_for_each_time_where_namespaces_have_credentials_of_their_own() -> None:
    apart = PodOptions(namespace="a", apart=True)
    assert container(made(apart, OWN))["imagePullPolicy"] == "Always"
    assert "imagePullPolicy" not in container(made(apart, SPEC))
    assert "imagePullPolicy" not in container(made(spec=OWN))


def test_secrets_of_the_operator_come_before_the_owners() -> None:
    given = pod(OWN, PodOptions(namespace="a", pull_secrets=("all",)), MAKER, secrets=("guests", "all"))
    assert given["spec"]["imagePullSecrets"] == [{"name": "all"}, {"name": "guests"}]


TEMPLATE = {
    "metadata": {
        "generateName": "x-",
        "name": "x",
        "namespace": "x",
        "labels": {"team": "a", "user-action-pod": "false", "invoker": "invoker9"},
        "annotations": {"a": "b"},
        "ownerReferences": [{"uid": "x"}],
    },
    "spec": {
        "restartPolicy": "Always",
        "automountServiceAccountToken": True,
        "enableServiceLinks": True,
        "terminationGracePeriodSeconds": 5,
        "serviceAccountName": "mesh",
        "securityContext": None,
        "imagePullSecrets": [{"name": "own"}, {"name": "all"}],
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},
                        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]},
                    ]
                }
            }
        },
        "containers": [
            {"name": "sidecar", "image": "proxy"},
            {
                "name": "user-action",
                "image": "x",
                "env": [{"name": "X"}],
                "ports": [{"containerPort": 1}],
                "resources": {"limits": {"nvidia.com/gpu": "1"}},
                "command": ["/run"],
                "securityContext": {
                    "allowPrivilegeEscalation": True,
                    "capabilities": {"add": ["NET_RAW", "SYS_TIME"], "drop": ["CHOWN", "NET_RAW"]},
                },
            },
        ],
    },
}


def test_of_a_template_what_is_ours_is_replaced_and_the_rest_stays() -> None:
    given = made(PodOptions(namespace="actions", template=TEMPLATE, pull_secrets=("all",)))
    about, inside = given["metadata"], given["spec"]
    assert (about["name"], about["namespace"], about["annotations"]) == ("wsk00-1-guest-hello", "actions", {"a": "b"})
    assert "generateName" not in about
    assert about["labels"]["team"] == "a"
    assert (about["labels"]["user-action-pod"], about["labels"]["invoker"]) == ("true", "invoker0")
    assert [owner["uid"] for owner in about["ownerReferences"]] == ["u-1"]
    assert (inside["restartPolicy"], inside["enableServiceLinks"]) == ("Never", False)
    assert inside["terminationGracePeriodSeconds"] == 5
    assert inside["containers"][0] == {"name": "sidecar", "image": "proxy"}
    own = container(given)
    assert (own["image"], own["env"], own["command"]) == ("upcall/python:3.11", [], ["/run"])
    assert own["ports"] == [{"name": "action", "containerPort": 8080}]
    assert own["resources"] == {"requests": {"memory": "256Mi"}, "limits": {"memory": "256Mi"}}
    assert inside["imagePullSecrets"] == [{"name": "own"}, {"name": "all"}]
    assert [each["key"] for each in inside["tolerations"]] == ["gpu", "openwhisk-role"]


def test_no_template_gives_a_tenant_the_clusters_token() -> None:
    assert made(PodOptions(namespace="a", template=TEMPLATE))["spec"]["automountServiceAccountToken"] is False


def test_no_template_gives_back_what_is_dropped() -> None:
    rights = container(made(PodOptions(namespace="a", template=TEMPLATE)))["securityContext"]
    assert rights == {
        "allowPrivilegeEscalation": True,
        "capabilities": {"add": ["SYS_TIME"], "drop": ["CHOWN", "NET_RAW", "NET_ADMIN"]},
    }


def test_our_label_is_asked_of_each_alternative_of_a_template() -> None:
    inside = made(PodOptions(namespace="a", template=TEMPLATE, place=Place(key="k", value="v")))["spec"]
    wanted = {"key": "k", "operator": "In", "values": ["v"]}
    terms = inside["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [term["matchExpressions"][-1] for term in terms] == [wanted, wanted]
    assert terms[0]["matchExpressions"][0]["key"] == "zone"
    assert "matchFields" in terms[1]


def test_a_template_is_not_changed_by_what_is_made_of_it() -> None:
    before = msgspec.json.encode(TEMPLATE)
    made(PodOptions(namespace="a", template=TEMPLATE, pull_secrets=("b",)))
    assert msgspec.json.encode(TEMPLATE) == before
