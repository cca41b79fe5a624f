"""Records that `flush` answered for are there after kill -9, whole and once."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from tests.contract.documents import activation
from upcall.model.activation import Activation
from upcall.ports import Query
from upcall.store.sqlite import SqliteStore

WRITER = """
import asyncio, sys
from tests.contract.documents import activation
from upcall.store.sqlite import SqliteStore

async def main(path, durability):
    async with SqliteStore(path, durability) as store:
        number = 0
        while True:
            for _ in range(number % 7 + 1):
                number += 1
                assert store.record(activation(number))
            await store.flush()
            print(number, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("durability", ["normal", "full"])
async def test_what_was_flushed_outlasts_kill_9(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "upcall.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), durability, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    flushed = 0
    while flushed < 500:
        line = await process.stdout.readline()
        assert line, "the writer ended by itself"
        flushed = int(line)
    process.kill()
    rest = (await process.communicate())[0].decode()
    flushed = max([flushed, *(int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n"))])
    assert process.returncode == -signal.SIGKILL

    async with SqliteStore(path) as store:
        found = await store.list(Activation, Query(namespace="guest", limit=0))
        assert list(found[-flushed:]) == [activation(number) for number in range(flushed, 0, -1)]
        assert len({doc.activation_id for doc in found}) == len(found)
