"""What `upcall serve` finds on this machine when it starts: asked by the same code, and nothing is changed."""

import os
from collections.abc import Callable, Collection, Sequence

import msgspec

from upcall.containers.sandbox import cgroups, firewall, launch, nft, usermode
from upcall.errors import Misconfigured
from upcall.host import Room, default_pool_memory, room
from upcall.model.sizes import SystemLimits


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """`missing`: what sandboxes are made by, and is not there. `refused`: bubblewrap's complaint. `forbidding`:
    settings as `kernel.name`, what they are and have to be. `no_way_out`: why actions reach no network. `dropping`:
    whose rules drop what they send. `groups`: controllers that may be used. `memory`: MB for actions, by default."""

    missing: str = ""
    refused: str = ""
    forbidding: Sequence[tuple[str, str, str]] = ()
    no_way_out: str = ""
    dropping: str = ""
    groups: Collection[str] = ()
    memory: int
    least: int
    """MB that one action usually takes."""
    room: Room


def gather() -> Machine:
    limits = SystemLimits()
    missing = _why(lambda: launch.mode("full"))
    root = os.geteuid() == 0
    return Machine(
        missing=missing,
        refused="" if missing else launch.trial(),
        forbidding=[(each.key, each.now, each.wanted) for each in launch.forbidding()],
        no_way_out=_why(lambda: nft.needed("the rules for actions' links") if root else usermode.find()),
        dropping=firewall.dropping() if root else "",
        groups=sorted(cgroups.offered()),
        memory=default_pool_memory(),
        least=limits.memory.std,
        room=room(limits.memory.min),
    )


def _why(look: Callable[[], object]) -> str:
    try:
        look()
    except Misconfigured as error:
        return str(error)
    return ""
