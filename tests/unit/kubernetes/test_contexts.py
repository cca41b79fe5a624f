"""Which cluster is meant: contexts of a kubeconfig."""

from pathlib import Path

import pytest
import yaml

from upcall.errors import Misconfigured
from upcall.kubernetes.client import Api


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    def entry(kind: str, name: str, **values: str) -> dict[str, object]:
        return {"name": name, kind: values}

    told = {
        "clusters": [entry("cluster", name, server=f"https://{name}:6443") for name in ("near", "far")],
        "users": [entry("user", "me", token="t")],
        "contexts": [
            entry("context", "home", cluster="near", user="me", namespace="mine"),
            entry("context", "work", cluster="far", user="me"),
            entry("context", "lost", cluster="gone", user="me"),
        ],
        "current-context": "home",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(told))
    return file


async def test_the_current_context_or_another(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current = Api(kubeconfig=kubeconfig)
    assert (current.server, current.namespace) == ("https://near:6443", "mine")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    other = Api(context="work", namespace="ours")
    assert (other.server, other.namespace) == ("https://far:6443", "ours")
    await current.close()
    await other.close()


def test_a_context_that_is_not_there_is_told_with_those_that_are(kubeconfig: Path) -> None:
    with pytest.raises(Misconfigured, match="has no context elsewhere; those that it has: home, lost, work"):
        Api(context="elsewhere", kubeconfig=kubeconfig)
    with pytest.raises(Misconfigured, match="names a cluster or a user that is not there"):
        Api(context="lost", kubeconfig=kubeconfig)


@pytest.mark.parametrize("text", ["a: [", "just words", "a: 1", "", "contexts: [1]\nclusters: []"])
def test_what_is_no_kubeconfig(text: str, tmp_path: Path) -> None:
    file = tmp_path / "other"
    file.write_text(text)
    with pytest.raises(Misconfigured, match=r"other cannot be read: it is no kubeconfig"):
        Api(kubeconfig=file)


def test_a_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="there is no such file"):
        Api(kubeconfig=tmp_path / "none")
