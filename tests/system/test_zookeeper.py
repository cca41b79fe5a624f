"""Numbers that a real ZooKeeper keeps by name, in OpenWhisk's form (spec: invoker.md §4)."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kazoo.security import READ_ACL_UNSAFE

from tests.system.zookeeper import Keeper, keeper, required, server
from upcall import zookeeper
from upcall.errors import Misconfigured
from upcall.zookeeper import COUNTER, MAPPING, number_of, to_bytes, to_number

__all__ = ["keeper", "server"]


@pytest.fixture
def client(keeper: Keeper) -> Iterator[Any]:
    with keeper.client() as made:
        yield made


def written(client: Any, numbers: dict[str, bytes], counter: int) -> None:
    """As OpenWhisk's Invokers have left it."""
    client.ensure_path(MAPPING)
    for name, data in numbers.items():
        client.create(f"{MAPPING}/{name}", data)
    client.create(COUNTER, counter.to_bytes(4, "big"))


def read(client: Any) -> dict[str, bytes]:
    return {name: client.get(f"{MAPPING}/{name}")[0] for name in client.get_children(MAPPING)}


@pytest.mark.parametrize(
    ("number", "data"),
    [(0, "00"), (1, "01"), (127, "7f"), (128, "0080"), (255, "00ff"), (256, "0100"), (32768, "008000")],
)
def test_the_form_of_a_number(number: int, data: str) -> None:
    assert to_bytes(number).hex() == data
    assert to_number(bytes.fromhex(data)) == number


def test_new_names_get_dense_numbers_and_keep_them(keeper: Keeper, client: Any) -> None:
    assert [number_of(keeper.hosts, name) for name in ("a", "b", "a", "c d", "b")] == [0, 1, 0, 2, 1]
    assert read(client) == {"a": b"\x00", "b": b"\x01", "c d": b"\x02"}
    assert client.get(COUNTER)[0] == b"\x00\x00\x00\x03"


