"""The load client and the responder in C (`bench/native`), compiled when they are missing or have changed."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

NATIVE = Path(__file__).parent / "native"
FLAGS = ("-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror")
Address = tuple[str, int] | str
"""(IPv4, port), or the path of a unix socket."""


class Load(msgspec.Struct):
    """What one round came to. Latencies are (ns, how many); `cpu` is the client's own, in seconds; `lost` connections
    were closed by the server."""

    answered: int
    bad: int
    lost: int
    body_bytes: int
    seconds: float
    cpu: float
    latencies: list[tuple[int, int]]

    @property
    def rate(self) -> float:
        return self.answered / self.seconds

    def percentile(self, share: float) -> float:
        """Seconds."""
        wanted, seen = share * self.answered, 0
        for ns, count in self.latencies:
            seen += count
            if seen >= wanted:
                return ns / 1e9
        raise ValueError("nothing was answered")


def program(name: str) -> Path:
    """Raises RuntimeError without a compiler."""
    source = NATIVE / f"{name}.c"
    found = NATIVE / "bin" / f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if not found.exists():
        if shutil.which("gcc") is None:
            raise RuntimeError(
                "the bench compiles its load client: run scripts/setup bench, or install gcc and libc6-dev"
            )
        found.parent.mkdir(exist_ok=True)
        fresh = found.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", *FLAGS, "-o", fresh, source], check=True)
        fresh.rename(found)
    return found


async def load(
    addresses: Sequence[Address],
    requests: Sequence[bytes],
    connections: int,
    *,
    count: int = 0,
    seconds: float = 0,
    order: Sequence[int] = (),
) -> Load:
    """A closed loop until `count` answers or for `seconds`; connections are spread over the addresses, and requests go
    by turns or in `order`. Raises RuntimeError when an answer is bad or missing."""
    with tempfile.NamedTemporaryFile(prefix="upcall-plan-") as plan:
        plan.write(_plan(addresses, requests, order))
        plan.flush()
        words = [str(program("load")), plan.name, str(connections), str(count), str(seconds)]
        process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            output, complaint = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
    if process.returncode:
        raise RuntimeError(complaint.decode().strip())
    found = msgspec.json.decode(output, type=Load)
    if found.bad or found.lost:
        raise RuntimeError(f"{found.bad} of {found.answered} answers were bad, {found.lost} lost: {complaint.decode()}")
    return found


def _plan(addresses: Sequence[Address], requests: Sequence[bytes], order: Sequence[int]) -> bytes:
    lines = [_line(address) for address in addresses]
    lines += [b"request %d\n%b\n" % (len(request), request) for request in requests]
    if order:
        lines.append(b"order " + b" ".join(b"%d" % number for number in order) + b"\n")
    return b"".join(lines)


def _line(address: Address) -> bytes:
    text = f"unix {address}" if isinstance(address, str) else f"tcp {address[0]} {address[1]}"
    return f"address {text}\n".encode()
