"""One process of several on a SQLite file: `python -m tests.system.store_member DATABASE NAME BASE DURABILITY`.

Records activations BASE, BASE + 1, … and prints the number of each once it may be told: when it is promised, or, where
nothing can be promised, when it is durable. Each tenth time it writes a document and reads one, as a controller does.
Whatever is refused ends it with its reason.
"""

import asyncio
import os
import sys
from pathlib import Path

from tests.contract.documents import action, activation
from upcall.model.entities import Action
from upcall.model.store_url import SqliteUrl
from upcall.ports import Query
from upcall.store.choice import Storage, opened
from upcall.store.sqlite import Durability


def tell(text: object) -> None:
    os.write(1, f"{text}\n".encode())  # in one piece, however the process ends


async def main(database: str, name: str, base: str, durability: Durability) -> None:
    path = Path(database)
    async with opened(SqliteUrl(path), path.parent / name, durability, name) as store:
        tell("open")
        number = int(base)
        while True:
            await _one(store, number)
            if number % 10 == 0:
                await _document(store, name, number)
            if store.trouble is not None:
                raise RuntimeError(store.trouble)
            number += 1


async def _one(store: Storage, number: int) -> None:
    record = activation(number)
    if store.promise(record):
        tell(number)
        await asyncio.sleep(0)
        assert store.record(record)
        if number % 50 == 0:
            await store.room()
            await asyncio.sleep(0.005)
        return
    assert store.record(record)
    await store.flush()
    tell(number)


async def _document(store: Storage, name: str, number: int) -> None:
    await store.put(action(f"{name}-{number}"))
    await store.list(Action, Query(namespace="guest", limit=5))


if __name__ == "__main__":
    database, name, base, durability = sys.argv[1:]
    asyncio.run(main(database, name, base, "full" if durability == "full" else "normal"))
