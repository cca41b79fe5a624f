"""What the engine's answers to a creation mean (spec: container.md §4.2)."""

from typing import Any

import pytest

from upcall.containers.docker.creation import address, ended, not_started
from upcall.containers.docker.engine import EngineError
from upcall.model import texts
from upcall.model.entities import BLACKBOX
from upcall.ports import ContainerSpec

OWN = ContainerSpec(kind=BLACKBOX, image="me/mine:1", memory=128, name="wsk0_1_a_b", tenant="a", pull=True)
MANAGED = ContainerSpec(kind="python:3", image="upcall/python:1", memory=128, name="wsk0_1_a_b", tenant="a")
RUNC = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "


@pytest.mark.parametrize(
    "said",
    [
        RUNC + 'exec: "nosuch": executable file not found in $PATH: unknown',
        RUNC + 'exec: "/no/such": stat /no/such: no such file or directory: unknown',
        "crun: executable file `nosuch` not found in $PATH: No such file or directory: OCI runtime attempted to invoke",
        'starting container: searching for executable "nosuch", cwd: "/", $PATH=/bin: no such file or directory',
    ],
)
def test_a_start_without_a_program_is_the_developers_fault(said: str) -> None:
    error = not_started(OWN, EngineError(400, said))
    assert (str(error), error.developer) == ("executable file not found in image me/mine:1", True)


@pytest.mark.parametrize(
    "said",
    [
        RUNC + 'exec: "/etc": permission denied: unknown',
        "unable to find user x",
        "failed to update store for object type *libnetwork.endpoint: open : no such file or directory",
    ],
)
@pytest.mark.parametrize("spec", [OWN, MANAGED])
def test_another_failed_start_is_the_platforms_and_a_tenants_image_is_its_excuse(
    said: str, spec: ContainerSpec
) -> None:
    error = not_started(spec, EngineError(500, said))
    assert (str(error), error.developer, error.excused) == (texts.PROVISION, False, spec is OWN)


@pytest.mark.parametrize(
    ("spec", "killed", "text", "developer"),
    [
        (OWN, False, texts.INIT_DIED, True),
        (OWN, True, texts.MEMORY_EXHAUSTED, True),
        (MANAGED, True, texts.MEMORY_EXHAUSTED, True),
        (MANAGED, False, texts.PROVISION, False),
    ],
)
def test_who_is_to_blame_for_a_container_that_has_ended(
    spec: ContainerSpec, killed: bool, text: str, developer: bool
) -> None:
    error = ended(spec, {"Running": False, "ExitCode": 1, "OOMKilled": killed})
    assert (str(error), error.developer) == (text, developer)


@pytest.mark.parametrize(
    ("networks", "network", "expected"),
    [
        ({"bridge": {"IPAddress": "172.17.0.2"}}, "bridge", "172.17.0.2"),
        ({"one": {"IPAddress": "10.0.0.1"}, "two": {"IPAddress": "10.0.0.2"}}, "two", "10.0.0.2"),
        ({"named": {"IPAddress": "10.0.0.1"}}, "4f2a6c01d3b5", "10.0.0.1"),
        ({"six": {"IPAddress": "", "GlobalIPv6Address": "fd00::2"}}, "six", "fd00::2"),
        ({"bridge": {"IPAddress": ""}}, "bridge", ""),
        (None, "bridge", ""),
    ],
)
def test_the_address_is_that_in_its_network(networks: Any, network: str, expected: str) -> None:
    assert address({"NetworkSettings": {"Networks": networks}}, network) == expected
