"""The output of the engine's containers: by FIFOs where the image has a shell and the engine sees this host's files,
else by the engine's stream. That is found out by trying: a creation that fails for the sake of the FIFOs is done once
more without them (`Output.refused`), and what was learnt of the image or of the engine is remembered. Where logs are
left to the engine's log driver nothing is read at all.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from upcall.containers.docker.engine import Engine, EngineError
from upcall.containers.docker.entry import ERR, FORBIDDEN, MISSING, OUT, Entry, Program, Shells, wrapped
from upcall.containers.docker.fifo import Fifos, sweep
from upcall.containers.docker.inspection import inspect
from upcall.containers.docker.stream import Attached
from upcall.containers.docker.word import Ended, Silent, Word
from upcall.errors import Misconfigured
from upcall.logs.collection import Collection
from upcall.logs.pipes import Pipes
from upcall.logs.stream import LogStream
from upcall.logs.streams import Stream
from upcall.ports import ContainerSpec, Lines

log = logging.getLogger(__name__)

_WHY = {MISSING: "executable file not found in $PATH", FORBIDDEN: "permission denied"}
"""What an engine says, by what a shell says."""
_SETTLING = 0.01
"""Seconds: what was written is in the FIFO."""


class Outputs:
    """Of all containers of one engine. `folder` is private to it; `bound` is the greatest log limit, in bytes; where it
    is 0 nothing is read."""

    def __init__(self, folder: Path, engine: Engine, bound: int) -> None:
        self.engine = engine
        self.bound = bound
        self.shells = Shells()
        self.turn = asyncio.Lock()
        self.mode: Literal["fifo", "stream", "log driver"] = "fifo" if bound else "log driver"
        """How lines come of images that have a shell."""
        self.connected = False
        """Whether a container has written to a FIFO: then one that does not has itself to blame, or its image."""
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
        self._image = spec.image
        self._foreign = spec.pull
        self._program = program
        self._shell = shell
        self._fifos = fifos
        self._id = ""
        self.entry = Entry()
        """What the engine is told at the creation."""
        self._word: Word | None = None
        self._pipes: Pipes | None = None
        if fifos is not None:
            self.entry = wrapped(shell, program, fifos.paths["stdout"], fifos.paths["stderr"])
            self._word = Word()
            self._pipes = Pipes(asyncio.get_running_loop(), self, fifos.readers)
            self._pipes.watch()
        self._stream = LogStream(outputs.bound, sentinel=True)
        unread = fifos is not None or outputs.mode == "log driver"
        self._attached = None if unread else Attached(outputs.engine, self, self._ended, outputs.turn)
        self._collection = Collection(
            self._stream,
            _all if self._pipes is None else self._pipes.drain,
            sentinels=spec.sentinels,
            shared=spec.concurrency > 1,
            settling=_settled if self._attached is None else self._attached.settling,
        )

    async def created(self, id: str) -> None:
        """The container is there, and has not been started. Raises EngineAway, EngineError."""
        self._id = id
        if self._attached is not None:
            await self._attached.open(id)

    async def begun(self) -> None:
        """After its start: return when the image's own program takes over. Raises EngineAway, EngineError: the same
        as an engine that finds no such program, or one that `refused` knows."""
        if self._word is None:
            return
        said = await self._word.wait(self._status)
        if why := _WHY.get(said):
            name = (*self._program.entrypoint, *self._program.command)[0]
            raise EngineError(400, f'exec: "{name}": {why}')

    def refused(self, error: EngineError) -> bool:
        """Whether creation, start or `begun` has failed because of the way in which output was to come: then another
        output will do better. This one is to be closed all the same."""
        if self._fifos is None:
            return False
        if isinstance(error, Ended):
            self._lacks(None)
        elif isinstance(error, Silent) or any(path in str(error) for path in (*self._fifos.paths.values(), OUT, ERR)):
            if self._foreign or self._outputs.connected:  # a tenant must not choose the way of all others
                self._lacks(None)
            else:
                self._outputs.blind(str(error))
        elif any(said in str(error) for said in (f'exec: "{self._shell}"', f"exec {self._shell}:")):
            self._lacks(self._shell)
        else:
            return False
        return True

    def collect(self, limit: int, complete: bool, done: Callable[[Lines], None]) -> None:
        """As `upcall.ports.Container.collect`."""
        self._collection.collect(limit, complete, done)

    def share(self) -> None:
        """Activations may overlap."""
        self._collection.shared = True

    def over(self) -> None:
        """The container has ended: nobody need wait for more than what is there. A stream may have more, and ends by
        itself."""
        if self._attached is None:
            self._ended()

    async def close(self) -> None:
        """Read the rest and let go; what was read can still be taken."""
        if self._pipes is not None:
            await self._pipes.close()
        if self._attached is not None:
            await self._attached.close()
        self._ended()
        fifos, self._fifos = self._fifos, None
        if fifos is not None:
            fifos.remove()

    # --- the sink of whoever reads

    @property
    def full(self) -> bool:
        return self._stream.full

    def feed(self, stream: Stream, data: bytes) -> None:
        if stream == "stdout" and self._word is not None and not self._word.over:
            data = self._word.feed(data)
            self._outputs.connected = True
            if self._word.promised:
                self._collection.promise()
        self._stream.feed(stream, data)
        self._collection.heard()

    def _lacks(self, shell: str | None) -> None:
        log.info("the image %s has no %s that could be used", self._image, shell or "shell")
        self._outputs.shells.refuse(self._program, shell)

    def _ended(self) -> None:
        self._collection.over()

    async def _status(self) -> int | None:
        """With what it has ended."""
        state = (await inspect(self._outputs.engine, self._id))["State"]
        return None if state["Running"] else int(state["ExitCode"])


def _settled() -> float:
    return _SETTLING


def _all() -> bool:
    """Whoever reads a stream has read all that there is, as far as anybody knows."""
    return True
