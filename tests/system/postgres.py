"""A real PostgreSQL for tests: Debian's server as an ordinary process in a folder of its own, gone with the test run.

It listens on a unix socket in that folder and on nothing else; fsync is off. The server refuses to run as root, so root
hands it to an unprivileged user, and the kernel ends it when the process that started it dies (`setpriv --pdeathsig`).
Without the server's programs the tests are skipped with the reason; with `CI=true` that is a failure.

    pytest_plugins = ["tests.system.postgres"]         async def test_…(postgres: "Server") -> None: …
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

USER = "postgres"
"""Whom root hands the server to: Debian's package made that user, and `initdb` wants one with a name."""

SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "autovacuum": "off",
}
ACCESS = "local all keeper scram-sha-256\nlocal all all trust\n"
"""The role `keeper` has to give a password; all others come in as they are."""


def programs() -> Path | None:
    """The folder of the newest server here."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Server:
    """One cluster; `start` after `stop` or `kill` goes on with the same data."""

    def __init__(self, folder: Path, bin: Path) -> None:
        self.folder = folder
        self._bin = bin
        self._process: subprocess.Popen[bytes] | None = None
        if os.getuid() == 0:
            shutil.chown(folder, USER, USER)
        initdb = ["initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        done = subprocess.run(
            self._command(initdb), cwd=folder, check=False, capture_output=True, text=True, timeout=60
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")
        (folder / "data" / "pg_hba.conf").write_text(ACCESS)

    def _command(self, words: Sequence[str]) -> list[str]:
        own = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"] if os.getuid() == 0 else []
        bound = ["setpriv", "--pdeathsig", "KILL"]  # by itself: a change of user undoes it
        return [*own, *bound, str(self._bin / words[0]), *words[1:]]

    def url(self, database: str = "postgres", user: str = "postgres", password: str = "") -> str:
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@/{database}?host={self.folder}"

    async def database(self) -> str:
        """The URL of a fresh one."""
        name = f"test_{uuid4().hex}"
        await self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    async def run(self, *statements: str, database: str = "postgres") -> list[asyncpg.Record]:
        """As the administrator; the rows of the last one."""
        connection = await asyncpg.connect(self.url(database))
        try:
            found: list[list[asyncpg.Record]] = [await connection.fetch(statement) for statement in statements]
            return found[-1]
        finally:
            await connection.close()

    def start(self) -> None:
        """Returns when it takes connections; at once if it does. Not for a thread that ends: the kernel would end the
        server with it."""
        if self._process is not None:
            return
        options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        command = ["postgres", "-D", "data", "-k", str(self.folder), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(command), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = (self.folder / "log").read_text(errors="replace")
                self.kill()
                raise RuntimeError(f"PostgreSQL did not start:\n{text[-3000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """In order, without waiting for clients; nothing if it does not run."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """At once: the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def pause(self) -> None:
        """Every process of the server stands still, as behind a network that swallows what is sent."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """The first process before its children: there will be no other ones. Some may end meanwhile."""
        assert self._process is not None
        self._process.send_signal(number)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in map(int, children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _end(self, by: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(by)
            self._process.wait(timeout=60)
            self._process = None

    def _ready(self) -> bool:
        """The last line of its note says so."""
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return self._process is not None and lines[0] == str(self._process.pid) and lines[7:8] == ["ready   "]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A running server, the same for all tests of this process: each takes a database of its own."""
    bin = programs()
    if bin is None or shutil.which("setpriv") is None:
        pytest.fail("a real PostgreSQL needs: scripts/setup test, or apt-get install postgresql util-linux")
    folder = Path(tempfile.mkdtemp(prefix="uppg"))
    server = Server(folder, bin)
    server.start()
    yield server
    server.kill()
    shutil.rmtree(folder)
