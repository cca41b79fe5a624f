"""The cluster of this checkout's tests, for people.

python -m tests.kubernetes.cluster build    its programs; `build kwok` what fakes nodes
python -m tests.kubernetes.cluster up       starts it; it stays until `down`, and tests use it meanwhile
eval "$(python -m tests.kubernetes.cluster env)"        then kubectl leads to it
python -m tests.kubernetes.cluster image    the Invoker's image into it
python -m tests.kubernetes.cluster down     takes it down as soon as no test uses it
"""

import argparse
import os
import signal
import subprocess
import sys

from tests.kubernetes.cluster import invoker, programs
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.place import CHECKOUT, held, of_checkout, taken


def up() -> None:
    """A process of its own uses it from now on."""
    if taken(of_checkout("keeper")):
        return
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.kubernetes.cluster", "keep"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd=CHECKOUT,
    )
    assert keeper.stdout is not None
    for line in keeper.stdout:
        if line == b"kept\n":
            return
        print(line.decode(), end="", file=sys.stderr, flush=True)
    sys.exit(keeper.wait())


def keep() -> None:
    with held(of_checkout("keeper")) as file:
        cluster = Cluster.join()
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        print("kept", flush=True)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        signal.pause()
        cluster.leave()


def down() -> None:
    if taken(of_checkout("keeper")):
        os.kill(int(of_checkout("keeper").read_text()), signal.SIGTERM)
        with held(of_checkout("keeper")):
            pass
    with held(of_checkout("turn")), held(of_checkout("users")):
        pass  # it is gone, or a test still uses it and this waits


def env() -> None:
    cluster = Cluster.join()
    print(f"export KUBECONFIG={cluster.kubeconfig} PATH={programs.bin()}:$PATH NODE_PID={cluster.network}")


def images() -> None:
    for name in invoker.SOURCES:
        invoker.archive(name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("build", "prepare", "up", "env", "image", "down", "keep"))
    parser.add_argument("names", nargs="*", choices=[*programs.PROGRAMS, []], help="of what to build")
    options = parser.parse_args()
    if (reason := programs.missing()) is not None:
        if options.command == "prepare":
            return 0
        sys.exit(f"There can be no Kubernetes for tests here: {reason}")
    if options.command != "down":
        programs.build(*options.names)
    if options.command == "prepare":
        programs.build("helm")
    if options.command in ("up", "env", "image"):
        up()
    {"keep": keep, "down": down, "env": env, "prepare": images}.get(options.command, lambda: None)()
    if options.command == "image":
        print(Cluster.join().invoker_image())
    return 0


if __name__ == "__main__":
    sys.exit(main())
