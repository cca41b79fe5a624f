"""What an activation record costs in a store, in microseconds of CPU; `python -m bench.store [--ids random]`.

`loop` is the time that `Store.record` takes on the event loop; `all` is user+sys of the process, all its threads, from
the first record to the last commit, per record; `rows/s` is by the clock. A batch is recorded in one turn of the loop
and then awaited (`flush`), so each batch is one commit. `--stored N` puts N records there first: random ids get dearer
with them, timed ones do not. With `--postgres URL` the same is measured there (in a fresh database, and without the
server's own CPU).
"""

import argparse
import asyncio
import secrets
import socket
import tempfile
import time
from pathlib import Path

from msgspec import Raw

from upcall.model.activation import Activation, Response
from upcall.model.store_url import PostgresUrl
from upcall.ports import Store
from upcall.store.postgres import PostgresStore
from upcall.store.sqlite import SqliteStore

ANNOTATIONS = Raw(
    b'[{"key":"path","value":"guest/pkg/greet"},{"key":"kind","value":"python:3.11"},{"key":"timeout","value":false},'
    b'{"key":"limits","value":{"concurrency":1,"logs":10,"memory":256,"timeout":60000}},{"key":"waitTime","value":12}]'
)
RESPONSE = Response(0, Raw(b'{"greeting":"hi Ada"}'), 21)
LOGS = ["2026-11-23T04:00:00.123456789Z stdout: hi"]
START = 1_795_400_000_000


def records(count: int, first: int, timed: bool) -> list[Activation]:
    """Five a millisecond. A timed id begins with the time in ms, as UUID version 7 does."""
    made = []
    for number in range(first, first + count):
        at = START + number // 5
        id = f"{at:012x}{secrets.token_hex(10)}" if timed else secrets.token_hex(16)
        made.append(
            Activation("guest", "greet", "guest", id, at, at + 5, 5, None, RESPONSE, LOGS, annotations=ANNOTATIONS)
        )
    return made


async def measure(store: Store, batch: int, made: list[Activation]) -> tuple[float, float, float]:
    """`loop`, `all` and seconds, of a record."""
    on_loop, cpu, began = 0.0, time.process_time(), time.perf_counter()
    for start in range(0, len(made), batch):
        chunk = made[start : start + batch]
        before = time.perf_counter()
        for each in chunk:
            store.record(each)
        on_loop += time.perf_counter() - before
        await store.flush()
    took = time.perf_counter() - began
    return on_loop / len(made) * 1e6, (time.process_time() - cpu) / len(made) * 1e6, took / len(made)


def work(ends: tuple[socket.socket, socket.socket]) -> None:
    """About what an activation costs elsewhere: two writes, two reads and some interpreting."""
    for _ in range(2):
        ends[0].send(b"x" * 500)
        ends[1].recv(16384)
    sum(range(1000))


async def under_load(store: Store, made: list[Activation]) -> float:
    """`all`, where the loop is busy with activations, ten a turn, and nobody waits for their records: the difference
    to the same work without records, taken by turns."""
    ends = socket.socketpair()
    spent = [0.0, 0.0]
    for start in range(0, len(made), 1000):
        for which in (0, 1):
            cpu = time.process_time()
            for number, each in enumerate(made[start : start + 1000]):
                work(ends)
                if which:
                    store.record(each)
                if number % 10 == 9:
                    await asyncio.sleep(0)
            if which:
                await store.flush()
            spent[which] += time.process_time() - cpu
    for end in ends:
        end.close()
    return (spent[1] - spent[0]) / len(made) * 1e6


async def column(name: str, store: Store, timed: bool, stored: int) -> None:
    first = 0
    for chunk in range(0, stored, 5000):
        await measure(store, 5000, records(min(5000, stored - chunk), first, timed))
        first += 5000
    for batch in (1, 10, 50, 300):
        best = []
        for _ in range(3):
            count = min(20_000, batch * 2000)
            made = records(count, first, timed)
            first += count
            best.append(await measure(store, batch, made))
        on_loop, all, seconds = (min(column) for column in zip(*best, strict=True))
        print(f"{name:8} batch {batch:4}: loop {on_loop:5.2f} us, all {all:6.2f} us, {1 / seconds:7.0f} rows/s")
    loads = [await under_load(store, records(20_000, first + 20_000 * turn, timed)) for turn in range(3)]
    print(f"{name:8} under load, not awaited: all {min(loads):6.2f} us")


async def main(timed: bool, stored: int, postgres: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with SqliteStore(Path(folder) / "bench.db") as store:
            await column("SQLite", store, timed, stored)
    if postgres is not None:
        async with PostgresStore(PostgresUrl(postgres)) as remote:
            await column("Postgres", remote, timed, stored)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ids", choices=["timed", "random"], default="timed")
    parser.add_argument("--stored", type=int, default=0)
    parser.add_argument("--postgres", metavar="URL")
    parser.add_argument("--uvloop", action="store_true")
    options = parser.parse_args()
    run = main(options.ids == "timed", options.stored, options.postgres)
    if options.uvloop:
        import uvloop

        uvloop.run(run)
    else:
        asyncio.run(run)
