"""System calls of the platform's process for each warm activation, as `strace -c -f` counts them; ten callers.

`reads` and `writes` are of sockets and pipes: what the client and the runtime cost, and for an action that prints the
pipe with its line. Files are written by `pwrite64`: the log ahead of the database, and the database's own pages.
What comes once for a group of activations (waiting for events, commits, locks between threads) shows as a fraction, for
which the goals leave a tenth. A traced process is several times slower, so groups are other than without.

    python -m bench.calls [--quick]
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench.load import post, run
from bench.row import Row
from tests.system.serving import Platform, running

CALLERS = 10
ACTIONS = {
    "quiet": "def main(args):\n    return {'n': args.get('n')}\n",
    "printing": "def main(args):\n    print('one line')\n    return {'n': args.get('n')}\n",
}
SORTS = {
    "reads": ("read", "readv", "recvfrom", "recvmsg", "recvmmsg"),
    "writes": ("write", "writev", "sendto", "sendmsg", "sendmmsg"),
    "writes to files": ("pwrite64", "pwritev"),
}
GOALS = {("quiet", "reads"): 2.1, ("quiet", "writes"): 2.1, ("printing", "writes"): 2.1}
LIMITS = {"LIMITS_ACTIONS_INVOKES_PERMINUTE": "100000000", "LIMITS_ACTIONS_INVOKES_CONCURRENT": "1000"}


class Untraced(Exception):
    """Nothing can be counted here; says why."""


@contextlib.contextmanager
def counted(pid: int) -> Iterator[Counter[str]]:
    """System calls by name, of all threads of a process, made while the block runs; they are there when it is left.
    Raises Untraced."""
    if shutil.which("strace") is None:
        raise Untraced("strace is not installed: apt install strace")
    calls: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary"
        command = ["strace", "-c", "-f", "-p", str(pid), "-o", str(summary)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            if "attached" not in said:
                tracer.kill()
                raise Untraced(f"strace may not look at processes here: {said.strip() or 'it ended without a word'}")
            try:
                yield calls
            finally:
                tracer.send_signal(signal.SIGINT)
                tracer.communicate()
        calls.update(parsed(summary.read_text()))


def parsed(summary: str) -> dict[str, int]:
    """Of a table of `strace -c`: calls by name."""
    rows = (line.split() for line in summary.splitlines())
    return {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit() and row[-1] != "total"}


def sorted_out(calls: dict[str, int], activations: int) -> dict[str, float]:
    """Calls for each activation, by sort; `others` is all that is of none."""
    found = {sort: sum(calls.get(name, 0) for name in names) / activations for sort, names in SORTS.items()}
    return {**found, "others": sum(calls.values()) / activations - sum(found.values())}


def told(calls: dict[str, int], activations: int) -> str:
    """What the others are, the commonest first."""
    known = {name for names in SORTS.values() for name in names}
    rest = Counter({name: count for name, count in calls.items() if name not in known})
    return ", ".join(f"{name} {count / activations:.2f}" for name, count in rest.most_common(4))


async def rounds(platform: Platform, action: str, count: int, times: int) -> list[Counter[str]]:
    platform.create(action, ACTIONS[action])
    key = "Authorization: Basic " + b64encode(platform.auth.encode()).decode()
    request = post(f"/api/v1/namespaces/_/actions/{action}?blocking=true&result=true", b'{"n":1}', key)
    targets: list[tuple[str, int] | str] = [("127.0.0.1", platform.port)] * CALLERS
    await run(targets, request, 50 * CALLERS)
    found = []
    for _ in range(times):
        with counted(platform.process.pid) as calls:
            load = await run(targets, request, count)
        if load.bad or load.answered != count:
            raise RuntimeError(f"{load.bad} of {load.answered} answers are errors")
        found.append(calls)
    return found


async def rows(quick: bool) -> list[Row]:
    count, times = (500, 1) if quick else (2000, 3)
    made = []
    with tempfile.TemporaryDirectory(prefix="upcall-bench-") as folder:
        try:
            with running(Path(folder) / "data", "--memory", "16 GB", environment=LIMITS) as platform:
                for action in ACTIONS:
                    found = await rounds(platform, action, count, times)
                    shares = [sorted_out(calls, count) for calls in found]
                    for sort in shares[0]:
                        note = told(found[-1], count) if sort == "others" else ""
                        values = [each[sort] for each in shares]
                        goal = GOALS.get((action, sort))
                        made.append(Row("calls", f"{action}: {sort}", "per activation", values, goal, note=note))
        except Untraced as reason:
            print(f"system calls are not counted: {reason}", file=sys.stderr)
    return made


if __name__ == "__main__":
    for row in asyncio.run(rows("--quick" in sys.argv)):
        print(f"{row.name:28}{row.median:7.2f} {row.unit}   {row.note}")
    print(f"load average {os.getloadavg()[0]:.1f}")
