"""Root's rules about the packets of our containers: two tables of nftables per platform, made at the start, replaced
when the network changes, removed at the end. They go by the containers' MAC addresses (`macs`), so that none is needed
per container, and stand before Docker's own, which stay as they are.

The table of the family inet refuses what the host would take or pass on: the host by any of its addresses, what it
redirects elsewhere (`dnat`), its other bridges, link-local, the clouds' metadata, multicast. Answers to whom the host
has called may go; so may calls of the API and DNS (`openings`). What is for the host itself stays for it, though it
redirects that port for others, as Docker and Kubernetes do for published ones (chain `fixed`).

The table of the family bridge is about neighbours, whose packets the host does not see as a router: other containers of
ours always; in the engine's default network, where everything is that nobody has put anywhere, also those of others.
What is for them is handed to the host instead, which refuses it at once; a wall behind stops whatever is left.

Refused is answered at once and not dropped, so that no action waits for a time-out.
"""

import hashlib
import ipaddress
from collections.abc import Iterable

import msgspec

from upcall.containers.docker import macs
from upcall.containers.docker.openings import Opening
from upcall.containers.docker.segment import Segment
from upcall.containers.sandbox import nft
from upcall.containers.sandbox.addresses import NEVER

_TABLES = "upcall_docker_"
_NEVER_IPV6 = ("::/127", "fe80::/10", "ff00::/8", "fd00:ec2::254", "fd20:ce::254")
"""Nobody and loopback, link-local, multicast, metadata of two clouds."""
_TAGS = 256
CALLS = 32
"""Connections to the API at a time, of one container."""
_CALLERS = 1 << 16
_NEIGHBOURS = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What they depend on, but for whose they are."""

    segment: Segment
    api: Opening | None = None
    """Our own listener."""
    openings: tuple[Opening, ...] = ()
    uplinks: frozenset[str] = frozenset()
    """The host's links to everywhere."""
    alone: bool = False
    """Whether there is nothing but the openings."""

    @property
    def closed(self) -> bool:
        """Whether neighbours are refused that are not ours."""
        return self.alone or self.segment.usual


def host_table(table: str, tag: int, rules: Rules) -> str:
    """For nft: what the host takes and passes on."""
    ours = _match("saddr", macs.of_tag(tag))
    return f"""
table inet {table} {{
    set callers {{
        type ether_addr
        size {_CALLERS}
        flags dynamic
    }}
    {_fixed(ours, rules)}
    chain input {{
        type filter hook input priority filter - 5; policy accept;
        {ours} goto host
    }}
    chain host {{
        ct state established ct direction reply accept
        ct state related meta l4proto {{ icmp, ipv6-icmp }} accept
        {_NEIGHBOURS}
        {_api(rules)}
        {_lines(f"{each.meant} accept" for each in rules.openings)}
        goto refuse
    }}
    chain forward {{
        type filter hook forward priority filter - 5; policy accept;
        {ours} goto world
    }}
    chain world {{
        {_NEIGHBOURS}
        {_lines(f"{each.meant} accept" for each in rules.openings)}
        {_world(rules)}
    }}
    {nft.REFUSE}
}}
"""


def bridge_table(table: str, tag: int, rules: Rules) -> str:
    """For nft: what containers say to neighbours."""
    ours, to_ours = _match("saddr", macs.of_tag(tag)), _match("daddr", macs.of_tag(tag))
    openings = _lines(f"{words} accept" for each in rules.openings for words in (each.called, each.answering))
    return f"""
table bridge {table} {{
    chain before {{
        type filter hook prerouting priority filter; policy accept;
        {ours} jump handed
    }}
    chain handed {{
        {_NEIGHBOURS}
        {openings}
        {_lines(f"{each} goto host" for each in _neighbours(rules))}
    }}
    chain host {{
        ether daddr set {rules.segment.mac} meta pkttype set host
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        {ours} goto wall
        {f"{to_ours} goto wall" if rules.closed else ""}
    }}
    chain wall {{
        ether type arp accept
        {_NEIGHBOURS}
        {openings}
        {_wall(rules)}
    }}
}}
"""


def reserve(owner: str) -> int:
    """A tag of one's own on this host: the one of an earlier life, else a free one. Raises OSError."""
    own = _short(owner)
    first = int(own[:2], 16)
    for tag in ((first + turn) % _TAGS for turn in range(_TAGS)):
        found = _found()
        if mine := [each for each, whose in found if whose == own]:
            return mine[0]
        if tag in {each for each, _ in found}:
            continue
        nft.apply(f"table inet {_name(tag, owner)}\n")
        if sum(each == tag for each, _ in _found()) == 1:
            return tag
        nft.apply(nft.removal(_name(tag, owner)))  # somebody else has come to the same at the same time
    raise OSError(f"nft has tables of {_TAGS} platforms: remove those whose names begin with {_TABLES}")


