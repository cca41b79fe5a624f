"""The verdict sees what is wrong, and the schedule is the seed's."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.system.chaos.ledger import Call, Fault, Ledger
from tests.system.chaos.lives import Sample
from tests.system.chaos.schedule import CALM, DEADLY, HARMFUL, LIVES, ROOTS, plan
from tests.system.chaos.verdict import Book, Verdict, log_complaints, memory_complaints
from upcall.model import texts
from upcall.model.activation import STATUS, WHISK_ERROR, Activation, Response, error
from upcall.store.sqlite import SqliteStore


class Case:
    """One call of `echo` that was answered, with its record; a test spoils one thing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = Ledger()
        self.runs: Counter[str] = Counter()
        self.records: list[Activation] = []
        self.add("0-1")

    def add(self, token: str, response: Response | None = None) -> Call:
        id = f"{len(self.records):032x}"
        response = response or Response(result=msgspec.Raw(msgspec.json.encode({"token": token})))
        record = Activation("guest", "echo", "guest", id, 1000, 1001, 1, response=response)
        self.records.append(record)
        result = msgspec.json.decode(msgspec.json.encode(response.result))
        told = {"activationId": id, "response": {"status": STATUS[response.status_code], "result": result}}
        call = Call(token, "echo", "blocking", 10.0, 10.1, 200, id, told)
        self.ledger.calls.append(call)
        self.runs[token] = 1
        return call

    async def complaints(self) -> list[str]:
        async with SqliteStore(self.path) as store:
            for record in self.records:
                assert store.record(record)
            await store.flush()
        return [*Verdict(self.ledger, Book(self.path), self.runs).complaints()]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path / "upcall.db")


async def test_nothing_is_said_where_nothing_is_wrong(case: Case) -> None:
    assert await case.complaints() == []


def lose(case: Case) -> None:
    case.records.clear()


def contradict(case: Case) -> None:
    case.ledger.calls[0].body["response"]["result"] = {"token": "0-1", "more": 1}


def refuse(case: Case) -> None:
    case.ledger.calls[0] = Call("0-1", "echo", "blocking", 10.0, 10.1, 503, body={"error": "no"})


def break_off(case: Case) -> None:
    case.ledger.calls[0] = Call("0-1", "echo", "blocking", 10.0, 10.1)


def swap(case: Case) -> None:
    case.ledger.calls[0].token = "0-2"
    case.runs["0-2"] = 1


def interrupt(case: Case) -> None:
    case.add("0-2", error(WHISK_ERROR, texts.INTERRUPTED))


def run_twice(case: Case) -> None:
    case.runs["0-1"] = 2


def record_twice(case: Case) -> None:
    case.add("0-1")


def run_backwards(case: Case) -> None:
    case.records[0].end = 999


def spoil_nested(case: Case) -> None:
    case.add("0-2", Response(result=msgspec.Raw(b'{"token": "0-2", "nested": "abc"}'))).action = "nested"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lose, "have no record"),
        (spoil_nested, "have no record"),
        (contradict, "not what was recorded"),
        (refuse, "answer nothing explains"),
        (break_off, "answer nothing explains"),
        (swap, "outcome nothing explains"),
        (interrupt, "outcome nothing explains"),
        (run_twice, "code ran more than once"),
        (record_twice, "has 2 records"),
        (run_backwards, "end before they begin"),
    ],
)
async def test_what_is_wrong_is_said(case: Case, spoil: Callable[[Case], None], says: str) -> None:
    spoil(case)
    said = await case.complaints()
    assert len(said) == 1
    assert says in said[0]


async def test_a_fault_explains_what_fails_at_its_time_and_no_other(case: Case) -> None:
    interrupt(case)
    break_off(case)
    case.ledger.faults.append(Fault("platform-killed", 0.5, 10.05, 11.0))
    assert await case.complaints() == []
    case.ledger.faults[0] = Fault("platform-killed", 0.5, 3.0, 4.0)
    assert len(await case.complaints()) == 2


async def test_a_row_that_is_left_in_the_journal_is_said(case: Case) -> None:
    assert await case.complaints() == []
    with sqlite3.connect(case.path) as connection:
        connection.execute("INSERT INTO journal (id, topic, started, message) VALUES ('guest/1', 'invoker0', 1, x'00')")
    connection.close()
    said = [*Verdict(case.ledger, Book(case.path), case.runs).complaints()]
    assert said == ["1 rows are left in the journal: ['guest/1']"]


def samples(*memory: int, threads: int = 5) -> list[Sample]:
    return [Sample(float(at), megabytes << 20, 30, threads) for at, megabytes in enumerate(memory)]


def test_memory_may_stay_and_may_not_grow() -> None:
    assert [*memory_complaints(samples(*[50] * 4, *[90] * 4, *[100] * 4))] == []
    assert "grew from 90 to 200 MB" in next(memory_complaints(samples(*[50] * 4, *[90] * 4, *[200] * 4)))
    assert "too short" in next(memory_complaints(samples(1, 2, 3)))
    more = samples(*[90] * 8) + samples(*[90] * 4, threads=60)
    assert next(memory_complaints(more)).startswith("threads grew from 5 to 60")


def test_a_log_with_a_bug_is_shown(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("the zygote has died")
    bad.write_text("Traceback (most recent call last):\nKeyError")
    assert [*log_complaints([good])] == []
    assert "KeyError" in next(log_complaints([good, bad]))


@pytest.mark.parametrize("root", [True, False])
def test_the_schedule_is_the_seeds_and_has_every_fault(root: bool) -> None:
    steps = plan(7, 120, root=root)
    assert steps == plan(7, 120, root=root) != plan(8, 120, root=root)
    assert {step.deed for step in steps} == {*DEADLY, *HARMFUL} - (set() if root else ROOTS)
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert max(step.at for step in steps) < 120 - CALM
    assert max(step.at for step in steps if step.deed in DEADLY) < 120 * LIVES
