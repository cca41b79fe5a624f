"""The platform's side of a zygote: start it, ask it, notice its death.

One request at a time: a reply takes about a millisecond, so a queue would gain nothing, and the buffer of the socket
can never fill. Replies come by `add_reader`; nothing here blocks the loop except starting the process.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any

from upcall.errors import StartFailed

_PACKET, _DESCRIPTORS = 1 << 16, 4
_PATIENCE = 20.0


Reply = tuple[dict[str, Any], list[int]]
"""With the descriptors that came along."""


class ZygoteLost(StartFailed):
    """The zygote has ended, or does not answer and is ended: whatever was asked of it may be asked of the next one."""


class ZygoteGone(ZygoteLost):
    """It had ended before anything was asked of it."""


class Zygote:
    """One running zygote. `died` is called once, unless `close` was called first."""

    def __init__(self, argv: list[str], keep: list[int], died: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.complaint = ""
        """What the process wrote to its standard error; known after its end."""
        self._died: Callable[[], None] | None = died
        self._lock = asyncio.Lock()
        self._number = 0
        self._reply: asyncio.Future[Reply] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        with theirs:
            fd = theirs.fileno()
            self._process = subprocess.Popen(
                [argument.replace("{control}", str(fd)) for argument in argv],
                pass_fds=[fd, *keep],
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                start_new_session=True,
                cwd="/",
            )
        self._loop.add_reader(self._socket, self._readable)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._died is not None

    async def request(self, message: dict[str, Any], fds: list[int]) -> Reply:
        """Send one request with descriptors; gives the reply with its own. Raises StartFailed, and ZygoteLost."""
        async with self._lock:
            if not self.alive:
                raise ZygoteGone("The zygote has ended.")
            self._number += 1
            promise: asyncio.Future[Reply] = self._loop.create_future()
            self._reply = promise
            try:
                socket.send_fds(self._socket, [json.dumps({"id": self._number, **message}).encode()], fds)
                async with asyncio.timeout(_PATIENCE):
                    reply, given = await _kept(promise)
            except TimeoutError as error:
                self._lose("it does not answer")
                self._kill()
                raise ZygoteLost("The zygote does not answer.") from error
            except ConnectionError as error:
                self._lose("it has ended")  # before its end was read: whoever tries again gets another one
                raise ZygoteLost(f"The zygote does not answer: {error}") from error
            except OSError as error:
                raise ZygoteLost(f"The zygote does not answer: {error}") from error
            finally:
                self._reply = None
        if "error" in reply:
            raise StartFailed(str(reply["error"]))
        return reply, given

    def _read_complaint(self) -> str:
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), 4096, max(0, size - 4096)).decode("utf-8", "replace").strip()

    async def close(self) -> None:
        """Let it end, and wait for that; its containers end with it."""
        self._died = None
        self._end("closed")
        await asyncio.to_thread(self._wait)
        self.complaint = self._read_complaint()
        self._errors.close()

    def _wait(self) -> None:
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()

    def _readable(self) -> None:
        try:
            packet, fds, _, _ = socket.recv_fds(self._socket, _PACKET, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            packet, fds = b"", []
        if not packet:
            self._lose("it has ended")
            return
        reply = json.loads(packet)
        if reply["id"] == self._number and self._reply is not None and not self._reply.done():
            self._reply.set_result((reply, fds))
            return
        _drop(fds)  # nobody waits any more

    def _kill(self) -> None:
        """Kill what hangs: bubblewrap's monitor and the zygote, which is its child."""
        pid = self._process.pid
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as file:
            for child in map(int, file.read().split()):
                os.kill(child, signal.SIGKILL)
        self._process.kill()

    def _lose(self, why: str) -> None:
        """Give it up; with its socket closed it ends by itself."""
        died, self._died = self._died, None
        self._end(why)
        if died is not None:
            died()

    def _end(self, why: str) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionError(why))

    def reap(self) -> None:
        """After `died`: forget the process, once it is gone."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        self.complaint = self._read_complaint()
        self._errors.close()


async def _kept(promise: asyncio.Future[Reply]) -> Reply:
    try:
        return await promise
    except asyncio.CancelledError:
        if not promise.cancelled() and promise.exception() is None:  # it came as we were told to wait no more
            _drop(promise.result()[1])
        raise


def _drop(fds: list[int]) -> None:
    """Close what nobody wants, and end what is a process."""
    for fd in fds:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        os.close(fd)
