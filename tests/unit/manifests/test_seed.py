"""`--as 2017`: the manifest of that year by its names, and what was written about editing it."""

import os
import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.system.deployments import MANIFEST_OF_2017
from tests.unit.manifests.golden import pod, workloads
from upcall.errors import Misconfigured
from upcall.manifests.document import Object
from upcall.manifests.made import manifest
from upcall.manifests.wanted import Wanted
from upcall.model.runtimes import parse_manifest

LATER = {"INVOKER_CONTAINER_DNS", "INVOKER_USE_RUNC", "INVOKER_NUMCORE", "INVOKER_CORESHARE", "COMPONENT_NAME"}
LATER |= {"ZOOKEEPER_HOST", "ZOOKEEPER_PORT", "DB_WHISK_ACTIONS_DDOC"}
"""Variables that other manifests of the time had, or the shell."""


def text(**wishes: Any) -> str:
    return manifest("2017", Wanted(**{"profile": "ubuntu-docker", "driver": "docker", **wishes}), "")


def made(written: str) -> tuple[list[Object], dict[str, Any], dict[str, Any]]:
    """Objects, the StatefulSet's pod and its container."""
    found = list(yaml.safe_load_all(written))
    (workload,) = workloads(found)
    return found, pod(workload), pod(workload)["containers"][0]


def test_it_is_a_stateful_set_by_the_names_of_then() -> None:
    found, spec, container = made(text())
    (workload,) = workloads(found)
    assert (workload["kind"], workload["metadata"]["name"], workload["metadata"]["namespace"]) == (
        "StatefulSet",
        "invoker",
        "openwhisk",
    )
    assert workload["spec"]["serviceName"] == "invoker"
    assert spec["restartPolicy"] == "Always"
    assert container["ports"] == [{"name": "invoker", "containerPort": 8080}]
    paths = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert paths == {
        "cgroup": "/sys/fs/cgroup",
        "runc": "/run/runc",
        "dockerrootdir": "/containers",
        "dockersock": "/var/run/docker.sock",
        "apparmor": "/usr/lib/x86_64-linux-gnu/libapparmor.so.1",
    }


def test_it_has_the_variables_of_then_and_their_values() -> None:
    _, _, container = made(text())
    plain = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    secret = {each["name"] for each in container["env"] if "valueFrom" in each}
    assert secret == {"DB_USERNAME", "DB_PASSWORD"}
    assert {*plain, *secret} == {*MANIFEST_OF_2017} - LATER | {"INVOKER_COUNT", "UPCALL_GRACE"}
    same = {*plain} & {*MANIFEST_OF_2017} - {"RUNTIMES_MANIFEST"}
    assert {name: plain[name] for name in same} == {name: MANIFEST_OF_2017[name] for name in same}
    kinds = parse_manifest(plain["RUNTIMES_MANIFEST"]).kinds
    assert set(kinds) == {
        "nodejs:6",
        "python:2",
        "python:3",
        "swift:3",
        "swift:3.1.1",
        "java",
        "nodejs",
        "python",
        "swift",
    }


def test_the_ordinal_is_the_last_field_of_the_hosts_name() -> None:
    _, _, container = made(text(release="my-owdev"))
    shell, flag, line = container["command"]
    assert (shell, flag) == ("/bin/bash", "-c")
    shown = line.replace("exec /invoker/bin/invoker", "sh -c 'echo $COMPONENT_NAME $0'")
    environment = {"HOSTNAME": "my-owdev-invoker-7", "PATH": os.environ["PATH"]}
    done = subprocess.run([shell, flag, shown], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "7 7\n"


def test_a_number_is_raised_where_it_was_written_that_it_is() -> None:
    written = text()
    raised, lines = re.subn(r"(?m)^  replicas: 1$", "  replicas: 3", written)
    assert lines == 1
    raised, counts = re.subn(r'(name: INVOKER_(?:COUNT|INSTANCES)\n\s*value: )"1"', r'\1"3"', raised)
    assert counts == 2
    assert list(yaml.safe_load_all(raised)) == list(yaml.safe_load_all(text(replicas=3)))


def test_nodes_are_chosen_by_a_selector() -> None:
    written = text().replace("nodeSelector: {}", "nodeSelector: {openwhisk-role: invoker}")
    _, spec, _ = made(written)
    assert spec["nodeSelector"] == {"openwhisk-role": "invoker"}
    assert "nodeSelector: {openwhisk-role: invoker}" in text(), "and the file says how"


def test_the_apparmor_mount_is_there_to_be_removed_and_only_on_ubuntu() -> None:
    """Two places of the file, as with any mount; without it is what other hosts get."""
    written = text()
    removed = re.sub(r"(?m)^ +# apparmor: .*\n", "", written)
    removed = re.sub(r"(?m)^ +- name: apparmor\n(?: +(?:hostPath|mountPath|path|type|readOnly).*\n)+", "", removed)
    assert "apparmor" in written
    assert list(yaml.safe_load_all(removed)) == list(yaml.safe_load_all(text(profile="flatcar")))


def test_other_machines_have_the_library_elsewhere() -> None:
    assert "/usr/lib/aarch64-linux-gnu/libapparmor.so.1" in text(arch="arm64")
    assert "x86_64-linux-gnu" not in text(arch="arm64")


def test_docker_in_docker_has_its_logs_elsewhere() -> None:
    _, spec, _ = made(text(profile="dind"))
    paths = {each["name"]: each["hostPath"]["path"] for each in spec["volumes"]}
    assert paths["dockerrootdir"] == "/dind/docker/containers"


def test_what_it_has_no_place_for_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"^--as 2017 has no place for --cpu, --tls-secret$"):
        text(cpu="2", tls_secret="x")
    with pytest.raises(
        Misconfigured, match=r"^--as 2017 runs actions in Docker's containers: leave --driver process out$"
    ):
        text(driver="process")
