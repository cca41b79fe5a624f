"""The verdict on a fleet sees what is wrong, and the schedule is the seed's."""

from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from tests.system.chaos.ledger import Call, Fault, Ledger
from tests.system.fleet.evidence import Ack, Evidence, Record, Sent
from tests.system.fleet.schedule import CALM, DEEDS, plan
from tests.system.fleet.verdict import Verdict, log_complaints
from upcall.model import texts

ID = "a" * 32


class Case:
    """One call of `echo` that was answered, with what it left; a test spoils one thing."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.evidence = Evidence([], {}, {}, Counter(), {})
        self.runs: Counter[str] = Counter()
        self.add("0-1", ID)

    def add(self, token: str, id: str, status: str = "success", says: str = "") -> Call:
        result = {"error": says} if says else {"token": token}
        told = {"activationId": id, "response": {"status": status, "result": result}}
        call = Call(token, "echo", "blocking", 10.0, 10.1, 200, id, told)
        self.ledger.calls.append(call)
        self.evidence.sent.append(Sent(id, token, "echo", 0, len(self.evidence.sent), True))
        self.evidence.records[id] = Record(status, result, 1000, 1001)
        self.evidence.copies[id] += 1
        system = status == "whisk internal error"
        self.evidence.acks[id] = [Ack(False, False, status), Ack(True, system, None)]
        self.runs[token] = 1
        return call

    def complaints(self) -> list[str]:
        return [*Verdict(self.ledger, self.evidence, self.runs).complaints()]


def lose(case: Case) -> None:
    """A message that nobody was told of has no record."""
    case.add("0-2", "b" * 32)
    case.ledger.calls.pop()
    del case.evidence.records["b" * 32]


def contradict(case: Case) -> None:
    case.ledger.calls[0].body["response"]["result"] = {"token": "0-1", "more": 1}


def refuse(case: Case) -> None:
    case.ledger.calls[0] = Call("0-1", "echo", "blocking", 10.0, 10.1, 503, body={"error": "no"})


def hurry(case: Case) -> None:
    case.ledger.calls[0] = Call("0-1", "echo", "blocking", 10.0, 10.1, 202, ID)


def interrupt(case: Case) -> None:
    case.add("0-2", "b" * 32, "whisk internal error", texts.INTERRUPTED)


def run_twice(case: Case) -> None:
    case.runs["0-1"] = 2


def send_twice(case: Case) -> None:
    case.evidence.sent.append(msgspec.structs.replace(case.evidence.sent[0], offset=1, token=""))


def send_again(case: Case) -> None:
    case.add("0-1", "b" * 32)


def record_twice(case: Case) -> None:
    case.evidence.copies[ID] = 2


def invent(case: Case) -> None:
    case.evidence.records["b" * 32] = Record("success", {}, 1, 2)


def keep_slot(case: Case) -> None:
    case.evidence.acks[ID].pop()


def tell_otherwise(case: Case) -> None:
    case.evidence.acks[ID][0] = Ack(False, False, "application error")


def tell_the_controller_otherwise(case: Case) -> None:
    case.evidence.acks[ID][1] = Ack(True, True, None)


def stick(case: Case) -> None:
    case.evidence.groups["invoker0"] = "base 3 of 4"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lose, "without a record"),
        (contradict, "not what was recorded"),
        (refuse, "answer nothing explains"),
        (hurry, "answer nothing explains"),
        (interrupt, "outcomes that nothing explains"),
        (run_twice, "code ran more than once"),
        (send_twice, "ids that were sent more than once"),
        (send_again, "calls sent more than once"),
        (record_twice, "ids with several records"),
        (invent, "records of what nobody has sent"),
        (keep_slot, "slot was never freed"),
        (tell_otherwise, "acks are not what was recorded"),
        (tell_the_controller_otherwise, "acks are not what was recorded"),
        (stick, "has not done all"),
    ],
)
def test_what_is_wrong_is_said(spoil: Callable[[Case], None], says: str) -> None:
    case = Case()
    assert case.complaints() == []
    spoil(case)
    said = case.complaints()
    assert len(said) == 1
    assert says in said[0]


def test_a_fault_explains_what_fails_at_its_time_and_no_other() -> None:
    case = Case()
    interrupt(case)
    refuse(case)
    case.ledger.faults.append(Fault("invoker-killed", 0.5, 10.05, 11.0))
    assert case.complaints() == []
    case.ledger.faults[0] = Fault("controller-killed", 0.5, 10.05, 11.0)
    assert len(case.complaints()) == 2


def test_a_database_that_is_away_is_no_outcome() -> None:
    case = Case()
    case.add("0-2", "b" * 32, "whisk internal error", texts.ACTION_FETCH)
    case.ledger.faults.append(Fault("database-stopped", 0.5, 10.05, 11.0))
    assert len(case.complaints()) == 1


def test_errors_in_logs_are_told_unless_a_fault_was_at_work() -> None:
    ledger = Ledger()
    ledger.faults.append(Fault("broker-killed", 0.5, 10.0, 12.0))
    lines = [{"level": level, "at": 1000.0 + at} for level, at in (("error", 11.0), ("warning", 90.0))]
    assert [*log_complaints(lines, ledger, 1000.0)] == []
    assert "1 errors" in next(log_complaints([*lines, {"level": "critical", "at": 1090.0}], ledger, 1000.0))


def test_the_schedule_is_the_seeds_and_has_every_fault() -> None:
    steps = plan(7, 120)
    assert steps == plan(7, 120) != plan(8, 120)
    assert {step.deed for step in steps} == set(DEEDS)
    assert max(step.at for step in steps) < 120 - CALM
