"""Numbers of Invokers that ZooKeeper keeps by their names, as OpenWhisk's Invokers keep theirs (spec: invoker.md §4).

    /invokers/idAssignment/mapping/NAME   the number, big-endian two's complement of least length (0: 00; 128: 00 80)
    /invokers/idAssignment/counter        4 bytes, big-endian

A name that has a node keeps its number for ever. A new one gets as its number how many names there are; nothing is ever
freed. OpenWhisk's Invokers set the counter to one more, if it is what they have read, and write their node after that.
So do we, but both at once, in one transaction: of those that start together one succeeds and the others look again.
Where the counter is ahead of the names, another may be between its two steps, and is waited for a while.

Two of OpenWhisk's gaps are closed. A number that somebody has is not given a second time: `--overwriteId` can leave
holes, and where the count of names is taken by one of them, the lowest free number is given. And `--overwriteId`
changes all it changes in one step.

Whenever a connection is lost on the way, all begins anew: what was written is then found by its name.
"""

import contextlib
import logging
import re
import socket
import time
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadVersionError,
    ConnectionLoss,
    KazooException,
    NodeExistsError,
    NoNodeError,
    OperationTimeoutError,
    RolledBackError,
    RuntimeInconsistency,
    SessionExpiredError,
)
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.serialization import Create2
from kazoo.retry import KazooRetry
from kazoo.security import OPEN_ACL_UNSAFE

from upcall.errors import Misconfigured
from upcall.model.names import INVOKERS

ROOT = "/invokers/idAssignment"
MAPPING, COUNTER = f"{ROOT}/mapping", f"{ROOT}/counter"
PATIENCE = 5.0
"""Seconds that servers may take to be reached, and again when they go away meanwhile."""
PAUSE = 0.5
"""Seconds between two attempts."""
BETWEEN = 1.0
"""Seconds that another may be between counter and node."""
SESSION = 4.0
CONTAINERS = (3, 5, 3)
"""Servers from this version on know nodes that go with their last child."""
AGAIN = (BadVersionError, NodeExistsError, NoNodeError, RolledBackError, RuntimeInconsistency)
LOST = (ConnectionLoss, SessionExpiredError, OperationTimeoutError, KazooTimeoutError)

_quiet = logging.getLogger(f"{__name__}.client")
_quiet.setLevel(logging.CRITICAL + 1)
"""What the client says of each attempt; what comes of them is told once, by us."""


class _CreateContainer(Create2):  # type: ignore[misc]
    """The request that the client has no name for."""

    type = 19


def to_bytes(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)


def to_number(data: bytes) -> int:
    """-1 where there are no bytes."""
    return int.from_bytes(data, "big", signed=True) if data else -1


def number_of(hosts: str, name: str, overwrite: int | None = None) -> int:
    """Of the name, which is a node's; where it is new, or `overwrite` says which, it is written. Raises
    Misconfigured."""
    deadline = time.monotonic() + 3 * PATIENCE
    while True:
        try:
            return _asked(hosts, name, overwrite)
        except LOST as error:
            if time.monotonic() > deadline:
                raise Misconfigured(f"ZooKeeper at {hosts} does not keep its connections: {_named(error)}") from error
            time.sleep(PAUSE)
        except KazooException as error:
            raise Misconfigured(
                f"ZooKeeper at {hosts} refuses to keep the number of {name} in {ROOT}: {_named(error)}; give --id N"
            ) from error


