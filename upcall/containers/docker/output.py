"""The output of the engine's containers: by FIFOs where the image has a shell and the engine sees this host's files,
else by the engine's stream. That is found out by trying: a creation that fails for the sake of the FIFOs is done once
more without them (`Output.refused`), and what was learnt of the image or of the engine is remembered.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from upcall.containers.docker.engine import Engine, EngineError
from upcall.containers.docker.entry import ERR, MISSING, OUT, Entry, Program, Shells, wrapped
from upcall.containers.docker.fifo import Fifos, sweep
from upcall.containers.docker.stream import Attached
from upcall.errors import Misconfigured
from upcall.logs.collection import Collection
from upcall.logs.pipes import Pipes
from upcall.logs.stream import LogStream
from upcall.logs.streams import Stream
from upcall.ports import ContainerSpec, Lines

log = logging.getLogger(__name__)

_SETTLING = {"fifo": 0.01, "stream": 0.05}
"""Seconds: a FIFO has what was written, a stream will have it soon."""
_LOOK = 1.0
"""Seconds after which a container that has not said a word is looked at."""
_PATIENCE = 10.0
"""Seconds that one which runs may take for it."""


class Outputs:
    """Of all containers of one engine. `folder` is private to it; `bound` is the greatest log limit, in bytes."""

    def __init__(self, folder: Path, engine: Engine, bound: int) -> None:
        self.engine = engine
        self.bound = bound
        self.shells = Shells()
        self.turn = asyncio.Lock()
        self.mode: Literal["fifo", "stream"] = "fifo"
        """How lines come of images that have a shell."""
        self._folder = folder
        self._numbers = itertools.count()

    async def start(self) -> None:
        """Make the folder; what an earlier life left in it goes. Raises Misconfigured."""
        try:
            await asyncio.to_thread(sweep, self._folder)
        except OSError as error:
            raise Misconfigured(f"The folder {self._folder} for containers' output cannot be used: {error}.") from error

    def open(self, spec: ContainerSpec, program: Program) -> "Output":
        """For a container that is about to be created. Raises OSError."""
        shell = self.shells.of(program) if self.mode == "fifo" else None
        if shell is None:
            return Output(self, spec, program, "", None)
        return Output(self, spec, program, shell, Fifos(self._folder / str(next(self._numbers))))

    def blind(self, why: str) -> None:
        """The engine's containers do not write to FIFOs of this host."""
        if self.mode == "fifo":
            self.mode = "stream"
            log.warning(
                "containers of the engine at %s cannot use files of this host (%s): their logs come by the engine's"
                " stream, which takes it more time",
                self.engine.host,
                why,
            )


class Output:
    """Of one container, in the order of its methods; `close` may come at any time."""

    def __init__(
        self, outputs: Outputs, spec: ContainerSpec, program: Program, shell: str, fifos: Fifos | None
    ) -> None:
        self._outputs = outputs
        self._program = program
        self._shell = shell
        self._fifos = fifos
        self._id = ""
        self._stream = LogStream(outputs.bound, sentinel=True)
        self._said: asyncio.Future[bytes] | None = None
        self._heard = b""
        """Of what the shell says, as far as it has come."""
        self._pipes: Pipes | None = None
        self._attached: Attached | None = None
        self.entry = Entry()
        """What the engine is told at the creation."""
        if fifos is not None:
            loop = asyncio.get_running_loop()
            self.entry = wrapped(shell, program, fifos.paths["stdout"], fifos.paths["stderr"])
            self._said = loop.create_future()
            self._pipes = Pipes(loop, self, fifos.readers)
            self._pipes.watch()
        else:
            self._attached = Attached(outputs.engine, self, self.over, outputs.turn)
        self._collection = Collection(
            self._stream,
            self._pipes.drain if self._pipes is not None else _all,
            sentinels=spec.sentinels,
            shared=spec.concurrency > 1,
            settling=_SETTLING["stream" if fifos is None else "fifo"],
        )

    async def created(self, id: str) -> None:
        """The container is there, and has not been started. Raises EngineAway, EngineError."""
        self._id = id
        if self._attached is not None:
            await self._attached.open(id)

    async def begun(self) -> None:
        """After its start: return when the image's own program takes over. Raises EngineAway, EngineError: the same
        as an engine that finds no such program, or one that `refused` knows."""
        if self._said is None:
            return
        said = await self._word()
        if said == MISSING:
            name = (*self._program.entrypoint, *self._program.command)[0]
            raise EngineError(400, f'exec: "{name}": executable file not found in $PATH')
        if said is None:
            raise _Silent(f"A container's shell has not written to {OUT}")

    def refused(self, error: EngineError) -> bool:
        """Whether creation, start or `begun` has failed because of the way in which output was to come: then another
        output will do better. This one is to be closed all the same."""
        if self._fifos is None:
            return False
        if isinstance(error, _Ended):
            self._outputs.shells.refuse(self._program)
        elif isinstance(error, _Silent) or any(path in str(error) for path in (*self._fifos.paths.values(), OUT, ERR)):
            self._outputs.blind(str(error))
        elif any(said in str(error) for said in (f'exec: "{self._shell}"', f"exec {self._shell}:")):
            self._outputs.shells.refuse(self._program, self._shell)
        else:
            return False
        return True

    def collect(self, limit: int, complete: bool, done: Callable[[Lines], None]) -> None:
        """As `upcall.ports.Container.collect`."""
        self._collection.collect(limit, complete, done)

    def over(self) -> None:
        """The container has ended: nobody need wait for more than what is there."""
        if self._pipes is not None:
            self._pipes.drain()
        self._collection.over()

    async def close(self) -> None:
        """Read the rest and let go; what was read can still be taken."""
        if self._pipes is not None:
            await self._pipes.close()
        if self._attached is not None:
            await self._attached.close()
        self._collection.over()
        fifos, self._fifos = self._fifos, None
        if fifos is not None:
            fifos.remove()

    # --- the sink of whoever reads

    @property
    def full(self) -> bool:
        return self._stream.full

    def feed(self, stream: Stream, data: bytes) -> None:
        if self._said is not None and not self._said.done() and stream == "stdout":
            data = self._shells_word(data)
        self._stream.feed(stream, data)
        self._collection.heard()

    def _shells_word(self, data: bytes) -> bytes:
        """Keep the first line, which the shell has written; gives what follows it."""
        assert self._said is not None
        said, newline, rest = (self._heard + data).partition(b"\n")
        if newline:
            self._said.set_result(said)
        else:
            self._heard = said
        return rest

    async def _word(self) -> bytes | None:
        """None: it runs and has said nothing. Raises EngineAway, EngineError."""
        assert self._said is not None
        for _ in range(int(_PATIENCE / _LOOK)):
            done, _ = await asyncio.wait([self._said], timeout=_LOOK)
            if done:
                break
            if not await self._runs() and not self._said.done():
                raise _Ended("A container's shell has ended without a word")
        return self._said.result() if self._said.done() else None

    async def _runs(self) -> bool:
        engine = self._outputs.engine
        async with engine.asked(engine.timeouts.inspect) as docker:
            found: dict[str, Any] = await docker.containers.container(self._id).show()
        return bool(found["State"]["Running"])


class _Silent(EngineError):
    """The shell runs, and what it writes does not arrive."""

    def __init__(self, message: str) -> None:
        super().__init__(0, message)


class _Ended(_Silent):
    """It has ended, and nothing arrived."""


def _all() -> bool:
    """Whoever reads a stream has read all that there is, as far as anybody knows."""
    return True