def load_host(owner: str, tag: int, made: Rules) -> None:
    """In the place of what there is, in one step. Raises OSError."""
    table = _name(tag, owner)
    nft.apply(nft.removal(table) + host_table(table, tag, made))


def load_bridge(owner: str, tag: int, made: Rules) -> None:
    """The same. Raises OSError also where the kernel has no nftables for bridges."""
    table = _name(tag, owner)
    nft.apply(nft.removal(table, "bridge") + bridge_table(table, tag, made))


def remove(owner: str) -> None:
    """Whatever there is of this owner's. Raises OSError."""
    for family in ("inet", "bridge"):
        for table in nft.tables(_TABLES, family):
            if belongs(table, owner):
                nft.apply(nft.removal(table, family))


def belongs(table: str, owner: str) -> bool:
    """Whether that is the name of a table of theirs."""
    return table.startswith(_TABLES) and table.endswith(f"_{_short(owner)}")


def _found() -> list[tuple[int, str]]:
    """Tags, and whose they are."""
    rests = [table.removeprefix(_TABLES).partition("_") for table in nft.tables(_TABLES)]
    return [(int(tag, 16), own) for tag, _, own in rests]


def _name(tag: int, owner: str) -> str:
    """Of both tables."""
    return f"{_TABLES}{tag:02x}_{_short(owner)}"


def _short(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest()[:8]


def _match(field: str, compared: tuple[str, str]) -> str:
    mask, value = compared
    return f"ether {field} & {mask} == {value}"


def _lines(rules: Iterable[str]) -> str:
    return "\n        ".join(rules)


def _fixed(ours: str, rules: Rules) -> str:
    """Before others redirect it."""
    return f"""chain before {{
        type nat hook prerouting priority dstnat - 5; policy accept;
        {ours} goto fixed
    }}
    chain fixed {{
        {_lines(f"{each.called} accept" for each in rules.openings)}
        meta nfproto ipv4 fib daddr type local dnat ip to ip daddr
        meta nfproto ipv6 fib daddr type local dnat ip6 to ip6 daddr
    }}"""


def _api(rules: Rules) -> str:
    """So many connections at a time for each container: all tenants come by one door."""
    if rules.api is None:
        return ""
    called = f'iifname "{rules.segment.bridge}" {rules.api.called}'
    most = f"add @callers {{ ether saddr ct count over {CALLS} }}"
    return _lines((f"{called} ct state new {most} goto refuse", f"{called} accept"))


def _world(rules: Rules) -> str:
    """What of it is refused. What the host passes on within the network itself is what `bridge_table` has handed to
    it, or, where the kernel shows bridged packets to routers' rules (br_netfilter), what goes on to a neighbour."""
    bridge = f'oifname "{rules.segment.bridge}"'
    to_ours = _match("daddr", macs.of_all())
    neighbours = (
        f"{bridge} ether daddr {rules.segment.mac} goto refuse",
        f"{bridge} {to_ours} goto refuse",
        f"{bridge} accept",
    )
    return _lines(
        (
            "goto refuse" if rules.alone else "ct status dnat goto refuse",
            *(() if rules.closed else neighbours),
            f'meta oifkind "bridge" {nft.without("oifname", rules.uplinks)}goto refuse',
            f"ip daddr {{ {', '.join(map(str, NEVER))} }} goto refuse",
            f"ip6 daddr {{ {', '.join(_NEVER_IPV6)} }} goto refuse",
        )
    )


def _neighbours(rules: Rules) -> Iterable[str]:
    """Match packets to those who are refused."""
    if not rules.closed:
        yield f"{_match('daddr', macs.of_all())} ether type {{ ip, ip6 }}"
        return
    for family, version in (("ip", 4), ("ip6", 6)):
        subnets = [
            each for each in rules.segment.subnets if ipaddress.ip_network(each, strict=False).version == version
        ]
        own = [each for each in rules.segment.addresses if ipaddress.ip_address(each).version == version]
        if subnets and own:
            yield f"{family} daddr {{ {', '.join(subnets)} }} {family} daddr != {{ {', '.join(own)} }}"


def _wall(rules: Rules) -> str:
    if rules.closed:
        return "drop"
    everybody = "ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00"
    return _lines((f"{_match('daddr', macs.of_all())} drop", f"{everybody} drop"))