def _named(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()


def _asked(hosts: str, name: str, overwrite: int | None) -> int:
    """On a connection of its own."""
    retry = KazooRetry(max_tries=-1, delay=PAUSE, backoff=1, max_jitter=0, max_delay=PAUSE, deadline=PATIENCE)
    servers, _, below = hosts.partition("/")
    client = KazooClient(servers, timeout=SESSION, connection_retry=retry, logger=_quiet)
    try:
        _connect(client, servers)
        names = Names(client, "".join(f"/{part}" for part in below.split("/") if part))
        return names.number(name) if overwrite is None else names.overwrite(name, overwrite)
    finally:
        client.stop()
        client.close()


def _connect(client: Any, hosts: str) -> None:
    try:
        client.start(timeout=PATIENCE)
    except KazooTimeoutError as error:
        raise Misconfigured(
            f"ZooKeeper at {hosts} was not reached in {PATIENCE:.0f} s ({_why(hosts)}): is --zookeeper-hosts "
            "(ZOOKEEPER_HOSTS) right, and does it run?"
        ) from error


def _why(hosts: str) -> str:
    """What the first server's address says."""
    host, _, port = hosts.partition(",")[0].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return "it takes connections and says nothing"


class Names:
    """On a connected client, all of it below a node. What it raises is kazoo's."""

    def __init__(self, client: Any, below: str = "") -> None:
        self._client = client
        self._mapping, self._counter = below + MAPPING, below + COUNTER

    def number(self, name: str) -> int:
        """That the name has, or has from now on."""
        path, waited = f"{self._mapping}/{name}", False
        while True:
            if (held := self._own(path)) is not None:
                return held
            counter, version = self._count()
            taken = self._all()
            if int.from_bytes(counter, "big") > len(taken) and not waited:
                time.sleep(BETWEEN)
                waited = True
                continue
            number = len(taken) if len(taken) not in taken.values() else _lowest_free(set(taken.values()))
            if self._write((version, (len(taken) + 1).to_bytes(4, "big")), path, number, gone=[], there=False):
                return number

    def overwrite(self, name: str, number: int) -> int:
        """The name has it from now on, and no other does. Raises Misconfigured where it would leave a gap."""
        path = f"{self._mapping}/{name}"
        while True:
            counter, version = self._count()
            taken = self._all()
            if number > len(taken):
                raise Misconfigured(
                    f"--overwriteId {number} is too high: ZooKeeper keeps the numbers of {len(taken)} Invokers, so it "
                    f"may be {len(taken)} at most"
                )
            others = [f"{self._mapping}/{each}" for each, its in taken.items() if its == number and each != name]
            if taken.get(name) == number and not others:
                return number
            if self._write((version, counter), path, number, gone=others, there=name in taken):
                return number

    def _write(self, counter: tuple[int, bytes], path: str, number: int, *, gone: list[str], there: bool) -> bool:
        """All of it, or nothing where another was quicker: `counter` is the version that was read, and what is next.
        `there`: the node is, `gone` are others that go."""
        self._parents(path)
        step = self._client.transaction()
        step.set_data(self._counter, counter[1], counter[0])
        for other in gone:
            step.delete(other)
        if there:
            step.set_data(path, to_bytes(number))
        else:
            step.create(path, to_bytes(number))
        failed = [each for each in step.commit() if isinstance(each, Exception)]
        for each in failed:
            if not isinstance(each, AGAIN):
                raise each
        return not failed

    def _all(self) -> dict[str, int]:
        """Numbers by name; what is in a node may be none."""
        try:
            names = self._client.get_children(self._mapping)
        except NoNodeError:
            return {}
        held = {name: self._data(f"{self._mapping}/{name}") for name in names}
        return {name: to_number(data) for name, data in held.items() if data is not None}

    def _own(self, path: str) -> int | None:
        """None: there is none. Raises Misconfigured where the node has something else."""
        data = self._data(path)
        if data is None:
            return None
        number = to_number(data)
        if not 0 <= number < INVOKERS:
            raise Misconfigured(
                f"ZooKeeper's node {path} has {data[:16].hex(' ') or 'nothing'}, which is no number of an Invoker: "
                "say which it is with --overwriteId N, or give --id N"
            )
        return number

    def _data(self, path: str) -> bytes | None:
        try:
            data: bytes = self._client.get(path)[0]
        except NoNodeError:
            return None
        return data

    def _count(self) -> tuple[bytes, int]:
        """Its bytes and their version; where there is none it is made."""
        while True:
            with contextlib.suppress(NoNodeError):
                data, stat = self._client.get(self._counter)
                return data, stat.version
            self._parents(self._counter)
            with contextlib.suppress(NodeExistsError, NoNodeError):
                self._client.create(self._counter, bytes(4))

    def _parents(self, path: str) -> None:
        """As nodes that go with their last child, where the server knows them: so OpenWhisk makes them."""
        above = path.split("/")[1:-1]
        for count in range(1, len(above) + 1):
            parent = "/" + "/".join(above[:count])
            if self._client.exists(parent) is None:
                self._make(parent)

    def _make(self, path: str) -> None:
        with contextlib.suppress(NodeExistsError):
            if not self._knows_containers():
                self._client.create(path)
                return
            result = self._client.handler.async_result()
            self._client._call(_CreateContainer(path, b"", OPEN_ACL_UNSAFE, 4), result)
            result.get()

    def _knows_containers(self) -> bool:
        """By the one command that servers answer unless they are told not to."""
        said = self._client.command(b"srvr")
        found = re.match(r"Zookeeper version: (\d+)\.(\d+)\.(\d+)", said)
        return found is not None and tuple(map(int, found.groups())) >= CONTAINERS


def _lowest_free(taken: set[int]) -> int:
    return min(set(range(len(taken) + 1)) - taken)
