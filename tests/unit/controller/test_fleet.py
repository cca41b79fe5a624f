"""The balancer's shell: what it counts, says and shows."""

import logging

import pytest

from upcall import metrics as names
from upcall.balancing import Balancing
from upcall.controller.fleet import Fleet
from upcall.core.balance import Job
from upcall.core.health import State
from upcall.errors import Unavailable
from upcall.model.names import InvokerId

JOB = Job("guest", "guest/hello", 256)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def a_fleet(*memories: int, clock: Clock | None = None) -> Fleet:
    """All healthy; memory in MB by id. Overload takes the last one."""
    fleet = Fleet(pick=lambda count: count - 1, clock=clock or Clock())
    for number, memory in enumerate(memories):
        fleet.learn(InvokerId(number, f"{memory << 20} B"), memory)
        fleet.move(number, State.HEALTHY)
    return fleet


def shown(fleet: Fleet, tags: bool = True) -> dict[str, float]:
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in fleet.metrics(tags)
        for sample in family.samples
    }


def test_overload_is_counted_always_and_told_each_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    fleet = a_fleet(256, clock=clock)
    fleet.publish(JOB)
    for seconds, told in ((0.0, 1), (9.9, 1), (0.1, 2), (5.0, 2)):
        clock.now += seconds
        assert fleet.publish(JOB) == 0
        assert len(caplog.records) == told
    assert caplog.records[0].message == "system is overloaded. Chose invoker0 by random assignment."
    assert fleet.overloads == 4
    assert shown(fleet)["upcall_balancer_free_bytes 0"] == -4 * 256 << 20


def test_without_a_healthy_one_there_is_no_text_of_ours_but_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    fleet = a_fleet(256, clock=clock)
    fleet.move(0, State.UNRESPONSIVE)
    caplog.clear()
    for seconds, told in ((0.0, 1), (9.9, 1), (0.1, 2)):
        clock.now += seconds
        with pytest.raises(Unavailable) as refused:
            fleet.publish(JOB)
        assert str(refused.value) == ""
        assert [record.message for record in caplog.records] == told * [
            "No invokers available: none is up, activations are refused with 503."
        ]


def test_an_action_that_no_invoker_holds_is_refused_and_no_overload() -> None:
    fleet = a_fleet(512, 256)
    fleet.move(0, State.UNHEALTHY)
    with pytest.raises(Unavailable) as refused:
        fleet.publish(Job("guest", "guest/huge", 512))
    assert "needs 512 MB" in str(refused.value)
    assert "has 256 MB" in str(refused.value)
    assert fleet.overloads == 0
    assert shown(fleet)["upcall_balancer_free_bytes 1"] == 256 << 20


def test_a_number_far_from_the_others_is_told(caplog: pytest.LogCaptureFixture) -> None:
    fleet = a_fleet(512)
    fleet.learn(InvokerId(100, "1 GB"), 1024)
    assert caplog.text == ""
    fleet.learn(InvokerId(9_000, "1 GB"), 1024)
    fleet.learn(InvokerId(9_000, "2 GB"), 2048)
    (told,) = caplog.records
    assert "invoker9000: the numbers from 101 to 8999 are no Invoker's" in told.getMessage()
    assert len(fleet.states()) == 9_001


def test_the_invoker_that_stops_with_its_controller_gets_what_running_work_needs() -> None:
    fleet = a_fleet(512, 512)
    fleet.keep(1)
    for number in range(2):
        fleet.move(number, State.OFFLINE)
    assert fleet.publish(JOB) == 1
    fleet.move(1, State.UNHEALTHY)
    with pytest.raises(Unavailable):
        fleet.publish(JOB)


def test_a_cluster_divides_the_memory_and_says_where_it_is_too_small(caplog: pytest.LogCaptureFixture) -> None:
    fleet = a_fleet(1024, 256)
    fleet.resize(2)
    assert caplog.text == ""
    assert shown(fleet)["upcall_balancer_share_bytes 0"] == 512 << 20
    fleet.resize(4)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "invoker1: a controller's share of the memory, of 4 controllers, is less" in caplog.text
    assert fleet.controllers == 4
    fleet.learn(InvokerId(2, "1 GB"), 300)
    assert "invoker2: a controller's share" in caplog.text
    fleet.resize(0)
    assert (fleet.controllers, shown(fleet)["upcall_balancer_share_bytes 0"]) == (1, 1024 << 20)


def test_fractions_are_the_settings() -> None:
    fleet = Fleet(Balancing(managed_fraction=0.5, blackbox_fraction=0.5), pick=lambda count: 0)
    for number in range(2):
        fleet.learn(InvokerId(number, "1 GB"), 1024)
        fleet.move(number, State.HEALTHY)
    assert {fleet.publish(Job("guest", f"guest/a{n}", 128)) for n in range(9)} == {0}
    assert {fleet.publish(Job("guest", f"guest/a{n}", 128, blackbox=True)) for n in range(9)} == {1}


@pytest.mark.parametrize("enabled", [True, False])
def test_the_invoker_of_this_process_gets_everything_and_is_shown_as_it_is(enabled: bool) -> None:
    """Also while it is disabled: it keeps what comes (spec: load-balancer.md §1, LeanBalancer)."""
    fleet = Fleet(local=lambda: enabled)
    fleet.resize(3)
    for _ in range(10_000):
        assert fleet.publish(JOB) == 0
    assert fleet.overloads == 0
    assert fleet.states() == {"invoker0/0": "up" if enabled else "down"}
    assert shown(fleet) == {}


def test_moves_are_counted_by_state() -> None:
    fleet = a_fleet(1024, 1024)
    fleet.move(0, State.OFFLINE)
    found = shown(fleet)
    assert found[f"{names.INVOKER_MOVES}_total up"] == 2
    assert found[f"{names.INVOKER_MOVES}_total down"] == 1
    assert shown(fleet, tags=False)["counter_loadbalancer_invokerState_up_counter_total"] == 2
