"""`python -m tests.system.fleet --minutes N --seed S`: exit code 0 where nothing was wrong.

As root it makes namespaces of mounts and networks for itself; nothing outside of them is changed.
"""

import argparse
import secrets
import signal
import sys
from pathlib import Path

from tests.system.fleet.schedule import DEEDS
from tests.system.fleet.trial import trial


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.system.fleet", description="Faults of a fleet, from a seed.")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, help="of an earlier run; by default another one each time")
    parser.add_argument("--only", action="append", choices=DEEDS, metavar="DEED", help="no faults but these")
    parser.add_argument("--folder", type=Path, help="keeps all logs; by default one that is removed")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was made is taken away again
    seed = secrets.randbelow(1 << 32) if given.seed is None else given.seed
    print(f"python -m tests.system.fleet --minutes {given.minutes:g} --seed {seed}", flush=True)
    deeds = tuple(given.only or DEEDS)
    return 0 if trial(seed, given.minutes * 60, deeds, lambda text: print(text, flush=True), given.folder) else 1


if __name__ == "__main__":
    sys.exit(main())
