"""How many stem cells to have: containers started for a kind and a memory before anyone asks (spec: container.md §6.4).

A cell's `wanted` is the count that the pool refills to, at once when one is used, and whenever memory is free that no
job waits for. A plain cell always wants its `count`. A reactive one follows the cold starts that it could have
spared, in rounds (`PoolConfig.prewarm_check` apart):

| what happens                       | wanted, plain | wanted, reactive                                          |
|------------------------------------|---------------|-----------------------------------------------------------|
| start                              | count         | count                                                     |
| one is used by a job               | count         | as before: its replacement starts at once                 |
| one expired, broke or was evicted  | count         | what is left, at least `least`                            |
| round, with cold starts since last | count         | cold // threshold * increment, in [`least`, `most`]       |
| round, without                     | count         | `least`                                                   |

A round removes those older than `ttl` first, also below `least`: the refill replaces them by fresh ones. What is above
`wanted` is left to expiry. A cell whose container did not come up, or broke, is not refilled for a while
(`PoolConfig.prewarm_retry`): upstream starts the next at once, without an end.
"""

from collections.abc import Iterable

import msgspec

from upcall.errors import Misconfigured

CellKey = tuple[str, int]
"""Kind and memory in MB: a job uses a stem cell only where both are its own."""


class Reactive(msgspec.Struct, frozen=True):
    """How a count follows cold starts; `ttl` in seconds."""

    least: int
    most: int
    ttl: float
    threshold: int
    increment: int


class StemCell(msgspec.Struct, frozen=True):
    """A line of the runtimes manifest; `memory` in MB, `count` wanted at start."""

    kind: str
    memory: int
    count: int
    reactive: Reactive | None = None


class Cell(msgspec.Struct, eq=False):
    """One line's state. `live` are those starting or ready, `cold` the cold starts since the last round; none is
    started while `retry_at` is set: the Tick at that time clears it (the one at the start of the pool, too)."""

    config: StemCell
    wanted: int
    retry_at: float | None
    live: int = 0
    cold: int = 0

    @property
    def ttl(self) -> float:
        return self.config.reactive.ttl if self.config.reactive else float("inf")


def cells_of(configs: Iterable[StemCell], now: float) -> dict[CellKey, Cell]:
    """Raises Misconfigured where two lines name the same kind and memory."""
    cells: dict[CellKey, Cell] = {}
    for config in configs:
        key = config.kind, config.memory
        if key in cells:
            raise Misconfigured(f"stemCells of {config.kind} name {config.memory} MB twice: make them one line")
        cells[key] = Cell(config, config.count, now)
    return cells


def lose(cell: Cell) -> None:
    """One is gone without having been used."""
    cell.live -= 1
    if cell.config.reactive:
        cell.wanted = max(cell.config.reactive.least, min(cell.wanted, cell.live))


def begin_round(cell: Cell) -> None:
    """Set what is wanted until the next one."""
    reactive = cell.config.reactive
    if reactive:
        grown = cell.cold // reactive.threshold * reactive.increment
        cell.wanted = min(max(reactive.least, grown), reactive.most)
    cell.cold = 0


def short(cell: Cell) -> bool:
    """One more may be started."""
    return cell.live < cell.wanted and cell.retry_at is None
