"""What upstream's tests and the checklist name and no check here sees, with the reason (spec: invoker.md §11, §13)."""

from typing import NamedTuple


class Elsewhere(NamedTuple):
    id: str
    spec: str
    what: str
    why: str


ELSEWHERE: tuple[Elsewhere, ...] = ()
