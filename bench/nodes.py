"""Processes under measurement, the Invoker and its floor, and the store between them."""

import contextlib
import http.client
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Raw

from upcall.model.activation import Activation, Response
from upcall.model.entities import Action
from upcall.model.store_url import PostgresUrl
from upcall.store.postgres import PostgresStore
from upcall.store.sqlite import SqliteStore


async def stored(url: str, actions: Sequence[Action]) -> list[str]:
    """The actions are put into a fresh store; their revisions."""
    async with _store(url) as store:
        return [await store.put(action) for action in actions]


async def committed(url: str, count: int) -> float:
    """p50 in ms of taking one record and waiting until it is durable."""
    times = []
    async with _store(url) as store:
        for number in range(count):
            began = time.perf_counter()
            store.record(_record(number))
            await store.flush()
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def _record(number: int) -> Activation:
    response = Response(0, Raw(b'{"n":"Ada"}'), 11)
    return Activation("bench", "alone", "guest", f"{number:032x}", 1, 2, 1, None, response, [], annotations=Raw(b"[]"))


def _store(url: str) -> SqliteStore | PostgresStore:
    """A file's path, or a server's URL."""
    return SqliteStore(Path(url)) if url.startswith("/") else PostgresStore(PostgresUrl(url))


@contextlib.contextmanager
def started(command: Sequence[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of this Python that is stopped in the end; its output goes to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def await_text(process: subprocess.Popen[bytes], log: Path, text: str, patience: float = 30.0) -> float:
    """Seconds until it is in the output. Raises AssertionError when the process ends, or it does not come."""
    began = time.monotonic()
    while text not in (found := log.read_text()):
        assert process.poll() is None, f"it has ended:\n{found}"
        assert time.monotonic() - began < patience, f"no '{text}' in {patience:g} s:\n{found}"
        time.sleep(0.005)
    return time.monotonic() - began


def await_ready(process: subprocess.Popen[bytes], log: Path, port: int, patience: float = 30.0) -> None:
    """Return when `/ready` says so. Raises AssertionError when the process ends, or that does not come."""
    deadline = time.monotonic() + patience
    while not _ready(port):
        text = log.read_text()
        assert process.poll() is None, f"it has ended:\n{text}"
        assert time.monotonic() < deadline, f"not ready in {patience:g} s:\n{text}"
        time.sleep(0.005)


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
