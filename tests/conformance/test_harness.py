"""The harness itself: it sees what is wrong, it says what it cannot see, its command and its page tell the same."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.conformance.wrong import Wrong
from upcall.testing.conformance import shapes
from upcall.testing.conformance.check import CHECKS, NotInReach
from upcall.testing.conformance.command import FAILED, OUT, PASSED, Result, deed, look, verdict
from upcall.testing.conformance.elsewhere import ELSEWHERE
from upcall.testing.conformance.every import AREAS, chosen
from upcall.testing.conformance.health import Health
from upcall.testing.conformance.target import Target
from upcall.testing.conformance.world import World

if TYPE_CHECKING:
    from tests.system.kafka import Broker

pytest_plugins = ["tests.system.kafka"]

FAULTS = {
    "partitions": "bus.topic",
    "period": "bus.ping-period",
    "tags": "bus.ping",
    "unit": "bus.ping-bytes",
    "key": "bus.keys",
    "transid": "messages.transid-both",
    "split": "acks.success-blocking",
    "order": "acks.success-blocking-logs",
    "whole": "acks.success",
    "twice": "acks.order",
    "system": "acks.members",
    "publish": "acks.members",
    "instance": "acks.instance",
}


@contextmanager
def world(kafka: "Broker", folder: Path, fault: str = "", patience: float = 3) -> Iterator[World]:
    prefix = f"w{uuid4().hex[:6]}-"
    store = f"sqlite:///{folder}/upcall.db"
    seen = World(Target(kafka=kafka.bootstrap, prefix=prefix, store=store, patience=patience))
    invoker = Wrong(kafka.bootstrap, store, prefix, fault)
    try:
        yield seen
    finally:
        invoker.close()
        seen.close()


def test_what_is_right_passes(kafka: "Broker", tmp_path: Path) -> None:
    with world(kafka, tmp_path, patience=20) as seen:
        results = [look(seen, CHECKS[id]) for id in dict.fromkeys(FAULTS.values())]
    assert [each for each in results if each.verdict != PASSED] == []


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_fails(fault: str, kafka: "Broker", tmp_path: Path) -> None:
    with world(kafka, tmp_path, fault) as seen:
        result = look(seen, CHECKS[FAULTS[fault]])
    assert result.verdict == FAILED
    assert "Error:" not in result.why, "the harness fell over it"


def test_a_probe_that_comes_back_changed_never_makes_it_healthy(kafka: "Broker", tmp_path: Path) -> None:
    with world(kafka, tmp_path, "transid", patience=1.5) as seen:
        assert look(seen, CHECKS["supervision.healthy"]).why == "a healthy Invoker: not in 3 s"
        assert seen.health.history == ["unhealthy"]


def test_what_is_not_known_is_not_in_reach(kafka: "Broker", tmp_path: Path) -> None:
    with world(kafka, tmp_path) as seen:
        lacking = {"rest.ping": "--url", "bus.earliest": "--stop", "events.once": "--events", "docker.pull": "--docker"}
        for id, option in lacking.items():
            result = look(seen, CHECKS[id])
            assert result.verdict == OUT
            assert option in result.why


def test_the_command_prints_a_table_and_ends_with_the_verdict(kafka: "Broker", tmp_path: Path) -> None:
    with world(kafka, tmp_path) as seen:
        target = seen.target
        command = [
            sys.executable,
            "-m",
            "upcall.testing.conformance",
            "--kafka",
            target.kafka,
            "--prefix",
            target.prefix,
        ]
        rows = [*command, "bus.topic-s", "rest.ping"]
        done = subprocess.run(rows, capture_output=True, text=True, timeout=100, check=False)
        good = subprocess.run([*command, "bus.ping-b"], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["FAILED", "bus.topic-settings"]
    assert lines[1].split() == ["retention.ms:", "'604800000'", "where", "'172800000'", "is", "expected"]
    assert "its HTTP is not known: --url URL" in done.stdout
    assert (good.returncode, good.stdout.splitlines()[-1]) == (0, "1 passed, 0 failed, 0 not in reach")


def test_without_a_store_or_an_invoker_the_rest_is_looked_at(kafka: "Broker") -> None:
    seen = World(Target(kafka=kafka.bootstrap, prefix=f"n{uuid4().hex[:6]}-", patience=1))
    try:
        for id, out in (("bus.poison", "--store URL"), ("supervision.healthy", "--store URL")):
            assert look(seen, CHECKS[id]).why.endswith(out)
        for id, why in (
            ("bus.topic", f"partitions of {seen.invoker_topic}: None where 1 is expected"),
            ("bus.topic-settings", f"there is no topic {seen.invoker_topic}"),
            ("bus.ping", "a ping of invoker0: not in 1 s"),
        ):
            result = look(seen, CHECKS[id])
            assert (result.verdict, result.why) == (FAILED, why)
    finally:
        seen.close()


def test_deeds_are_shell_commands(tmp_path: Path) -> None:
    note = tmp_path / "note"
    done = deed(f"echo stopped > {note}")
    assert done is not None
    done()
    assert note.read_text() == "stopped\n"
    failing = deed("exit 3")
    assert failing is not None
    with pytest.raises(NotInReach, match="`exit 3` ended with 3"):
        failing()
    assert deed(None) is None


def test_without_a_broker_it_says_so() -> None:
    command = [sys.executable, "-m", "upcall.testing.conformance", "--kafka", "127.0.0.1:1", "bus.ping"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: no broker answers at 127.0.0.1:1")


def test_verdicts_become_exit_codes() -> None:
    def results(*verdicts: str) -> list[Result]:
        return [Result("a.b", "", "", each) for each in verdicts]

    assert verdict(results(PASSED, OUT)) == 0
    assert verdict(results(PASSED, FAILED)) == 1
    assert verdict(results(OUT)) == 2


def test_every_check_has_an_area_and_is_listed_once() -> None:
    assert {id.partition(".")[0] for id in CHECKS} == {*AREAS, "versions"}
    assert not {row.id for row in ELSEWHERE} & set(CHECKS)
    assert next(each.id for each in chosen(("bus.ping",))) == "bus.ping"


def test_health_goes_as_upstreams_does() -> None:
    health = Health()
    assert health.ping(0, True), "a probe with the first ping"
    for _ in range(10):
        assert not health.outcome(1, "success")
    assert [health.outcome(2, "system error") for _ in range(4)] == [False, False, False, True]
    assert health.outcome(3, "success"), "while it is unhealthy each success asks for another"
    for _ in range(6):
        health.outcome(4, "success")
    assert not health.tick(14), "ten seconds of silence"
    health.tick(14.1)
    assert health.ping(15, True), "a probe when it is there again"
    assert not health.ping(16, False)
    assert health.history == ["unhealthy", "up", "unhealthy", "up", "down", "unhealthy", "down"]


def test_timeouts_make_it_unresponsive_and_are_probed_each_minute() -> None:
    health = Health()
    health.ping(0, True)
    health.outcome(0, "success")
    for _ in range(4):
        health.outcome(1, "timeout")
    assert health.state == "unresponsive"
    health.ping(60, True)
    assert not health.tick(60)
    health.ping(61, True)
    assert health.tick(61)
    assert not health.outcome(62, "success"), "four time-outs are still in the ring"


PING = {"name": {"instance": 0, "userMemory": "1 B", "instanceType": "invoker", "tags": [], "dedicatedNamespaces": []}}


@pytest.mark.parametrize(
    ("member", "value"),
    [("instance", "0"), ("instance", True), ("userMemory", 5), ("instanceType", "x"), ("tags", [1]), ("uniqueName", 5)],
)
def test_a_ping_with_a_wrong_member_has_a_fault(member: str, value: object) -> None:
    assert shapes.ping_faults(PING) == []
    assert len(shapes.ping_faults({"name": {**PING["name"], member: value}})) == 1
