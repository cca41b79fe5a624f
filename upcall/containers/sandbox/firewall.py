"""Root's rules about actions' packets: a table of nftables per platform, made at the start and removed at the end.

All rules go by the names of our links, which begin alike, so that none is needed per namespace. Our table refuses
and masks; a packet that it lets pass may still be dropped by somebody else's. Docker does that to all that it does not
know, hence two rules of ours in the chain that it keeps for such (DOCKER-USER). Where others drop forwarded packets
(ufw, firewalld), they have to be told themselves.

What our links may not reach: the host by any of its addresses (also by what it passes on, as published ports of
containers: `dnat`), in a pod its node and the cluster's API (`guarded`), other links of ours, networks that the host
keeps for containers (bridges that lead nowhere else), link-local, multicast. Refused is answered at once and not
dropped, so that no action waits for a time-out. A source address that is not the link's own is dropped; IPv6 is
dropped.
"""

import json
from collections.abc import Iterable
from ipaddress import IPv4Network
from pathlib import Path

from upcall.containers.sandbox import nft
from upcall.containers.sandbox.addresses import NEVER

LINKS = "uc"
"""What names of all our links begin with."""
_DOCKER = "DOCKER-USER"
_FAMILIES = ("ip", "inet")
_IPTABLES = ("ip", "filter", "FORWARD")
_TABLES_OF_OLD = Path("/proc/net/ip_tables_names")


def text(
    table: str,
    ours: str,
    network: IPv4Network,
    uplinks: Iterable[str],
    switched: Iterable[str],
    *,
    guarded: Iterable[IPv4Network] = (),
) -> str:
    """The table as a script for nft: `ours` matches our links. Of the links in `switched`, which did not forward
    before, nothing but our own traffic is forwarded, so that the host does not become everybody's router."""
    never = ", ".join(map(str, [*NEVER, *guarded]))
    spare_bridge = f'meta oifkind "bridge" {nft.without("oifname", uplinks)}goto refuse'
    alone = nft.names(switched)
    foreign = f'iifname {alone} oifname != {ours} meta iifkind != "bridge" ct state new ct status ! dnat drop'
    return f"""
table inet {table} {{
    chain before {{
        type filter hook prerouting priority mangle; policy accept;
        iifname != {ours} accept
        meta nfproto != ipv4 drop
        fib saddr . iif oif missing drop
        ct state invalid drop
    }}
    chain input {{
        type filter hook input priority filter - 5; policy accept;
        iifname {ours} goto refuse
    }}
    chain forward {{
        type filter hook forward priority filter - 5; policy accept;
        {foreign if alone else ""}
        iifname {ours} jump out
        oifname {ours} ct state established,related accept
        oifname {ours} drop
    }}
    chain out {{
        ct status dnat goto refuse
        {spare_bridge}
        ip daddr {{ {never}, {network} }} goto refuse
    }}
    {nft.REFUSE}
    chain after {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {network} oifname != {ours} masquerade
    }}
}}
"""


def load(table: str, script: str) -> None:
    """Put the table in the place of an older one, in one step. Raises OSError with nft's complaint."""
    nft.apply(nft.removal(table) + script)


def remove(table: str) -> None:
    """Remove the table, if it is there. Raises OSError."""
    if nft.program("nft"):
        nft.apply(nft.removal(table))


def others(prefix: str) -> bool:
    """Whether there is a table by another name that begins so."""
    return bool(nft.tables(prefix))


def open_docker(ours: str) -> None:
    """Let packets of our links pass Docker's chain, where there is one. Raises OSError."""
    if _docker() is not None:
        for rule in _docker_rules(ours):
            nft.run(["iptables", "-w", "5", "-I", _DOCKER, *rule])


def close_docker(ours: str) -> None:
    """Remove all rules of ours from Docker's chain. Raises OSError."""
    for line in (_docker() or "").splitlines():
        words = line.split()
        if words[:2] == ["-A", _DOCKER] and f"{ours}+" in words:
            nft.run(["iptables", "-w", "5", "-D", *words[1:]])


def dropping() -> str:
    """Which chain of others drops what our links forward, in words; empty where none does. Reads alone; none is known
    where rules cannot be read, as by an ordinary user."""
    if nft.program("nft") is None:
        return ""
    try:
        chains = json.loads(nft.run(["nft", "-j", "list", "chains"]))["nftables"]
    except (OSError, ValueError, KeyError):
        return ""
    for each in (entry["chain"] for entry in chains if "chain" in entry):
        place = tuple(str(each.get(key, "")) for key in ("family", "table", "name"))
        forwards = each.get("hook") == "forward" and each.get("policy") == "drop" and each.get("family") in _FAMILIES
        if forwards and not (place == _IPTABLES and (_docker() is not None or _let_pass())):
            return f"chain {' '.join(place)}, policy drop"
    return _of_old_iptables()


def _let_pass() -> bool:
    """Whether somebody has told iptables of our links."""
    try:
        return f"-i {LINKS}" in nft.run(["iptables", "-w", "5", "-S", "FORWARD"])
    except OSError:
        return False


def _of_old_iptables() -> str:
    """Of the iptables before nftables, which nft does not show."""
    try:
        if "filter" not in _TABLES_OF_OLD.read_text().split():
            return ""
        rules = nft.run(["iptables-legacy", "-w", "5", "-S"])
    except OSError:
        return ""
    passed = f"-N {_DOCKER}" in rules or f"-A FORWARD -i {LINKS}" in rules
    return "chain FORWARD of iptables, policy DROP" if "-P FORWARD DROP" in rules and not passed else ""


def _docker() -> str | None:
    """The rules of Docker's chain, one a line, or None."""
    if nft.program("iptables") is None:
        return None
    try:
        return nft.run(["iptables", "-w", "5", "-S", _DOCKER])
    except OSError:
        return None


def _docker_rules(ours: str) -> tuple[list[str], ...]:
    answers = ["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"]
    return ["-i", f"{ours}+", "-j", "ACCEPT"], ["-o", f"{ours}+", *answers, "-j", "ACCEPT"]
