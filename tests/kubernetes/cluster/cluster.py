"""What tests know of the cluster that they share."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO

from tests.kubernetes.cluster import invoker, programs
from tests.kubernetes.cluster.node import Node
from tests.kubernetes.cluster.place import CHECKOUT, Place, held, lock, of_checkout, taken
from tests.system import networks

PATIENCE = 300.0
"""Seconds for one command."""


class Refused(AssertionError):
    """What kubectl printed."""


class Cluster:
    """One node. Pods and Services may be reached from this host; they reach nothing but each other and this host."""

    def __init__(self, place: Place, users: IO[str]) -> None:
        self.place = place
        self._users = users
        self._node = Node(place)
        self.kubeconfig = place.kubeconfig
        """Of an administrator."""
        self.host_address = place.host
        """This host, as pods see it; what they shall reach listens there or on 0.0.0.0. In DNS `host.cluster.local`."""
        self.node = place.group
        """The name of the only real node."""

    @classmethod
    def join(cls) -> "Cluster":
        """It is up when this returns; it stays up as long as a process that has joined runs and has not left. Raises
        RuntimeError."""
        with held(of_checkout("turn")):
            users = of_checkout("users").open("a+")
            fcntl.flock(users, fcntl.LOCK_SH)  # waits while it is being taken down
            if (place := _running()) is None:
                _start()
                place = _running()
            assert place is not None
            return cls(place, users)

    def leave(self) -> None:
        """The last one to leave takes it down."""
        self._users.close()

    @property
    def network(self) -> int:
        """The pid of a process that is in the node's network, which pods' addresses lead to."""
        return int((self.place.folder / "holder.pid").read_text())

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread, and what it starts, is in the node's network."""
        fd = os.open(f"/proc/{self.network}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with networks.inside(fd):
                yield
        finally:
            os.close(fd)

    def kubectl(self, *words: str, input: str | None = None) -> str:
        """Its standard output. Raises Refused."""
        done = subprocess.run(
            self._node.kubectl(*words), input=input, check=False, capture_output=True, text=True, timeout=PATIENCE
        )
        if done.returncode != 0:
            raise Refused(f"kubectl {' '.join(words)}: {(done.stderr + done.stdout[-2000:]).strip()}")
        return done.stdout

    def remove_namespace(self, name: str, wait: bool = True) -> None:
        """With all that is in it, which has a second to end; nothing where it is not there."""
        self.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")
        self.kubectl("-n", name, "delete", "pods", "--all", "--grace-period=1", f"--wait={str(wait).lower()}")
        if wait:
            self.kubectl("delete", "namespace", name, "--ignore-not-found")

    def load(self, name: str, source: Path, *entrypoint: str) -> None:
        """Have an image under this name, of an archive (`docker save` or OCI), a root file system (folder or tar), or a
        static program. Costs nothing where the node has it from the same source, by its path, size and time."""
        about = source.stat()
        stamp = f"{source.resolve()} {about.st_size} {about.st_mtime_ns}"
        with held(self.place.folder / "images"):
            loaded = self.place.folder / f"image-{sha256(name.encode()).hexdigest()[:16]}"
            if not loaded.exists() or loaded.read_text() != stamp:
                self._node.bring(name, source, list(entrypoint))
                loaded.write_text(stamp)

    def invoker_image(self) -> str:
        """`upcall/invoker:VERSION` of the sources as they are, loaded."""
        return self.image("invoker")

    def image(self, name: str) -> str:
        """`upcall/NAME:VERSION`, the same way."""
        self.load(invoker.image(name), invoker.archive(name))
        return invoker.image(name)

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Of several tests that need the same name in the cluster, one goes on."""
        with held(self.place.folder / f"alone-{what}"):
            yield


def _running() -> Place | None:
    """This checkout's, where it has one."""
    number = of_checkout("users").read_text()
    if not number or not taken(lock(f"{number}.lock")):
        return None
    return Place(int(number))


def _start() -> None:
    begun = time.monotonic()
    print("Starting a Kubernetes for the tests …", file=sys.stderr, flush=True)
    of_checkout("users").write_text("")
    guard = subprocess.Popen(
        [sys.executable, "-m", "tests.kubernetes.cluster.guard"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd=CHECKOUT,
    )
    assert guard.stdout is not None
    with guard.stdout as said:
        text = said.readline()
        if text != b"ready\n":
            raise RuntimeError((text + said.read()).decode(errors="replace"))
    guard.returncode = 0  # it outlives this process, and nobody here waits for it
    print(f"It is ready after {time.monotonic() - begun:.1f} s: {programs.bin()}", file=sys.stderr, flush=True)
