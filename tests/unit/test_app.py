"""What the wiring works out before anything runs."""

import os
from pathlib import Path

import pytest

from upcall.app import run
from upcall.app.addresses import reachable
from upcall.app.folders import run_folder
from upcall.config import load
from upcall.errors import Misconfigured


@pytest.mark.parametrize(
    ("host", "part"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("box", "box")],
)
def test_the_url_names_an_address_that_this_machine_can_use(host: str, part: str) -> None:
    assert reachable(host) == part


def test_sockets_lie_in_a_runtime_folder_that_is_this_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = os.getuid() or 1234567
    if os.getuid() == 0:
        os.chown(tmp_path, user, -1)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: user)
    assert run_folder(Path("/data")).parent == tmp_path / "upcall"
    monkeypatch.setattr(os, "getuid", lambda: user + 1)  # after `su`
    assert run_folder(Path("/data")).parent == Path(f"/tmp/upcall-{user + 1}")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert run_folder(Path("/data")).parent == Path(f"/tmp/upcall-{user + 1}")


@pytest.mark.parametrize("network", ["none", "private"])
def test_a_network_that_needs_sandboxes_is_refused_without_them(tmp_path: Path, network: str) -> None:
    settings, _ = load({"isolation": "none", "action_network": network, "data": str(tmp_path / "data")}, {})
    with pytest.raises(Misconfigured, match=f"--action-network {network} needs sandboxes"):
        run(settings, print)
