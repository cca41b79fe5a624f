"""Which way out of their networks actions have, by what the user asked for and who the user is."""

import asyncio
import os
from ipaddress import IPv4Network
from pathlib import Path
from typing import Literal

from upcall.containers.sandbox import veth
from upcall.containers.sandbox.outbound import Ask, Nothing, Outbound, Trouble
from upcall.containers.sandbox.usermode import UserMode

Reach = Literal["none", "private", "host"]


class Swept(Nothing):
    """No way out, and nothing of what an earlier life of root's platform had."""

    def __init__(self, run: Path) -> None:
        self._run = run

    async def start(self) -> None:
        await asyncio.to_thread(veth.sweep, self._run)


def way_out(reach: Reach | None, run: Path, ask: Ask, network: IPv4Network | None = None) -> Outbound:
    """By default (None) a private one, if it can be had; asked for in words it has to be."""
    as_root = os.geteuid() == 0
    if reach in ("none", "host"):
        return Swept(run) if as_root else Nothing()
    trouble = Trouble(required=reach == "private")
    return veth.Veth(ask, run, network, trouble) if as_root else UserMode(ask, network, trouble)
