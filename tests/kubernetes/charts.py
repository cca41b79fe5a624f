"""Helm, and the chart under deploy/helm."""

import difflib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.cluster import programs
from tests.kubernetes.cluster.place import CHECKOUT

CHART = CHECKOUT / "deploy" / "helm" / "upcall"
DIGEST = "upcall/settings"
"""The annotation by which a change of settings starts pods anew; manifests have none."""
Object = dict[str, Any]


class Refused(AssertionError):
    """What helm printed to standard error."""


class Helm:
    def __init__(self, kubeconfig: Path | None = None) -> None:
        """Without a kubeconfig there is no cluster, and rendering needs none."""
        self._program = programs.build("helm") / "helm"
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig or os.devnull), "HELM_NO_PLUGINS": "1"}

    def __call__(self, *words: str) -> str:
        """Its standard output. Raises Refused."""
        done = subprocess.run(
            [self._program, *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
            env=self._environment,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise Refused(done.stderr)
        return done.stdout

    def objects(self, *words: str, release: str = "demo", namespace: str = "demo") -> dict[str, Object]:
        return by_name(self("template", release, str(CHART), "-n", namespace, *words))


def by_name(text: str) -> dict[str, Object]:
    """Objects of a stream, but Namespaces, which Helm makes itself."""
    found = [each for each in yaml.safe_load_all(text) if each and each["kind"] != "Namespace"]
    named = {f"{each['kind']}/{each['metadata']['name']}": each for each in found}
    assert len(named) == len(found)
    return named


def without_digest(objects: Mapping[str, Object]) -> dict[str, Object]:
    """Each pod's annotation has to be there where it is taken out."""
    for each in objects.values():
        if each["metadata"]["name"].endswith(("-controller", "-invoker")) and "template" in each.get("spec", {}):
            assert set(each["spec"]["template"]["metadata"].pop("annotations")) == {DIGEST}
    return dict(objects)


def difference(one: Mapping[str, Object], other: Mapping[str, Object]) -> str:
    """As `diff -u` shows it; empty where they are alike."""
    first, second = (json.dumps(side, indent=1, sort_keys=True).splitlines() for side in (one, other))
    return "\n".join(difflib.unified_diff(first, second, lineterm=""))
