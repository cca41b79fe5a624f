"""`python -m tests.system.chaos --minutes N --seed S [--driver docker]`: exit code 0 where nothing was wrong.

As root it makes namespaces of mounts and networks for itself; nothing outside of them is changed.
"""

import argparse
import secrets
import signal
import sys
from pathlib import Path

from tests.system.chaos.docker_trial import docker_trial
from tests.system.chaos.trial import trial


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.system.chaos", description="Faults under load, from a seed.")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, help="of an earlier run; by default another one each time")
    parser.add_argument("--folder", type=Path, help="keeps the platforms' logs; by default one that is removed")
    parser.add_argument("--driver", choices=("process", "docker"), default="process")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was made is taken away again
    seed = secrets.randbelow(1 << 32) if given.seed is None else given.seed
    driver = f" --driver {given.driver}" if given.driver != "process" else ""
    print(f"python -m tests.system.chaos --minutes {given.minutes:g} --seed {seed}{driver}", flush=True)
    tried = docker_trial if given.driver == "docker" else trial
    return 0 if tried(seed, given.minutes * 60, lambda text: print(text, flush=True), given.folder) else 1


if __name__ == "__main__":
    sys.exit(main())