@pytest.mark.parametrize(("known_from", "stays"), [((3, 5, 3), False), ((99, 0, 0), True)], ids=["new", "old"])
def test_above_are_nodes_that_go_with_their_last_child_where_the_server_knows_them(
    known_from: tuple[int, int, int], stays: bool, keeper: Keeper, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert number_of(f"{keeper.hosts}/beside", "a") == 0
    monkeypatch.setattr(zookeeper, "CONTAINERS", known_from)
    assert number_of(keeper.hosts, "a") == 0
    for path in (MAPPING, f"/beside{MAPPING}"):
        client.delete(f"{path}/a")
    for path in (COUNTER, f"/beside{COUNTER}"):
        client.delete(path)
    deadline = time.monotonic() + 30
    while client.exists("/beside") is not None or (client.exists("/invokers") is not None and not stays):
        assert time.monotonic() < deadline, "they are of another kind"
        time.sleep(0.1)
    assert (client.exists(MAPPING) is not None) is stays


def test_what_may_not_be_written_is_told(keeper: Keeper, client: Any) -> None:
    client.create("/invokers", acl=READ_ACL_UNSAFE)
    refused = r"ZooKeeper at \S+ refuses to keep the number of a in /invokers/idAssignment: NoAuthError; give --id N"
    with pytest.raises(Misconfigured, match=refused):
        number_of(keeper.hosts, "a")


@pytest.mark.parametrize("number", [127, 128, 255, 256])
def test_a_number_of_openwhisks_is_read_and_the_next_is_written_in_its_form(
    number: int, keeper: Keeper, client: Any
) -> None:
    written(client, {f"n{each}": to_bytes(each) for each in range(number)}, number)
    assert number_of(keeper.hosts, f"n{number - 1}") == number - 1
    assert number_of(keeper.hosts, "next") == number
    assert client.get(f"{MAPPING}/next")[0] == to_bytes(number)
    assert client.get(COUNTER)[0] == (number + 1).to_bytes(4, "big")


def test_ten_at_once_get_ten_numbers(keeper: Keeper, client: Any) -> None:
    names = [f"name{each}" for each in range(10)]
    with ThreadPoolExecutor(10) as pool:
        numbers = list(pool.map(lambda name: number_of(keeper.hosts, name), names))
    assert sorted(numbers) == list(range(10))
    assert read(client) == {name: to_bytes(number) for name, number in zip(names, numbers, strict=True)}


def test_one_of_openwhisks_between_its_two_steps_is_waited_for(keeper: Keeper, client: Any) -> None:
    written(client, {}, 1)
    later = threading.Timer(0.3, lambda: client.create(f"{MAPPING}/theirs", b"\x00"))
    later.start()
    number = number_of(keeper.hosts, "ours")
    later.join()
    assert number == 1


def test_one_of_openwhisks_that_died_between_them_is_not_waited_for_long(keeper: Keeper, client: Any) -> None:
    written(client, {}, 1)
    assert number_of(keeper.hosts, "ours") == 0


def test_overwriting_writes_the_number(keeper: Keeper, client: Any) -> None:
    assert number_of(keeper.hosts, "a", 0) == 0
    assert number_of(keeper.hosts, "b", 1) == 1
    assert number_of(keeper.hosts, "b", 1) == 1
    assert read(client) == {"a": b"\x00", "b": b"\x01"}


def test_overwriting_takes_the_number_from_another(keeper: Keeper, client: Any) -> None:
    written(client, {"a": b"\x00", "b": b"\x01", "c": b"\x02"}, 3)
    assert number_of(keeper.hosts, "new", 1) == 1
    assert read(client) == {"a": b"\x00", "c": b"\x02", "new": b"\x01"}
    assert number_of(keeper.hosts, "a", 2) == 2
    assert read(client) == {"a": b"\x02", "new": b"\x01"}
    assert [number_of(keeper.hosts, name) for name in ("d", "a", "new")] == [0, 2, 1], "nobody's number is given again"


def test_too_high_a_number_is_refused_and_nothing_is_written(keeper: Keeper, client: Any) -> None:
    written(client, {"a": b"\x00"}, 1)
    with pytest.raises(Misconfigured, match=r"--overwriteId 2 is too high: .* of 1 Invokers, so it may be 1 at most"):
        number_of(keeper.hosts, "b", 2)
    assert read(client) == {"a": b"\x00"}


def test_what_is_no_number_is_told_until_it_is_overwritten(keeper: Keeper, client: Any) -> None:
    written(client, {"a": b"\xff\x01", "b": b""}, 2)
    with pytest.raises(Misconfigured, match=f"{MAPPING}/a has ff 01, which is no number of an Invoker: .*overwriteId"):
        number_of(keeper.hosts, "a")
    assert number_of(keeper.hosts, "c") == 2, "others' are nothing to it"
    assert number_of(keeper.hosts, "a", 1) == 1
    assert number_of(keeper.hosts, "a") == 1


def test_names_may_lie_below_a_node(keeper: Keeper, client: Any) -> None:
    assert number_of(f"{keeper.hosts}/mine/ow/", "a") == 0
    assert client.get(f"/mine/ow{MAPPING}/a")[0] == b"\x00"
    client.delete("/mine", recursive=True)


def test_a_server_that_is_away_is_told_with_the_cause() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        hosts = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(Misconfigured, match=rf"ZooKeeper at {hosts} was not reached in 5 s \(connection refused\)"):
            number_of(hosts, "a")


def test_a_server_that_says_nothing_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        hosts = f"127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(Misconfigured, match="was not reached in 5 s \\(it takes connections and says nothing\\)"):
            number_of(hosts, "a")


class Fragile:
    """A client whose server is killed right before, or right after, one of its requests."""

    def __init__(self, client: Any, kill: Any, when: str) -> None:
        self._client, self._kill, self._when = client, kill, when

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def transaction(self) -> Any:
        step = self._client.transaction()
        commit = step.commit

        def killed() -> Any:
            if self._when == "before":
                self._kill()
            done = commit()
            if self._when == "after":
                self._kill()
                self._client.get(COUNTER)
            return done

        step.commit = killed
        return step


@pytest.mark.parametrize(("when", "back"), [("before", True), ("after", True), ("before", False)])
def test_a_server_that_is_killed_in_between(
    when: str, back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found again, with what was written; or that it is away is told."""
    required()
    keeper = Keeper(tmp_path)
    keeper.start()
    killed = threading.Event()

    with ThreadPoolExecutor(1) as starter:  # a server lives no longer than the thread that started it

        def kill() -> None:
            if not killed.is_set():
                keeper.kill()
                killed.set()
                starter.submit(keeper.start if back else str)

        class Names(zookeeper.Names):
            def __init__(self, client: Any, below: str) -> None:
                super().__init__(Fragile(client, kill, when), below)

        number_of(keeper.hosts, "first")
        monkeypatch.setattr(zookeeper, "Names", Names)
        try:
            if back:
                assert number_of(keeper.hosts, "a") == 1
                with keeper.client() as client:
                    assert read(client) == {"first": b"\x00", "a": b"\x01"}
            else:
                with pytest.raises(Misconfigured, match=r"ZooKeeper at .*connection refused"):
                    number_of(keeper.hosts, "a")
            assert killed.is_set()
        finally:
            keeper.kill()
