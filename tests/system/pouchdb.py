"""PouchDB Server for tests, which speaks most of CouchDB: npm's package on loopback, gone with the test run.

No registry has a CouchDB. What passes here is a hint that it works there, no proof: `tests/couch` has the rest. The
packages (60 MB) are fetched once into `${XDG_CACHE_HOME:-~/.cache}/upcall/pouchdb-server-VERSION`. Its administrator is
`USER` with `PASSWORD`; it asks for no credentials where none are given. The kernel ends it when the process that
started it dies (`setpriv --pdeathsig`). `stop` and `kill` keep its data, which is on the disk.

    pytest_plugins = ["tests.system.pouchdb"]         async def test_…(pouchdb: "Server") -> None: …
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.system.kafka import free_ports
from upcall.model.store_url import CouchUrl, parse_store

VERSION = "4.2.0"
USER, PASSWORD = "admin", "sec ret"


def programs() -> Path:
    """The folder of its packages, fetched when it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "upcall"
    folder = cache / f"pouchdb-server-{VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "pouchdb.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several test processes one fetches, the others wait for it
        if not folder.exists():
            _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    print(f"Fetching PouchDB Server {VERSION} from npm (60 MB, once) …", flush=True)
    work = folder.with_name(f".pouchdb-{uuid4().hex}")
    work.mkdir()
    command = ["npm", "install", "--silent", "--no-save", "--no-audit", "--no-fund", "--prefix", str(work)]
    try:
        done = subprocess.run(
            [*command, f"pouchdb-server@{VERSION}"], check=False, capture_output=True, text=True, timeout=600
        )
        if done.returncode != 0:
            raise RuntimeError(f"npm could not fetch PouchDB Server {VERSION}:\n{done.stdout[-2000:]}{done.stderr}")
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


class Server:
    """One server; `start` after `stop` or `kill` goes on with the same data and port. It listens at an address of this
    host's, and has one administrator."""

    def __init__(
        self, program: Path, folder: Path, address: str = "127.0.0.1", admin: tuple[str, str] = (USER, PASSWORD)
    ) -> None:
        self.address, self.admin = address, admin
        (self.port,) = free_ports(1)
        self._folder = folder
        self._command = ["setpriv", "--pdeathsig", "KILL", "node"]
        self._command += [str(program / "node_modules" / "pouchdb-server" / "bin" / "pouchdb-server"), "--host"]
        self._command += [address, "--port", str(self.port), "--dir", str(folder / "data"), "--no-stdout-logs"]
        self._command += ["--config", str(folder / "config.json")]
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "data").mkdir()
        (folder / "config.json").write_text(json.dumps({"admins": dict([admin])}))

    def url(self, prefix: str = "", user: str | None = None, password: str | None = None) -> str:
        user, password = self.admin[0] if user is None else user, self.admin[1] if password is None else password
        secret = f"{user}:{password.replace(' ', '%20')}@" if user else ""
        return f"couchdb://{secret}{self.address}:{self.port}/{prefix}"

    def databases(self) -> CouchUrl:
        """Fresh ones, which are not there yet."""
        found = parse_store(self.url(f"test_{uuid4().hex}_"))
        assert isinstance(found, CouchUrl)
        return found

    def start(self) -> None:
        """Returns when it answers; at once if it does. Not for a thread that ends: the kernel would end the server with
        it."""
        if self._process is not None:
            return
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = (self._folder / "log").read_text(errors="replace")
                self.kill()
                raise RuntimeError(f"PouchDB Server did not start:\n{text[-3000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """In order; nothing if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It stands still, as behind a network that swallows what is sent."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, by: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(by)
            self._process.wait(timeout=60)
            self._process = None

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}:{self.port}/", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture(scope="session")
def pouchdb() -> Iterator[Server]:
    """A running server, the same for all tests of this process: each takes databases of its own."""
    lacking = [name for name in ("node", "npm", "setpriv") if shutil.which(name) is None]
    if lacking:
        pytest.fail(f"PouchDB Server needs {', '.join(lacking)}: scripts/setup test")
    folder = Path(tempfile.mkdtemp(prefix="uppouch"))
    server = Server(programs(), folder)
    server.start()
    yield server
    server.kill()
    shutil.rmtree(folder)
