"""docs/kubernetes.md: its commands, run one after the other as they stand there, and what it names."""

import os
import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from tests.kubernetes.charts import CHART
from tests.kubernetes.cluster import programs
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.place import CHECKOUT
from tests.kubernetes.outside import NAMESPACE, settings
from tests.kubernetes.test_deploy import HELLO, MANIFEST, ROLE, Deployed
from upcall.cli.doctor import command as doctor
from upcall.cli.manifests import command
from upcall.docker import DRIVERS
from upcall.manifests.driver import SANDBOX_RIGHTS
from upcall.manifests.profiles import PROFILES

PATH = CHECKOUT / "docs" / "kubernetes.md"
PAGE = PATH.read_text()


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """Cells of its table."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.fixture
def around(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """What the file does not bring."""
    cluster.invoker_image()
    made = Deployed(cluster, tmp_path_factory.mktemp("outside"), settings(cluster, MANIFEST))
    with cluster.alone(NAMESPACE):
        cluster.remove_namespace(NAMESPACE)
        try:
            made.start()
            cluster.kubectl("create", "namespace", NAMESPACE)
            where = made.services(kafka="kafka.openwhisk:9092", couchdb="couchdb.openwhisk:5984")
            cluster.kubectl("apply", "-f", "-", input=where)
            yield made
        finally:
            cluster.kubectl("label", "node", cluster.node, f"{ROLE}-")
            cluster.remove_namespace(NAMESPACE, wait=False)
            made.close()


def test_the_commands_deploy_place_and_scale_invokers(around: Deployed) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    deploy, place, scale = (block.replace("NODE", around.cluster.node) for block in blocks)
    run(around, deploy)
    around.up(0)
    around.put("hello", HELLO)
    around.greets("Ada")
    run(around, place)
    assert around.pod(0)["spec"]["nodeSelector"] == {ROLE: "invoker"}
    run(around, scale)
    around.up(0, 1)
    around.greets("Bob")


def run(around: Deployed, script: str) -> None:
    found = {**os.environ, "KUBECONFIG": str(around.cluster.kubeconfig)}
    found["PATH"] = f"{programs.bin()}:{found['PATH']}"
    words = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(words, cwd=CHECKOUT, env=found, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr + around.told()


def test_the_table_of_hosts_has_each_with_its_driver() -> None:
    told: dict[str, str] = {}
    for _, names, text in rows("Hosts")[1:]:
        told |= {name: text.split(";")[0] for name in re.findall(r"`([\w-]+)`", names)}
    assert told == {name: found.driver for name, found in PROFILES.items()}


def test_the_table_of_drivers_has_the_rights() -> None:
    (found,) = (cells for cells in rows("Drivers") if cells[0] == "process")
    assert re.findall(r"`([A-Z_]+)`", found[2]) == list(SANDBOX_RIGHTS)


def test_the_table_of_drivers_has_each() -> None:
    assert [*dict.fromkeys(cells[0] for cells in rows("Drivers")[1:])] == [each for each in DRIVERS if each != "auto"]


def test_options_that_it_names_are_there() -> None:
    asked = (*command.params, *doctor.params)
    there = {name for option in asked for name in option.opts} | {"--help", "--apihost"}
    prose = re.sub(
        r"^(    |kubectl ).*|`upcall config .*`|`iptables [^`]*`|`scripts/[^`]*`|`--with-nodejs`",
        "",
        PAGE,
        flags=re.MULTILINE,
    )
    named = set(re.findall(r"(?<![-\w|])--[a-z][a-z-]*", prose))
    assert len(named) > 10
    assert named <= there


def test_values_of_the_chart_that_it_names_are_there() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    named = [name for cells in rows("Helm")[1:] for name in re.findall(r"`([\w.]+)", cells[0])]
    assert len(named) > 15
    for name in named:
        at = values
        for part in name.rstrip(".").split("."):
            assert part in at, name
            at = at[part]


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)]+)\)", PAGE))))
def test_links_lead_somewhere(link: str) -> None:
    if link.startswith("https://"):
        return
    path, _, anchor = link.partition("#")
    page = PATH.parent / path if path else PATH
    assert page.exists()
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    assert not anchor or anchor in {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}
