"""A real ZooKeeper for tests: one server of Debian's package, on loopback or another address, gone with the test run.

Each server has a port and a data folder of its own, and the kernel ends it when the process that started it dies
(`setpriv --pdeathsig`). Without its jar or Java the tests are skipped with the reason; with `CI=true` that is a
failure.

    from tests.system.zookeeper import keeper         def test_…(keeper: Keeper) -> None: …
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient

JAR = Path("/usr/share/java/zookeeper.jar")
PROPERTIES = """dataDir={folder}/data
clientPortAddress={address}
clientPort={port}
tickTime=500
admin.enableServer=false
"""


def required() -> None:
    """Skip where no server can run; in CI that is a failure."""
    if JAR.exists() and shutil.which("java") and shutil.which("setpriv"):
        return
    reason = "a real ZooKeeper needs: apt-get install default-jre-headless libzookeeper-java util-linux"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Keeper:
    """One server; `start` after `kill` goes on with the same data and port."""

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        with socket.socket() as free:
            free.bind((address, 0))
            self.hosts = f"{address}:{free.getsockname()[1]}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        port = self.hosts.rpartition(":")[2]
        (folder / "zoo.cfg").write_text(PROPERTIES.format(folder=folder, address=address, port=port))

    def start(self) -> None:
        """Returns when it answers."""
        java = [
            "java",
            "-Xmx128m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dznode.container.checkIntervalMs=500",
        ]
        command = [*java, "-cp", str(JAR), "org.apache.zookeeper.server.quorum.QuorumPeerMain"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command, str(self._folder / "zoo.cfg")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = (self._folder / "log").read_text(errors="replace")
                self.kill()
                raise RuntimeError(f"ZooKeeper did not start:\n{text[-3000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL; nothing if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections and answers nothing, until `kill`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Kazoo's, connected."""
        made = KazooClient(self.hosts)
        made.start(timeout=30)
        try:
            yield made
        finally:
            made.stop()
            made.close()

    def clear(self) -> None:
        """Nothing that a test has left."""
        with self.client() as client:
            client.delete("/invokers", recursive=True)

    def _answers(self) -> bool:
        host, _, port = self.hosts.partition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=1) as probe:
                probe.sendall(b"srvr")
                return probe.recv(64).startswith(b"Zookeeper version")
        except OSError:
            return False


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    required()
    made = Keeper(tmp_path_factory.mktemp("zookeeper"))
    made.start()
    yield made
    made.kill()


@pytest.fixture
def keeper(server: Keeper) -> Keeper:
    """With no numbers yet."""
    server.clear()
    return server
