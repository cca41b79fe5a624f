"""One of two processes that write the same to one PostgreSQL database; prints how many documents it made first.

postgres_worker.py URL NAME
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.contract.documents import action, activation
from upcall.errors import Conflict
from upcall.model.entities import Action
from upcall.model.store_url import PostgresUrl
from upcall.store.postgres import PostgresStore


async def main(url: str, name: str) -> int:
    made = 0
    async with PostgresStore(PostgresUrl(url)) as store:
        for number in range(100, 300) if name == "a" else range(200):
            store.record(activation(number))
        for number in range(50):
            try:
                await store.put(action(f"a{number}"))
                made += 1
            except Conflict:
                await asyncio.sleep(0)
        for number in range(50):
            for _ in range(20):
                await update(store, f"guest/a{number}")
    return made


async def update(store: PostgresStore, id: str) -> None:
    """Count the version up, until nobody has come between."""
    while True:
        stored = await store.get(Action, id)
        assert isinstance(stored.doc, Action)
        stored.doc.version = f"0.0.{int(stored.doc.version.rpartition('.')[2]) + 1}"
        try:
            await store.put(stored.doc, stored.rev)
            return
        except Conflict:
            await asyncio.sleep(0)


if __name__ == "__main__":
    print(asyncio.run(main(sys.argv[1], sys.argv[2])))
