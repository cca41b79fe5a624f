"""`upcall manifests`: what is written, where to, and what is refused in a sentence."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from upcall.cli.manifests import command
from upcall.errors import Misconfigured
from upcall.manifests.profiles import PROFILES

CHECKOUT = Path(__file__).parents[3]


def run(*words: str) -> Result:
    return CliRunner().invoke(command, words)


def written(*words: str) -> dict[str, Any]:
    """Objects by their kinds, the last of each; the pod by `Pod`."""
    result = run(*words)
    assert result.exit_code == 0, result.output
    found = {each["kind"]: each for each in yaml.safe_load_all(result.stdout)}
    return {**found, "Pod": found["StatefulSet" if "StatefulSet" in found else "DaemonSet"]["spec"]["template"]["spec"]}


def test_without_words_it_is_the_file_that_is_checked_in() -> None:
    checked_in = list(yaml.safe_load_all((CHECKOUT / "deploy" / "invoker.yml").read_text()))
    assert list(yaml.safe_load_all(run().stdout)) == checked_in
    single = list(yaml.safe_load_all((CHECKOUT / "deploy" / "upcall.yml").read_text()))
    assert list(yaml.safe_load_all(run("--platform", "single").stdout)) == single
    fleet = list(yaml.safe_load_all((CHECKOUT / "deploy" / "upcall-fleet.yml").read_text()))
    assert list(yaml.safe_load_all(run("--platform", "fleet").stdout)) == fleet


def test_wishes_are_where_they_belong(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.write_text("postgresql://u:hushhush@db/n\n")
    found = written(
        *("--replicas", "4", "-n", "whisk", "--release", "owdev", "--cpu", "2", "--memory", "4g"),
        *("--node-selector", "openwhisk-role=invoker,zone=a", "--toleration", "dedicated=invoker:NoSchedule"),
        *("--registry", "registry.example/team", "--pull-secret", "registry", "--kafka-hosts", "a:1,b:2"),
        *("--store", f"@{store}", "--api-host", "https://api.example", "--tls-secret", "cert", "--volume", "fast"),
    )
    spec, container = found["StatefulSet"]["spec"], found["Pod"]["containers"][0]
    assert (found["StatefulSet"]["metadata"]["name"], spec["replicas"]) == ("owdev-invoker", 4)
    assert found["Pod"]["nodeSelector"] == {"openwhisk-role": "invoker", "zone": "a"}
    assert found["Pod"]["tolerations"] == [
        {"key": "dedicated", "operator": "Equal", "value": "invoker", "effect": "NoSchedule"}
    ]
    assert container["image"].startswith("registry.example/team/upcall/invoker:")
    assert found["Pod"]["imagePullSecrets"] == [{"name": "registry"}]
    assert container["resources"]["limits"] == {"memory": "5462Mi", "cpu": "2"}
    assert container["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"
    assert found["Secret"]["stringData"]["UPCALL_STORE"] == "postgresql://u:hushhush@db/n"
    data = found["ConfigMap"]["data"]
    assert (data["KAFKA_HOSTS"], data["UPCALL_API_HOST"]) == ("a:1,b:2", "https://api.example")
    assert spec["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "fast"
    assert {each["name"] for each in container["env"] if each.get("value") == "4"} == {
        "INVOKER_COUNT",
        "INVOKER_INSTANCES",
    }


def test_a_daemon_set_has_names_and_no_numbers() -> None:
    found = written("--daemonset", "--zookeeper-hosts", "zk:2181")
    container = found["Pod"]["containers"][0]
    assert container["args"] == ["/init.sh", "--uniqueName", "$(NODE_NAME)"]
    assert found["ConfigMap"]["data"]["ZOOKEEPER_HOSTS"] == "zk:2181"


def test_who_scales_has_the_say_of_the_number() -> None:
    found = written("--scale", "hpa", "--replicas", "2", "--max-replicas", "7", "--monitor")
    assert "replicas" not in found["StatefulSet"]["spec"]
    spec = found["HorizontalPodAutoscaler"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"], spec["scaleTargetRef"]["name"]) == (2, 7, "invoker")
    assert found["ServiceMonitor"]["spec"]["endpoints"][0]["path"] == "/metrics"


def test_right_of_way_through_openshifts_gate() -> None:
    result = run("--profile", "openshift", "--driver", "process")
    roles = [each["roleRef"]["name"] for each in yaml.safe_load_all(result.stdout) if each["kind"] == "RoleBinding"]
    assert roles == ["invoker", "system:openshift:scc:privileged"]
    assert "runAsUser" not in written("--profile", "openshift")["Pod"]["securityContext"]


def test_it_is_written_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "invoker.yml"
    assert run("-o", str(file)).stdout == ""
    assert list(yaml.safe_load_all(file.read_text())) == list(yaml.safe_load_all(run().stdout))
    told = refused("-o", str(tmp_path / "none" / "x"))
    assert told.endswith("cannot be written: No such file or directory")


def test_the_head_says_how_it_was_made_and_nothing_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for given in (["--store", "postgresql://u:hushhush@db/n"], ["--store=postgresql://u:hushhush@db/n"]):
        words = ["manifests", *given, "--replicas", "2"]
        monkeypatch.setattr("sys.argv", ["/usr/bin/upcall", *words])
        head = run(*words[1:]).stdout.partition("---")[0]
        assert "upcall manifests --store" in head
        assert "--replicas 2" in head
        assert "hushhush" not in head


def test_profiles_are_shown() -> None:
    lines = run("--profiles").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [*PROFILES]


def refused(*words: str) -> str:
    """The sentence."""
    result = run(*words)
    assert isinstance(result.exception, Misconfigured), result.output
    return str(result.exception)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--profile auto", "--profile auto asks a cluster, and none is known here: set KUBECONFIG, or say what "),
        ("--profile beos", "--profile beos: there is no such row; there are any, ubuntu-docker, "),
        ("--profile talos --driver docker", "--driver docker cannot work on talos (Talos Linux): its nodes run "),
        ("--profile openshift --driver docker", "--driver docker cannot work on openshift "),
        ("--profile gke-autopilot --driver process", "--driver process cannot keep actions apart on gke-autopilot "),
        ("--profile talos --as 2017", "--driver docker cannot work on talos "),
        ("--as 2017 --platform fleet", "--as 2017 is one Invoker, and --platform is more: give one of them"),
        ("--as 2017 --driver process", "--as 2017 runs actions in Docker's containers: leave --driver process out"),
        (
            "--daemonset",
            "--daemonset: pods of a DaemonSet have no ordinals, so ZooKeeper keeps the Invokers' numbers: ",
        ),
        ("--daemonset --zookeeper-hosts z:1 --scale hpa", "--daemonset has an Invoker per node, and nothing to scale"),
        ("--daemonset --zookeeper-hosts z:1 --volume default", "--daemonset: only pods of a StatefulSet have volumes"),
        ("--platform single --replicas 2", "--platform single has no place for --replicas"),
        ("--platform fleet --store postgresql://u@h/n", "--platform fleet has no place for --store"),
        ("--store sqlite:////x", "--store: Invokers in pods have no file in common"),
        ("--store nonsense", "--store: a store is given as sqlite:"),
        ("--store @/none", "--store @/none: cannot be read: No such file or directory"),
        (
            "--store postgresql://u@h/n --secret s",
            "--store and --secret: the Secret that is there has the store's address",
        ),
        ("--runtimes @/none", "--runtimes: the file /none cannot be read: No such file"),
        ("--runtimes {}x", "--runtimes: "),
        ("--node-selector invoker", "--node-selector invoker: labels are given as KEY=VALUE, as in openwhisk-role="),
        ("--toleration a=b:Never", "--toleration a=b:Never: taints are given as KEY=VALUE:EFFECT, KEY:EFFECT or KEY"),
        ("--namespace Big", "--namespace Big: a name in Kubernetes has small letters, digits and '-' inside"),
        ("--release a_b", "--release a_b: a name in Kubernetes"),
        ("--image UPPER", "UPPER is no image (--registry, --image), as upcall/invoker:1 is one"),
        ("--replicas 0", "--replicas 0: there are 1 to 1000 Invokers"),
        ("--memory 10m", "--memory: 10 MB are less than the 256 MB that one action usually takes"),
        ("--memory many", "--memory: 'many' is no size"),
        ("--cpu lots", "--cpu lots: CPUs are given as 2, 1.5 or 500m"),
        ("--docker-group -1", "--docker-group -1 is no number of a group"),
        ("--scale hpa --replicas 3 --max-replicas 2", "--max-replicas 2: it is from --replicas, 3, up to 1000"),
        ("--driver docker --isolation none", "--isolation none is for the process driver alone"),
        ("--isolation none --user-namespace", "--isolation none takes no rights at all"),
        ("--kafka-hosts a:1,b", "--kafka-hosts a:1,b: servers are given as HOST:PORT,HOST:PORT, as in kafka.openwhisk"),
        ("--kafka-hosts a:65536", "--kafka-hosts a:65536: servers are given as"),
        ("--kafka-hosts=", "--kafka-hosts: servers are given as"),
        ("--daemonset --zookeeper-hosts zoo", "--zookeeper-hosts zoo: servers are given as"),
        ("--api-host api.example", "--api-host api.example: a URL is needed, as https://api.example.com is one"),
        ("--scale keda --prometheus x", "--prometheus x: a URL is needed"),
        ("--cpu 0.0", "--cpu 0.0: CPUs are given as 2, 1.5 or 500m"),
        ("--volume fast --volume-size 0", "--volume-size: a volume has a megabyte at least"),
        (
            "--zookeeper-hosts z:1",
            "--zookeeper-hosts has a use with --daemonset alone: give that, too, or leave it out",
        ),
        ("--max-replicas 5", "--max-replicas has a use with --scale hpa or keda alone"),
        ("--scale hpa --prometheus http://p", "--prometheus has a use with --scale keda alone"),
        ("--volume-size 2g", "--volume-size has a use with --volume alone"),
        ("--docker-group 5", "--docker-group has a use with --driver docker alone"),
        ("--arch arm64", "--arch is for --as 2017 alone"),
        ("--driver docker --volume fast", "--volume: with the docker driver data are in a folder of the node"),
        ("--as 2017 --kafka-hosts a:1,b:2", "--as 2017 has a variable for one Kafka server: give the first of a:1,b:2"),
    ],
)
def test_what_cannot_be_had_is_refused_in_a_sentence(words: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    assert refused(*words.split()).startswith(why)


@pytest.mark.parametrize("option", ["--kafka-hosts", "--zookeeper-hosts", "--api-host", "--prometheus"])
@pytest.mark.parametrize("value", ["a:1\nb: c", 'http://a"\n#', "http://a b", "\x00"])
def test_an_address_cannot_be_more_than_one(option: str, value: str) -> None:
    assert refused("--daemonset", option, value).startswith(f"{option} {value}: ")
