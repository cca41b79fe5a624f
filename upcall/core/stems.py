"""Which stem cells are kept (`core.prewarm`): the setting `prewarm`, and what stands in for an absent one.

    nodejs:20=2             two of them, of the usual memory of an action
    python:3=1/512m,…       one, of 512 MB; several with commas between them
    none                    none

By default there is one of Node.js, whose start takes some 50 ms, in pools that have room for more than that. It is
reactive: cold starts make more of it for a while, and it goes where an action needs its memory. A runtimes manifest
that is given says for itself what is wanted.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from upcall.core.prewarm import Reactive, StemCell
from upcall.errors import Misconfigured
from upcall.model.forms import count, megabytes
from upcall.model.runtimes import Manifest
from upcall.model.runtimes import Reactive as Given
from upcall.model.sizes import parse_duration

_NONE = "none"
_FAMILY = "nodejs"
_ROOM = 1024
_REACTIVE = Reactive(least=1, most=4, ttl=600.0, threshold=1, increment=1)


class Wish(NamedTuple):
    """One part of the setting; `memory` in MB, None for the usual one."""

    kind: str
    number: int
    memory: int | None


def parse_prewarm(text: str) -> tuple[Wish, ...] | None:
    """None where nothing is said. Raises ValueError."""
    if not text:
        return None
    return () if text == _NONE else tuple(_wish(part.strip()) for part in text.split(","))


def _wish(text: str) -> Wish:
    kind, equals, rest = text.partition("=")
    number, slash, memory = rest.partition("/")
    if not (kind and equals):
        raise ValueError(f"'{text}' is not KIND=COUNT or KIND=COUNT/MEMORY, as in nodejs:20=2/256m")
    return Wish(kind.strip(), count(number), megabytes(memory) if slash else None)


def stem_cells(wishes: Iterable[Wish] | None, kinds: Sequence[str], pool: int, usual: int) -> tuple[StemCell, ...]:
    """For a pool of so many MB, where actions have `usual` MB. Raises Misconfigured where a wish cannot be had."""
    if wishes is None:
        kept = [kind for kind in kinds if kind.startswith(f"{_FAMILY}:")][:1]
        return tuple(StemCell(kind, usual, 1, _REACTIVE) for kind in kept if pool >= max(_ROOM, 2 * usual))
    cells = tuple(StemCell(wish.kind, wish.memory or usual, wish.number) for wish in wishes if wish.number)
    for cell in cells:
        if cell.kind not in kinds:
            raise Misconfigured(f"prewarm: the kind {cell.kind} does not run here; these do: {', '.join(kinds)}")
    needed = sum(cell.memory * cell.count for cell in cells)
    if needed > pool:
        raise Misconfigured(f"prewarm: {needed} MB are asked for, and all actions together have {pool} MB (--memory)")
    return cells


def manifest_cells(manifest: Manifest) -> tuple[StemCell, ...]:
    """Those that a runtimes manifest asks for (spec: container.md §1). Raises Misconfigured."""
    return tuple(
        StemCell(runtime.kind, cell.megabytes, cell.wanted, _reactive(runtime.kind, cell.reactive))
        for runtime in manifest.all
        for cell in runtime.stem_cells
    )


def _reactive(kind: str, given: Given | None) -> Reactive | None:
    if given is None:
        return None
    try:
        ttl = parse_duration(given.ttl)
        if ttl <= 0:
            raise ValueError(f"'{given.ttl}' is not more than nothing")
    except ValueError as error:
        raise Misconfigured(f"the runtimes manifest: stemCells of {kind}: ttl: {error}") from error
    return Reactive(given.min_count, given.max_count, ttl, given.threshold, given.increment)
