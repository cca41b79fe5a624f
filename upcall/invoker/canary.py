"""One activation of the Invoker's own, which proves that containers work here: before any message is taken, and again
after several containers in a row could not be made.

Everything that an activation needs is tried, in a container outside the pool, and no bus, no record: create, /init,
/run with a line printed, the line read back, pause, resume, a second /run, destroy. Of a kind that there is no code for
here, only create, connect and destroy. What fails is told in one line that names the step; the next try comes `AGAIN`
seconds later, and `LOGGED` of them are told, then one in a while. Where no container could be made, idle ones may hold
what is short, and nothing can use them while the gate is shut: some go before the next try.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import msgspec

from upcall.core.outcome import ANSWERED, Outcome
from upcall.deadlines import Deadlines
from upcall.errors import StartFailed
from upcall.invoker.call import Allowance
from upcall.invoker.gate import Gate
from upcall.invoker.runtime import Runtime
from upcall.model.names import Json
from upcall.ports import Address, Container, Containers, ContainerSpec, Lines

log = logging.getLogger(__name__)

AGAIN = 10.0
"""Seconds between two tries."""
LOGGED, RARELY = 5, 6
"""So many failures in a row are told, then each of so many."""
PATIENCE = 30.0
"""Seconds for one step; an image's server may take some of them to listen, from a slow disk."""
IN_A_ROW = 3
"""Containers that cannot be made before the canary is asked."""
UNPROVEN = "unproven"
"""What keeps the gate shut."""
_AGAIN = 0.05
"""Seconds between two tries to connect."""
_LIMIT = 1 << 20
_WORDS = 200
_CODES = {
    "python": "def main(args):\n    print('canary')\n    return {'number': args['number'] + 1}",
    "nodejs": "function main(args) { console.log('canary'); return {number: args.number + 1} }",
}


class Failed(Exception):
    """The canary's; names step and cause."""


class NotMade(Failed):
    """There was no container to try."""


async def fly(containers: Containers, spec: ContainerSpec, *, logged: bool = True) -> None:
    """One activation; `logged`: its output comes here. Raises Failed."""
    with _step("create", NotMade):
        container = await containers.create(spec)
    deadlines = Deadlines()
    runtime = Runtime(container.address, deadlines, container.foreign)
    try:
        if code := _CODES.get(spec.kind.partition(":")[0]):
            await _use(container, runtime, code, logged)
        else:
            await _reach(container.address)
    finally:
        runtime.close()
        deadlines.close()
        with _step("destroy"):
            await container.destroy()


async def _use(container: Container, runtime: Runtime, code: str, logged: bool) -> None:
    with _step("/init"):
        init = {"name": "canary", "main": "main", "code": code, "binary": False, "env": {}}
        await _post(runtime, b"/init", init, retry=True)
    await _run(container, runtime, 1, logged)
    with _step("pause"):
        await container.pause()
    with _step("resume"):
        await container.resume()
    await _run(container, runtime, 2, logged)


async def _reach(address: Address) -> None:
    """Until somebody listens there."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    with _step("connect"):
        while loop.time() < end:
            with contextlib.suppress(OSError):
                async with asyncio.timeout_at(end):
                    _, writer = await _connection(address)
                writer.close()
                return
            await asyncio.sleep(_AGAIN)
        raise Failed(f"nobody has listened for {PATIENCE:g} s")


async def _connection(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.path:
        return await asyncio.open_unix_connection(address.path)
    return await asyncio.open_connection(address.host, address.port)


async def _run(container: Container, runtime: Runtime, number: int, logged: bool) -> None:
    with _step("/run"):
        answer = await _post(runtime, b"/run", {"number": number})
        if answer != {"number": number + 1}:
            raise Failed(f"its answer is {str(answer)[:_WORDS]}")
    if not logged:
        return
    with _step("logs"):
        taken: asyncio.Future[Lines] = asyncio.get_running_loop().create_future()
        container.collect(_LIMIT, True, taken.set_result)
        lines = (await taken).lines
        if len(lines) != 1 or not lines[0].endswith("canary"):
            raise Failed(f"one line was printed, and {len(lines)} were read")


async def _post(runtime: Runtime, path: bytes, value: Json, retry: bool = False) -> Json:
    """The answer's JSON."""
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    deadline = str(int((time.time() + PATIENCE) * 1000))
    body = msgspec.json.encode({"value": value, "deadline": deadline})
    runtime.post(path, body, Allowance(PATIENCE, _LIMIT, _LIMIT), partial(_settle, done), retry)
    outcome = await done
    if outcome.ending is not ANSWERED:
        raise Failed(f"no answer: {outcome.ending.value}")
    if outcome.status != 200:
        raise Failed(f"status {outcome.status}: {outcome.body[:_WORDS].decode(errors='replace')}")
    return msgspec.json.decode(outcome.body)


