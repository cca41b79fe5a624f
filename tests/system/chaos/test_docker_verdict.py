"""What a fault of the engine explains, and what it does not."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.system.chaos.docker_deeds import DEADLY, HARMFUL, DockerDeeds
from tests.system.chaos.docker_verdict import ABSENCES, ENDS, MEDDLING, RETURN, DockerVerdict, SurvivorsVerdict
from tests.system.chaos.ledger import Fault
from tests.system.chaos.schedule import plan
from tests.system.chaos.test_verdict import Case
from tests.system.chaos.verdict import Book, Verdict
from upcall.model import texts
from upcall.model.activation import DEVELOPER_ERROR, WHISK_ERROR, Response, error
from upcall.store.sqlite import SqliteStore

DIED, PROVISION = error(DEVELOPER_ERROR, texts.RUN_DIED), error(WHISK_ERROR, texts.PROVISION)


@pytest.mark.parametrize(
    ("verdict", "deed", "response", "explained"),
    [
        (DockerVerdict, "engine-killed", DIED, True),
        (DockerVerdict, "engine-stopped", DIED, False),
        (DockerVerdict, "containerd-killed", DIED, False),
        (DockerVerdict, "containers-removed", DIED, True),
        (DockerVerdict, "containers-paused", DIED, False),
        (SurvivorsVerdict, "engine-killed", DIED, False),
        (SurvivorsVerdict, "engine-ended", DIED, False),
        (SurvivorsVerdict, "containers-shot", DIED, True),
        (DockerVerdict, "engine-ended", PROVISION, False),
        (DockerVerdict, "engine-stopped", PROVISION, False),
        (DockerVerdict, "containers-killed", PROVISION, True),
    ],
)
async def test_an_activation_is_lost_with_its_container_alone(
    tmp_path: Path, verdict: type[Verdict], deed: str, response: Response, explained: bool
) -> None:
    case = Case(tmp_path / "upcall.db")
    case.add("0-2", response)
    case.ledger.faults.append(Fault(deed, 0.5, 10.05, 11.0))
    async with SqliteStore(case.path) as store:
        for record in case.records:
            assert store.record(record)
        await store.flush()
    said = [*verdict(case.ledger, Book(case.path), case.runs).complaints()]
    assert ["outcome nothing explains" in each for each in said] == ([] if explained else [True])


@pytest.mark.parametrize(("after", "explained"), [(0.0, True), (RETURN - 1, True), (RETURN + 1, False)])
async def test_calls_are_refused_while_the_engine_is_away(tmp_path: Path, after: float, explained: bool) -> None:
    case = Case(tmp_path / "upcall.db")
    call = case.ledger.calls[0]
    case.ledger.calls[0] = type(call)("0-1", "echo", "blocking", 10.0, 10.1, 503, body={"error": "no"})
    case.ledger.faults.append(Fault("engine-stopped", 0.5, 1.0, 10.0 - after))
    async with SqliteStore(case.path) as store:
        assert store.record(case.records[0])
        await store.flush()
    said = [*DockerVerdict(case.ledger, Book(case.path), case.runs).complaints()]
    assert ["answer nothing explains" in each for each in said] == ([] if explained else [True])


def test_every_fault_can_be_done_and_is_known_to_the_verdict() -> None:
    steps = plan(7, 600, root=True, deadly=DEADLY, harmful=HARMFUL, rest=(8.0, 12.0))
    assert {step.deed for step in steps} == {*DEADLY, *HARMFUL}
    assert {*DEADLY, *HARMFUL} >= ABSENCES | MEDDLING | ENDS
    assert min(later.at - step.at for step, later in pairwise(steps)) > 2
    assert "containers" in DockerDeeds.leaves
