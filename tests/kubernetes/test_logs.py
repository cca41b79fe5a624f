"""What real pods print becomes the lines of their activations: apart, complete, once."""

import asyncio
import contextlib
import http.client
from collections.abc import AsyncIterator, Callable

import pytest
from lightkube import KubeConfig
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import Cluster as Place
from lightkube.config.models import User

from tests.kubernetes import pods
from tests.kubernetes.cluster.fixtures import Cluster
from upcall.containers.kubernetes.logs import Logs, PodOutput
from upcall.containers.kubernetes.streams import Streams
from upcall.model import texts
from upcall.ports import Lines

MB = 1 << 20
BOUND = 32 * MB
HELLO = "print('out', flush=True); print('err', file=sys.stderr, flush=True)"


def config(cluster: Cluster) -> SingleConfig:
    found = KubeConfig.from_file(cluster.kubeconfig).get()
    assert found is not None
    return found


@contextlib.asynccontextmanager
async def reading(config: SingleConfig, namespace: str, pod: str) -> AsyncIterator[PodOutput]:
    streams = Streams(config, namespace)
    output = Logs(streams, BOUND).of(pod, pods.SPEC)
    try:
        await output.open()
        yield output
    finally:
        await output.close()
        await streams.close()


async def collected(output: PodOutput, limit: int = 10 * MB, complete: bool = True) -> Lines:
    lines: asyncio.Future[Lines] = asyncio.get_running_loop().create_future()
    output.collect(limit, complete, lines.set_result)
    return await asyncio.wait_for(lines, 60)


def told(lines: Lines) -> list[str]:
    """Without their times."""
    return [line.split(" ", 1)[1].lstrip() for line in lines.lines]


@pytest.fixture
def pod(cluster: Cluster, namespace: str) -> str:
    return pods.make(cluster, namespace, pods.ACTION)


@pytest.fixture
def run(cluster: Cluster, namespace: str, pod: str) -> Callable[[str], "asyncio.Future[None]"]:
    def begin(code: str) -> "asyncio.Future[None]":
        return asyncio.ensure_future(asyncio.to_thread(pods.run, cluster, namespace, pod, code))

    return begin


Run = Callable[[str], "asyncio.Future[None]"]


async def test_stdout_and_stderr_are_apart(cluster: Cluster, namespace: str, pod: str, run: Run) -> None:
    async with reading(config(cluster), namespace, pod) as output:
        await run(HELLO)
        first = await collected(output)
        assert not first.failed
        assert sorted(told(first)) == ["stderr: err", "stdout: listening", "stdout: out"]
        await run("print('again')")
        assert told(await collected(output)) == ["stdout: again"]


async def test_a_flood_is_read_whole_though_its_log_is_rotated(
    cluster: Cluster, namespace: str, pod: str, run: Run
) -> None:
    """The kubelet begins a new file at 10 MiB."""
    async with reading(config(cluster), namespace, pod) as output:
        await run("for n in range(200000): print(n, 'x' * 70)")
        lines = await collected(output, limit=BOUND)
        assert [line.split()[2] for line in lines.lines[1:]] == [str(n) for n in range(200000)]
        assert not lines.failed


async def test_more_than_the_limit_is_cut_and_the_next_activation_has_its_own(
    cluster: Cluster, namespace: str, pod: str, run: Run
) -> None:
    async with reading(config(cluster), namespace, pod) as output:
        await run("for n in range(1000000): print('x' * 60)")
        lines = await collected(output, limit=MB)
        assert told(lines)[-1] == f"stderr: {texts.logs_truncated(MB)}"
        assert sum(map(len, lines.lines)) < MB
        await run(HELLO)
        assert sorted(told(await collected(output))) == ["stderr: err", "stdout: out"]


async def test_the_last_words_of_a_container_that_dies_are_there(
    cluster: Cluster, namespace: str, pod: str, run: Run
) -> None:
    async with reading(config(cluster), namespace, pod) as output:
        with pytest.raises((OSError, http.client.HTTPException)):
            await run("sys.stderr.write('the end'); sys.stderr.flush(); import os; os._exit(1)")
        output.over()
        assert "stderr: the end" in told(await collected(output, complete=False))


class Cut:
    """A way to the API that breaks when it is told to."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self.open = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.open:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(*self._to)
        self._writers |= {writer, back}
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    def cut(self) -> None:
        self.open = False
        for writer in self._writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def breaking(given: SingleConfig) -> AsyncIterator[tuple[SingleConfig, Cut]]:
    host, _, port = given.cluster.server.removeprefix("https://").partition(":")
    cut = Cut(host, int(port))
    server = await asyncio.start_server(cut.serve, "127.0.0.1", 0)
    there = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield given._replace(cluster=Place(server=there, insecure=True)), cut
    finally:
        cut.cut()
        server.close()


@pytest.mark.parametrize("restricted", [False, True], ids=["attached", "followed"])
async def test_what_is_printed_while_the_api_is_away_is_there_once(
    cluster: Cluster, namespace: str, pod: str, run: Run, restricted: bool
) -> None:
    given = reader(cluster, namespace) if restricted else config(cluster)
    async with breaking(given) as (way, cut), reading(way, namespace, pod) as output:
        for _ in range(3):
            await run(HELLO)
            await collected(output)
        cut.cut()
        await run(HELLO)
        cut.open = True
        lines = await collected(output)
        assert sorted(line.split(": ")[1] for line in told(lines)) == ["err", "out"]
        assert not lines.failed
        await run(HELLO)
        expected = ["stdout: err", "stdout: out"] if restricted else ["stderr: err", "stdout: out"]
        assert sorted(told(await collected(output))) == expected


def reader(cluster: Cluster, namespace: str) -> SingleConfig:
    """Somebody with no more rights than upstream's Role gives."""

    def made(*words: str) -> str:
        return cluster.kubectl("-n", namespace, "create", *words)

    made("serviceaccount", "reader")
    made("role", "reader", "--verb=get,list", "--resource=pods,pods/log")
    made("rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:reader")
    return config(cluster)._replace(user=User(token=made("token", "reader").strip()))


async def test_who_may_not_attach_follows_the_log_and_all_is_stdout(
    cluster: Cluster, namespace: str, pod: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async with reading(reader(cluster, namespace), namespace, pod) as output:
        await run(HELLO)
        lines = await collected(output)
        assert sorted(told(lines)) == ["stdout: err", "stdout: listening", "stdout: out"]
        assert not lines.failed
        await run("print('again')")
        assert told(await collected(output)) == ["stdout: again"]
    assert "pods cannot be attached to (the API answers 403" in caplog.text
