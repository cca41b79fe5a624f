"""Where a cluster is: there is room for four on a machine, one for each checkout whose tests run, in 198.19.0.0/16,
which is set aside for tests of networks.

    what                           the first's            the others'
    this host, as pods see it      198.19.0.1             198.19.64.1, .128.1, .192.1
    the node, and its API          198.19.0.2:6443        and so on
    pods                           198.19.16.0/20
    Services                       198.19.32.0/20
    pods of nodes that are faked   198.19.48.0/20

`UPCALL_TEST_NETWORK=10.99` is another first half of all these addresses.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

ROOM = 4
CHECKOUT = Path(__file__).parents[3]
LOCKS = Path("/run/lock/upcall-kubernetes")
OTHER = "UPCALL_TEST_CHECKOUT"
"""The variable that stands for another checkout."""


class Place(NamedTuple):
    """One of the four."""

    number: int

    def _address(self, third: int, rest: str) -> str:
        return f"{os.environ.get('UPCALL_TEST_NETWORK', '198.19')}.{64 * self.number + third}.{rest}"

    @property
    def folder(self) -> Path:
        """Of all its files; short, for sockets lie in it."""
        return Path(f"/tmp/upk{self.number}")

    @property
    def group(self) -> str:
        """The control group of all its processes; also the node's name."""
        return f"upk{self.number}"

    @property
    def host(self) -> str:
        return self._address(0, "1")

    @property
    def node(self) -> str:
        return self._address(0, "2")

    @property
    def all(self) -> str:
        return self._address(0, "0/18")

    @property
    def pods(self) -> str:
        return self._address(16, "0/20")

    @property
    def services(self) -> str:
        return self._address(32, "0/20")

    @property
    def faked(self) -> str:
        return self._address(48, "0/20")

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def containerd(self) -> Path:
        """Its socket."""
        return self.folder / "run" / "containerd.sock"


def lock(name: str) -> Path:
    """A file of this name to be locked, for all checkouts."""
    LOCKS.mkdir(exist_ok=True)
    return LOCKS / name


def of_checkout(what: str) -> Path:
    """A file to be locked, for this checkout."""
    checkout = os.environ.get(OTHER) or os.fspath(CHECKOUT)
    return lock(f"{hashlib.sha256(checkout.encode()).hexdigest()[:12]}.{what}")


@contextmanager
def held(path: Path) -> Iterator[IO[str]]:
    """The file is this process's alone."""
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def taken(path: Path) -> bool:
    """Somebody has locked it."""
    with path.open("a") as file, suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    return True
