"""Every fault of the table, and what comes after it (spec: container.md §3, logs.md §4, §7)."""

from collections.abc import Iterator

import pytest

from tests.system.fault import Fault
from tests.system.faults_crashes import CRASHES, TIMES
from tests.system.faults_output import OUTPUT, RESULTS
from tests.system.faults_socket import SOCKET
from tests.system.serving import Platform, running
from tests.system.trials import GOOD, attempt


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("faults") / "data", "--memory", "2048") as made:
        made.create("good", GOOD)
        yield made
    assert "Traceback" not in made.output.read_text()


FAULTS = (*CRASHES, *TIMES, *OUTPUT, *RESULTS, *SOCKET)
CASES = [pytest.param(fault, kind, id=f"{fault.name}, {kind}") for fault in FAULTS for kind in fault.cases]


@pytest.mark.parametrize(("fault", "kind"), CASES)
def test_a_fault_is_told_exactly_and_the_next_activations_work(platform: Platform, fault: Fault, kind: str) -> None:
    attempt(platform, fault, kind)
