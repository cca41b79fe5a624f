"""`upcall` without the journal and the log ahead of the database, for comparison: `python -m bench.unkept serve …`."""

from upcall.app import parts
from upcall.bus.memory import MemoryBus
from upcall.cli.main import main
from upcall.ports import Journal
from upcall.store import sqlite
from upcall.store.ahead import Ahead


class Unkept(MemoryBus):
    """Forgets the journal."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()


class NoLog(Ahead):
    """Writes nothing, and says that it did."""

    def append(self, data: bytes) -> bool:
        return True


if __name__ == "__main__":
    parts.__dict__["MemoryBus"] = Unkept
    sqlite.__dict__["Ahead"] = NoLog
    main()