def _settle(done: asyncio.Future[Outcome], outcome: Outcome) -> None:
    """Unless nobody waits any more."""
    if not done.done():
        done.set_result(outcome)


@contextmanager
def _step(name: str, failed: type[Failed] = Failed) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        behind = f" ({error.__cause__})" if str(error.__cause__ or "") else ""
        raise failed(f"{name}: {str(error) or type(error).__name__}{behind}") from error


def provable(kind: str) -> bool:
    """Whether there is code for it."""
    return kind.partition(":")[0] in _CODES


Canary = Callable[[Containers, ContainerSpec], Awaitable[None]]
"""One try. Raises Failed."""


class Proof:
    """Whether containers work: while they do not, `gate` is shut. Without a canary they are trusted. `relieve` removes
    some that are idle."""

    def __init__(
        self,
        canary: Canary | None,
        containers: Containers,
        spec: ContainerSpec,
        gate: Gate,
        relieve: Callable[[], None],
    ) -> None:
        self._canary = canary
        self._relieve = relieve
        self._containers = containers
        self._spec = spec
        self._gate = gate
        self._failures = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._task: asyncio.Task[None] | None = None
        self._known = asyncio.Event()
        self.trouble: str | None = None
        """Why they do not."""
        self.seconds = 0.0
        """What the last success took."""
        if canary is not None:
            self._doubt("no container has been tried yet")

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Try now."""
        self._tasks = tasks
        if self._canary is not None:
            self._task = tasks.create_task(self._prove(self._canary))

    @property
    def relapsed(self) -> bool:
        """They have worked and do not now: no controller should send anything."""
        return self.trouble is not None and self.seconds > 0

    def stop(self) -> None:
        """Try no more."""
        self._tasks = None
        if self._task is not None:
            self._task.cancel()

    async def known(self, patience: float) -> bool:
        """Whether they work, as soon as a try has ended; after `patience` seconds they are not known to."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._known.wait()
        return self.trouble is None

    def made(self, error: StartFailed | None) -> None:
        """A container was made, or could not be; what a tenant's image is to blame for does not count."""
        if error is None:
            self._failures = 0
        elif not (error.developer or error.excused):
            self._failures += 1
        if self._canary is None or self._tasks is None or self._failures < IN_A_ROW or self.trouble is not None:
            return
        self._doubt(f"containers cannot be made: {error}")
        log.error("%d containers in a row could not be made: nothing is fetched until one works", self._failures)
        self.start(self._tasks)

    async def _prove(self, canary: Canary) -> None:
        """Return when a try has succeeded."""
        failures = 0
        while True:
            began = time.perf_counter()
            try:
                await canary(self._containers, self._spec)
            except Failed as error:
                failures += 1
                self._doubt(f"containers do not work here: {error}")
                if failures <= LOGGED or failures % RARELY == 0:
                    log.error("%s; nothing is fetched, and it is tried again each %g s", self.trouble, AGAIN)
                self._known.set()
                if isinstance(error, NotMade):
                    self._relieve()
                await asyncio.sleep(AGAIN)
            else:
                break
        self.seconds = time.perf_counter() - began
        if failures:
            log.warning("containers work again")
        self.trouble, self._failures = None, 0
        self._known.set()
        self._gate.open(UNPROVEN)

    def _doubt(self, why: str) -> None:
        self.trouble = why
        self._gate.shut(UNPROVEN)
