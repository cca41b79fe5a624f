"""The ways out of actions' networks, each where it is the only one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.networks import host_and_world
from tests.system.ordinary.user import as_root, holds
from tests.system.test_outbound import GIVEN, checked


@pytest.fixture
def world() -> Iterator[None]:
    with host_and_world() as made:
        yield
        checked(made)


@as_root
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("used", "hidden"), [("pasta", ""), ("slirp4netns", "pasta")])
def test_an_ordinary_user_is_led_out_too(world: None, folder: Path, used: str, hidden: str) -> None:
    """Where this user may open the tunnel device, as on most hosts, and only one program is there."""
    tun, nothing = folder / "tun", folder / "nothing"
    nothing.write_text("")
    os.mknod(tun, 0o020666, os.makedev(10, 200))
    tun.chmod(0o666)
    mounts = [[str(tun), "/dev/net/tun"]]
    if hidden:
        mounts.append([str(nothing), str(Path(f"/usr/bin/{hidden}").resolve())])
    holds(folder, "tests/system/test_outbound.py", mounts=mounts, **{GIVEN: used})
