"""Every fault of the table, and what comes after it (spec: container.md §3, logs.md §4, §7)."""

from collections.abc import Iterator

import pytest

from tests.system.fault import Fault, python
from tests.system.faults_crashes import CRASHES, TIMES
from tests.system.faults_output import OUTPUT, RESULTS
from tests.system.faults_socket import SELF, SOCKET
from tests.system.serving import Platform, running
from tests.system.trials import GOOD, annotations, attempt, is_cold, record


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


AWAY = b'HTTP/1.1 503 Gone\r\nContent-Length: 16\r\n\r\n{"error":"away"}'


def test_a_runtime_that_always_says_it_goes_away_ends_its_activation(platform: Platform) -> None:
    """Each time the activation goes to a new container; what the last of them says is then its end."""
    platform.invoke("good")
    platform.create("away", python(f"return answer({AWAY!r})", SELF))
    first = platform.invoke("away")
    assert (first.status, first.body["response"]["result"]) == (502, {"error": "away"})
    stored = record(platform, first.body["activationId"])
    assert (stored["response"], "initTime" in annotations(stored)) == (first.body["response"], False)
    assert not is_cold(platform, platform.invoke("good"))
    again = platform.invoke("away", {"again": True})
    assert (again.body["response"]["result"], is_cold(platform, again)) == ({"ok": 1}, True)
