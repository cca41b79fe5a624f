"""The Kubernetes driver is made out of the settings, or a sentence says why it is not."""

import sys
from pathlib import Path

import pytest

from upcall.app.pods import pods
from upcall.config import load
from upcall.errors import Misconfigured


async def make(**environment: str) -> None:
    settings = load({}, {"UPCALL_DRIVER": "kubernetes", **environment})[0]
    made = await pods(settings, "i", kinds=[], api_host="", env=(), log_bound=0)
    await made.close()


async def test_without_its_package_the_line_that_brings_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("upcall.containers.kubernetes.", "upcall.kubernetes."))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightkube", None)
    with pytest.raises(Misconfigured, match=r"--driver kubernetes needs .* lightkube: .*pip install lightkube"):
        await make()


async def test_a_wrong_template_is_told_with_its_place() -> None:
    with pytest.raises(Misconfigured, match=r"^kubernetes\.pod-template: /nowhere/pod\.yaml cannot be read: No such"):
        await make(UPCALL_KUBERNETES_POD_TEMPLATE="file:/nowhere/pod.yaml")


async def test_without_a_cluster_it_says_where_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(Misconfigured, match=r"finds no cluster .*KUBECONFIG"):
        await make()
