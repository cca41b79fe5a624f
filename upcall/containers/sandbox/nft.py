"""nftables by its program, `nft`: how root sets and removes tables of rules about packets.

A script is carried out whole or not at all."""

import os
import shutil
import subprocess
from collections.abc import Iterable

from upcall.errors import Misconfigured

_PATIENCE = 20.0
SYSTEM = ":/usr/sbin:/sbin"
"""Where root's programs are; `su` may leave the PATH of the user before."""
REFUSE = """chain refuse {
        meta l4proto tcp reject with tcp reset
        reject with icmpx port-unreachable
    }"""
"""A chain for tables of the family inet: answered at once and not dropped, so that no action waits for a time-out."""


def needed(what: str) -> None:
    """Raises Misconfigured where the program is missing, which makes `what`."""
    if program("nft") is None:
        raise Misconfigured(f"nft is missing, which makes {what}: apt-get install nftables")


def apply(script: str) -> None:
    """Raises OSError with nft's complaint."""
    run(["nft", "-f", "-"], script)


def removal(table: str, family: str = "inet") -> str:
    """The part of a script that removes a table, also where there is none."""
    return f"table {family} {table}\ndelete table {family} {table}\n"


def tables(prefix: str, family: str = "inet") -> list[str]:
    """Names that begin so; none where nft is missing. Raises OSError."""
    if program("nft") is None:
        return []
    lines = run(["nft", "list", "tables"]).splitlines()
    found = [words[2] for words in map(str.split, lines) if len(words) == 3 and words[:2] == ["table", family]]
    return [name for name in found if name.startswith(prefix)]


def names(links: Iterable[str]) -> str:
    """The set of them; empty where there is none."""
    quoted = ", ".join(f'"{name}"' for name in sorted(links))
    return f"{{ {quoted} }}" if quoted else ""


def without(what: str, links: Iterable[str]) -> str:
    """What matches packets by other links alone."""
    listed = names(links)
    return f"{what} != {listed} " if listed else ""


def program(name: str) -> str | None:
    """Its path."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{SYSTEM}")


def run(command: list[str], given: str = "") -> str:
    """What it prints. Raises OSError with its complaint."""
    try:
        found = program(command[0]) or command[0]
        done = subprocess.run(
            [found, *command[1:]], input=given, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]} takes longer than {_PATIENCE:.0f} s") from error
    if done.returncode:
        complaint = done.stderr.strip().partition("\n")[0]
        raise OSError(f"{command[0]}: {complaint or f'exit code {done.returncode}'}")
    return done.stdout
