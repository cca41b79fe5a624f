"""The Kubernetes driver's settings: ours, OpenWhisk's keys for them, and what pods are made of by them."""

from pathlib import Path

import pytest

from upcall.app.pods import options
from upcall.config import Settings, load
from upcall.containers.kubernetes.options import Cpu, Place, PodOptions, Storage
from upcall.errors import Misconfigured

KEYS = "CONFIG_whisk_kubernetes"


def settings(environment: dict[str, str] | None = None) -> Settings:
    return load({}, environment or {})[0]


def pods(environment: dict[str, str]) -> PodOptions:
    return options(settings(environment), "actions", {}, "", ())


def test_the_defaults_are_upstreams() -> None:
    plain = settings().kubernetes
    assert (plain.master, plain.namespace, plain.release, plain.pod_template) == ("", "", "upcall", "")
    assert (plain.times_run, plain.times_delete) == (60, 30)
    assert pods({}) == PodOptions(namespace="actions")


def test_openwhisks_variables_are_understood() -> None:
    given = {
        f"{KEYS}_timeouts_run": "2 minutes",
        f"{KEYS}_userPodNodeAffinity_key": "example.com/role",
        f"{KEYS}_userPodNodeAffinity_value": "actions",
        f"{KEYS}_actionNamespace": "elsewhere",
        f"{KEYS}_podTemplate": "file:/etc/pod.yaml",
        f"{KEYS}_cpuScaling_millicpus": "100",
        f"{KEYS}_cpuScaling_memory": "128 m",
        f"{KEYS}_cpuScaling_maxMillicpus": "2000",
        f"{KEYS}_ephemeralStorage_limit": "2 g",
        f"{KEYS}_ephemeralStorage_scaleFactor": "1.5",
        "CONFIG_whisk_helm_release": "owdev",
        "CONFIG_whisk_runtime_delete_timeout": "10 seconds",
        "JAVA_OPTS": "-Dkubernetes.master=https://10.0.0.1:6443/ "
        "-Dwhisk.kubernetes.field-ref-environment.NODE=spec.nodeName",
    }
    found = settings(given).kubernetes
    assert (found.master, found.namespace, found.release) == ("https://10.0.0.1:6443", "elsewhere", "owdev")
    assert (found.pod_template, found.times_run, found.times_delete) == ("file:/etc/pod.yaml", 120, 10)
    made = pods(given)
    assert made.place == Place(key="example.com/role", value="actions")
    assert made.cpu == Cpu(millicpus=100, memory=128, max_millicpus=2000)
    assert made.storage == Storage(limit=2048, factor=1.5)
    assert made.field_env == (("NODE", "spec.nodeName"),)


def test_nodes_without_the_label_are_good_enough_where_that_is_said() -> None:
    assert pods({f"{KEYS}_userPodNodeAffinity_enabled": "false"}).place is None


def test_folders_of_credentials_and_secrets_say_how_images_are_fetched(tmp_path: Path) -> None:
    made = pods({"UPCALL_REGISTRY_CREDENTIALS": str(tmp_path), "UPCALL_KUBERNETES_PULL_SECRETS": "a, b.c"})
    assert (made.apart, made.pull_secrets) == (True, ("a", "b.c"))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("MASTER", "10.0.0.1", "no address of a Kubernetes API"),
        ("NAMESPACE", "A b", "no name of a namespace"),
        ("RELEASE", "-x", "no value of a label"),
        ("NODE_KEY", "a b", "no name of a label"),
        ("PULL_SECRETS", "a,B", "no name of a Secret"),
        ("CPU_MILLICPUS", "0", "1 or more"),
        ("STORAGE_FACTOR", "-1", "no number above 0"),
        ("FIELD_ENV", "NODE", "no variable with a field"),
        ("FIELD_ENV", "{", "no JSON object"),
        ("TIMES_RUN", "soon", "no duration"),
    ],
)
def test_a_bad_text_is_told(name: str, text: str, says: str) -> None:
    with pytest.raises(Misconfigured, match=f"UPCALL_KUBERNETES_{name}: .*{says}"):
        settings({f"UPCALL_KUBERNETES_{name}": text})


def test_what_is_of_sandboxes_alone_is_told() -> None:
    given = {"UPCALL_DRIVER": "kubernetes", "UPCALL_ACTION_NETWORK": "none", "UPCALL_PRELOAD": "json"}
    told = load({}, given)[1]
    assert [remark.partition(" has no effect")[0] for remark in told] == ["preload", "action-network"]


def test_what_is_made_of_other_settings_is_passed_on() -> None:
    template = {"spec": {"hostNetwork": False}}
    made = options(settings(), "actions", template, "http://api:3233", ("A=1",))
    assert made == PodOptions(namespace="actions", template=template, api_host="http://api:3233", extra_env=("A=1",))
