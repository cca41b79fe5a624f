"""One process's standard streams and signals."""

import asyncio
import contextlib
import logging
import os
import signal

log = logging.getLogger(__name__)


def fill_standard_streams() -> None:
    """What is closed of 0, 1 and 2 becomes /dev/null: else a socket gets the number, and libuv aborts when it closes
    such a one."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


class Stop:
    """SIGTERM, SIGINT and SIGHUP (the terminal is closed): the first asks for a stop, the second ends the process at
    once; what it leaves is cleared away by the guardian. A closing terminal sends SIGHUP more than once, so that only
    the others count as a second; where SIGHUP is ignored (`nohup`) it stays so."""

    def __init__(self) -> None:
        self.asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def listen(self, stack: contextlib.AsyncExitStack) -> None:
        """Until the stack is left."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            loop.add_signal_handler(number, self._signalled, number)
            stack.callback(loop.remove_signal_handler, number)

    def _signalled(self, number: signal.Signals) -> None:
        if not self.asked.done():
            self.asked.set_result(None)
        elif number != signal.SIGHUP:
            log.warning("stopped at once by a second signal; what was running has no record")
            logging.shutdown()
            os._exit(128 + number)
