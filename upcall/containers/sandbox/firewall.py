"""Root's rules about actions' packets: a table of nftables per platform, made at the start and removed at the end.

All rules go by the names of our links, which begin alike, so that none is needed per namespace. Our table refuses
and masks; a packet that it lets pass may still be dropped by somebody else's. Docker does that to all that it does not
know, hence two rules of ours in the chain that it keeps for such (DOCKER-USER). Where others drop forwarded packets
(ufw, firewalld), they have to be told themselves.

What our links may not reach: the host by any of its addresses (also by what it passes on, as published ports of
containers: `dnat`), other links of ours, networks that the host keeps for containers (bridges that lead nowhere
else), link-local, multicast. Refused is answered at once and not dropped, so that no action waits for a time-out. A
source address that is not the link's own is dropped; IPv6 is dropped.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from ipaddress import IPv4Network

from upcall.containers.sandbox.addresses import NEVER

_PATIENCE = 20.0
_DOCKER = "DOCKER-USER"
SYSTEM = ":/usr/sbin:/sbin"
"""Where root's programs are; `su` may leave the PATH of the user before."""


def missing() -> bool:
    return _program("nft") is None


def text(table: str, ours: str, network: IPv4Network, uplinks: Iterable[str], switched: Iterable[str]) -> str:
    """The table as a script for nft: `ours` matches our links. Of the links in `switched`, which did not forward
    before, nothing but our own traffic is forwarded, so that the host does not become everybody's router."""
    never = ", ".join(map(str, NEVER))
    spare_bridge = f'meta oifkind "bridge" {_without("oifname", uplinks)}goto refuse'
    names = _names(switched)
    foreign = f'iifname {names} oifname != {ours} meta iifkind != "bridge" ct state new ct status ! dnat drop'
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
        {foreign if names else ""}
        iifname {ours} jump out
        oifname {ours} ct state established,related accept
        oifname {ours} drop
    }}
    chain out {{
        ct status dnat goto refuse
        {spare_bridge}
        ip daddr {{ {never}, {network} }} goto refuse
    }}
    chain refuse {{
        meta l4proto tcp reject with tcp reset
        reject with icmpx port-unreachable
    }}
    chain after {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {network} oifname != {ours} masquerade
    }}
}}
"""


def load(table: str, script: str) -> None:
    """Put the table in the place of an older one, in one step. Raises OSError with nft's complaint."""
    _run(["nft", "-f", "-"], _removal(table) + script)


def remove(table: str) -> None:
    """Remove the table, if it is there. Raises OSError."""
    if not missing():
        _run(["nft", "-f", "-"], _removal(table))


def others(prefix: str) -> bool:
    """Whether there is a table by another name that begins so."""
    return not missing() and f"table inet {prefix}" in _run(["nft", "list", "tables"])


def open_docker(ours: str) -> None:
    """Let packets of our links pass Docker's chain, where there is one. Raises OSError."""
    if _docker() is not None:
        for rule in _docker_rules(ours):
            _run(["iptables", "-w", "5", "-I", _DOCKER, *rule])


def close_docker(ours: str) -> None:
    """Remove all rules of ours from Docker's chain. Raises OSError."""
    for line in (_docker() or "").splitlines():
        words = line.split()
        if words[:2] == ["-A", _DOCKER] and f"{ours}+" in words:
            _run(["iptables", "-w", "5", "-D", *words[1:]])


def _docker() -> str | None:
    """The rules of Docker's chain, one a line, or None."""
    if _program("iptables") is None:
        return None
    try:
        return _run(["iptables", "-w", "5", "-S", _DOCKER])
    except OSError:
        return None


def _docker_rules(ours: str) -> tuple[list[str], ...]:
    answers = ["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"]
    return ["-i", f"{ours}+", "-j", "ACCEPT"], ["-o", f"{ours}+", *answers, "-j", "ACCEPT"]


def _removal(table: str) -> str:
    return f"table inet {table}\ndelete table inet {table}\n"


def _names(links: Iterable[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in sorted(links))
    return f"{{ {quoted} }}" if quoted else ""


def _without(what: str, links: Iterable[str]) -> str:
    names = _names(links)
    return f"{what} != {names} " if names else ""


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{SYSTEM}")


def _run(command: list[str], given: str = "") -> str:
    try:
        program = _program(command[0]) or command[0]
        done = subprocess.run(
            [program, *command[1:]], input=given, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]} takes longer than {_PATIENCE:.0f} s") from error
    if done.returncode:
        complaint = done.stderr.strip().partition("\n")[0]
        raise OSError(f"{command[0]}: {complaint or f'exit code {done.returncode}'}")
    return done.stdout
