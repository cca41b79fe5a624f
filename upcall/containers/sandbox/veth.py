"""Root's way out: a pair of interfaces per namespace, the host as its router, one set of rules for all (`firewall`).

A link is named `uc<tag>-<n>`: the tag tells the platform by its run folder, so that a sweep at the start removes what
an earlier life of the same folder left, and nothing of another's. Each has two addresses of a network of its own (/31);
numbers go round, so that answers to somebody who has gone do not come to who follows him. A route that refuses what no
link has keeps the range for this platform.

A pair goes with either of its ends, so a killed platform leaves none unless something of the namespace is left, as a
connection that is still being closed; rules, Docker's too, and switched forwarding are left until the next start.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path

from upcall.containers.sandbox import addresses, firewall, forwarding, nft, pod
from upcall.containers.sandbox.outbound import INSIDE_ALONE, Ask, Link, Trouble
from upcall.containers.sandbox.zygote import ZygoteLost
from upcall.errors import Misconfigured, StartFailed
from upcall.runtimes.python.link import INNER
from upcall.runtimes.python.rtnetlink import Netlink

log = logging.getLogger(__name__)

_TABLES = "upcall-"
_NOTE = "network"
"""A file in the run folder while there may be rules: JSON, the range, and which links were switched to forwarding."""
_OURS = re.compile("uc[0-9a-f]{8}-")
_MOST = 0x8000
_PREFIX = 31


class Pair(Link):
    """Two interfaces; `turn` is the number in the name and the place in the range."""

    def __init__(self, number: int, turn: int) -> None:
        super().__init__(number)
        self.turn = turn


class Veth:
    """`run` is the platform's run folder; `network` the range to use, else a free one is chosen."""

    def __init__(self, ask: Ask, run: Path, network: IPv4Network | None, trouble: Trouble) -> None:
        self._ask = ask
        self._trouble = trouble
        self._wanted = network
        self._network = addresses.CANDIDATES[0]
        self._run = run
        self._table = f"{_TABLES}{tag_of(run)}"
        self._prefix = f"uc{tag_of(run)}-"
        self._taken: set[int] = set()
        self._turn = 0
        self._started = False
        self._removing = ThreadPoolExecutor(1, "links")  # one: the kernel does one at a time

    @property
    def reach(self) -> str:
        return f"private, {self._network}" if self._started else INSIDE_ALONE

    async def start(self) -> None:
        try:
            await asyncio.to_thread(self._start)
        except (OSError, Misconfigured) as error:
            await asyncio.to_thread(sweep, self._run)
            self._trouble.at_start(str(error))

    def _start(self) -> None:
        sweep(self._run)
        nft.needed("the rules for actions' links")
        sight = addresses.look()
        links = [name for name in sight.links.values() if name != "lo" and not _OURS.match(name)]
        switched = forwarding.off(links)
        if firewall.others(_TABLES):  # what forwards may be switched by another platform, which leaves that to the last
            switched += forwarding.on_alone(links)
        self._network = self._reserve(addresses.free(sight, self._wanted, pod.kept(sight.own)), switched)
        table = firewall.text(
            self._table, f'"{self._prefix}*"', self._network, sight.uplinks, switched, guarded=pod.guarded()
        )
        firewall.load(self._table, table)
        forwarding.switch_on(switched)  # after the table, so that who finds it switched finds the table
        firewall.open_docker(self._prefix)
        self._started = True
        log.info("actions' network: %s, links %s*, nftables' table %s", self._network, self._prefix, self._table)

    async def attach(self, number: int, fd: int) -> Link:
        pair = Pair(number, self._next())
        if not self._started:
            return pair
        self._taken.add(pair.turn)
        try:
            await asyncio.to_thread(self._make, pair, fd)
            ours, theirs = self._addresses(pair)
            order = {"name": INNER, "address": theirs, "prefix": _PREFIX, "gateway": ours}
            await self._ask({"op": "link", "forward": False, **order}, [fd])
        except (OSError, StartFailed) as error:
            await self.detach(pair)
            if isinstance(error, ZygoteLost):
                raise
            self._trouble.once(str(error))
        except BaseException:
            await asyncio.shield(self.detach(pair))
            raise
        return pair

    async def detach(self, link: Link) -> None:
        assert isinstance(link, Pair)
        if link.turn in self._taken:
            await asyncio.get_running_loop().run_in_executor(self._removing, _delete, [self._name(link)])
            self._taken.discard(link.turn)

    async def close(self) -> None:
        if self._started:
            self._started = False
            await asyncio.to_thread(sweep, self._run)
        self._removing.shutdown(wait=False)

    def _reserve(self, candidates: list[IPv4Network], switched: list[str]) -> IPv4Network:
        """Take the first by a route that refuses, which only one platform can add, and note what is to be undone."""
        with Netlink() as netlink:
            for network in candidates:
                (self._run / _NOTE).write_text(json.dumps({"network": str(network), "switched": switched}))
                try:
                    netlink.add_route(str(network.network_address), network.prefixlen)
                except FileExistsError:
                    continue
                return network
        (self._run / _NOTE).unlink()
        raise addresses.taken(self._wanted)

    def _name(self, pair: Pair) -> str:
        return f"{self._prefix}{pair.turn:x}"

    def _next(self) -> int:
        most = min(_MOST, self._network.num_addresses // 2)
        for _ in range(most):
            self._turn = (self._turn + 1) % most
            if self._turn not in self._taken:
                break
        return self._turn

    def _addresses(self, pair: Pair) -> tuple[str, str]:
        """The host's and the namespace's."""
        return str(self._network[2 * pair.turn]), str(self._network[2 * pair.turn + 1])

    def _make(self, pair: Pair, fd: int) -> None:
        with Netlink() as netlink:
            index = netlink.add_veth(self._name(pair), INNER, fd)
            netlink.add_address(index, self._addresses(pair)[0], _PREFIX)
            netlink.forward(index)
            netlink.set_up(index)


def tag_of(run: Path) -> str:
    return hashlib.sha256(os.fsencode(run.resolve())).hexdigest()[:8]


def sweep(run: Path) -> None:
    """Remove what a life of this run folder has left: links, rules, the switch. Errors are logged."""
    table, prefix, note = f"{_TABLES}{tag_of(run)}", f"uc{tag_of(run)}-", run / _NOTE
    _delete([name for _, name in socket.if_nameindex() if name.startswith(prefix)])
    try:
        noted = json.loads(note.read_text())
    except (OSError, ValueError):
        return
    try:
        firewall.remove(table)
        firewall.close_docker(prefix)
        _undo(IPv4Network(noted["network"]), noted["switched"])
        note.unlink()
    except OSError as error:
        log.error("what the network of actions has left on this host cannot be removed: %s", error)


def _undo(network: IPv4Network, switched: list[str]) -> None:
    with contextlib.suppress(OSError), Netlink() as netlink:  # removed by somebody else
        netlink.delete_route(str(network.network_address), network.prefixlen)
    if not firewall.others(_TABLES):  # another platform needs the switches, too
        forwarding.switch_back(switched)


def _delete(names: list[str]) -> None:
    for name in names:
        with contextlib.suppress(OSError), Netlink() as netlink:  # gone with its namespace
            netlink.delete_link(socket.if_nametoindex(name))
