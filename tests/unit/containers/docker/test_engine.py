"""Whether an engine is there, away, too old, or something else: told by its socket.

A server of the test's own stands for engines that cannot be had here; the real one is asked in tests/docker.
"""

import asyncio
import os
import re
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from upcall.containers.docker import engine as module
from upcall.containers.docker import reach
from upcall.containers.docker.engine import NEWEST, OLDEST, Engine, EngineAway, EngineError, agreed
from upcall.containers.docker.options import DockerOptions
from upcall.errors import Away, Misconfigured


class Server:
    """Answers as an engine does, or otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.host = f"unix://{path}"
        self.version: object = {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}
        self.silent = False
        self.refusal = b"No such container: x"
        self.paths: list[str] = []
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._over = asyncio.Event()

    async def start(self) -> None:
        self._over.clear()
        self._server = await asyncio.start_unix_server(self._accept, self.path)

    def leave(self) -> None:
        """As a daemon that is told to stop: it takes no new connections, and goes on with those that it has."""
        assert self._server is not None
        self._server.close()
        self.path.unlink()
        self.refusal = b"the store is closed"

    async def stop(self) -> None:
        """As a daemon that is killed: connections end, the socket's file stays."""
        assert self._server is not None
        self._server.close()
        self._over.set()
        for writer in self._writers:
            writer.transport.abort()
        async with asyncio.timeout(10):
            while self._writers:
                await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split()[1].decode()
                self.paths.append(path)
                if self.silent or "stuck" in path:
                    await self._over.wait()
                    break
                writer.write(self._answer(path))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, path: str) -> bytes:
        status, body = b"200 OK", b"OK"
        if path.endswith("/version"):
            body = msgspec.json.encode(self.version)
        elif not path.endswith("/_ping"):
            status = b"404 Not Found" if self.refusal.startswith(b"No such") else b"500 Internal Server Error"
            body = b'{"message":"%b"}' % self.refusal
        kind = b"text/plain" if body == b"OK" else b"application/json"
        return b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (status, kind, len(body), body)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(tmp_path / "docker.sock")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def engine(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    monkeypatch.setattr(module, "SELDOM", 0.02)
    monkeypatch.setattr(module, "OFTEN", 0.02)
    made = Engine(DockerOptions(host=server.host))
    await made.start()
    yield made
    await made.close()


async def refused(host: str) -> Misconfigured:
    engine = Engine(DockerOptions(host=host))
    with pytest.raises(Misconfigured) as caught:
        await engine.start()
    return caught.value


async def trouble(engine: Engine) -> str:
    async with asyncio.timeout(10):
        while engine.trouble is None:
            await asyncio.sleep(0.005)
    return engine.trouble


async def test_the_version_of_the_api_is_agreed_upon(server: Server, engine: Engine) -> None:
    assert engine.version == "20.10.24"
    assert engine.api == (1, 41)
    async with engine.asked(5) as docker:
        assert (await docker.version())["ApiVersion"] == "1.41"
    assert server.paths[-1] == "/v1.41/version"


def test_of_a_newer_engine_the_version_is_one_that_is_known_here() -> None:
    assert agreed((1, 24), (1, 99), "X") == NEWEST
    assert agreed(OLDEST, OLDEST, "X") == OLDEST


@pytest.mark.parametrize(
    ("oldest", "newest", "text"),
    [
        ("1.12", "1.24", "is version 1.13 with API 1.24; 1.25 or later is needed: upgrade Docker."),
        ("1.99", "2.03", "is version 1.13 and takes API 1.99 or later; 1.47 is spoken here: upgrade upcall."),
    ],
)
async def test_an_engine_of_another_age_is_refused(server: Server, oldest: str, newest: str, text: str) -> None:
    server.version = {"Version": "1.13", "ApiVersion": newest, "MinAPIVersion": oldest}
    assert str(await refused(server.host)) == f"The Docker engine at {server.host} {text}"


async def test_what_is_no_engine_is_named(server: Server) -> None:
    server.version = ["hello"]
    text = f"What answers at {server.host} is no Docker engine: name another with --docker-host."
    assert str(await refused(server.host)) == text


async def test_without_a_socket_docker_is_to_be_installed(tmp_path: Path) -> None:
    error = await refused(f"unix://{tmp_path}/none.sock")
    assert isinstance(error, Away)
    assert str(error) == (
        f"The Docker engine at unix://{tmp_path}/none.sock is not there: its socket does not exist: install Docker and "
        "start it (apt-get install docker.io; systemctl start docker), or name its address with --docker-host."
    )


async def test_a_socket_that_nobody_listens_at_is_a_stopped_engine(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left.sock"))
    error = await refused(f"unix://{tmp_path}/left.sock")
    assert isinstance(error, Away)
    assert error.why == "does not run: it refuses connections"
    assert "systemctl start docker" in str(error)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_whoever_may_not_use_the_socket_is_told_of_the_group(server: Server) -> None:
    server.path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    os.seteuid(54321)
    try:
        error = await refused(server.host)
    finally:
        os.seteuid(0)
    assert not isinstance(error, Away)
    assert "may not be used by this user: add the user to the group docker" in str(error)


@pytest.mark.parametrize("host", ["", "tcp://", "/run/docker.sock", "ssh://root@example.org", "unix://relative"])
async def test_what_is_no_address_is_refused(host: str) -> None:
    assert str(await refused(host)) == (
        f"{host!r} is no address of a Docker engine: write unix:///path or tcp://host:port."
    )


async def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=f"certificates for the Docker engine in {tmp_path} cannot be used"):
        reach.connect("tcp://127.0.0.1:2376", tmp_path)


async def test_a_refusal_is_told_from_an_absence(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"^No such container: x$") as caught:
        async with engine.asked(5) as docker:
            await docker.containers.get("x")
    assert caught.value.reply == 404
    assert engine.trouble is None


async def test_an_engine_that_dies_is_away_until_it_answers_again(server: Server, engine: Engine) -> None:
    async with engine.asked(5) as docker:
        stuck = asyncio.ensure_future(docker.containers.get("stuck"))
        async with asyncio.timeout(10):
            while not any("stuck" in path for path in server.paths):
                await asyncio.sleep(0.005)
        server.path.unlink()
        await server.stop()
        with pytest.raises(EngineAway, match="is not there: its socket does not exist"):
            async with engine.asked(5):
                await stuck
    assert re.search(r"is not there|refuses connections", await trouble(engine))
    returned = asyncio.ensure_future(engine.back())
    await asyncio.sleep(0)
    assert not returned.done()
    await server.start()
    await returned
    assert engine.trouble is None


async def test_an_engine_that_stops_is_away_though_it_goes_on_with_its_connections(
    server: Server, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SELDOM", 1000.0)
    async with engine.asked(5) as docker:
        await docker.version()
    server.leave()
    with pytest.raises(EngineAway, match=r"says: the store is closed\.$"):
        async with engine.asked(5) as docker:
            await docker.containers.get("x")
    assert "is not there" in await trouble(engine)


async def test_an_engine_whose_containerd_is_away_is_to_be_asked_again(server: Server, engine: Engine) -> None:
    server.refusal = b"connection error: desc = transport is closing: unavailable"
    with pytest.raises(EngineAway, match="transport is closing"):
        async with engine.asked(5) as docker:
            await docker.containers.get("x")
    await engine.back()
    server.refusal = b"something else"
    with pytest.raises(EngineError, match=r"^something else$"):
        async with engine.asked(5) as docker:
            await docker.containers.get("x")


async def test_an_engine_that_is_silent_is_away(
    server: Server, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.2)
    server.silent = True
    assert await trouble(engine) == f"The Docker engine at {server.host} does not answer."
    with pytest.raises(EngineAway, match=r"does not answer\.$"):
        async with engine.asked(0.01) as docker:
            await docker.containers.get("x")
    server.silent = False
    await engine.back()
    assert engine.trouble is None


async def test_an_engine_that_is_slow_is_not_away(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"has not done it in 0\.05 s") as caught:
        async with engine.asked(0.05) as docker:
            await docker.containers.get("stuck")
    assert caught.value.reply == 0
    assert engine.trouble is None


async def test_a_doubt_makes_it_look_at_once(server: Server, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SELDOM", 1000.0)
    await asyncio.sleep(0.1)
    before = len(server.paths)
    engine.doubt()
    async with asyncio.timeout(10):
        await engine.back()
    assert len(server.paths) > before


async def test_another_engine_at_its_return_is_asked_for_its_version(server: Server, engine: Engine) -> None:
    server.version = {"Version": "30", "ApiVersion": "9.99", "MinAPIVersion": "9.99"}
    await server.stop()
    await trouble(engine)
    server.path.unlink(missing_ok=True)
    await server.start()
    async with asyncio.timeout(10):
        while "takes API 9.99 or later" not in (engine.trouble or ""):
            await asyncio.sleep(0.005)
    server.version = {"Version": "31", "ApiVersion": "1.44", "MinAPIVersion": "1.24"}
    await engine.back()
    assert engine.api == (1, 44)
