"""A thread for a Kafka client whose calls wait, and a future that tells its end.

Not asyncio's pool: that has a few threads for all, and these live as long as the feed. They are daemons: a client that
hangs in a call does not keep the process.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable


def run_thread(name: str, body: Callable[[], None]) -> asyncio.Future[None]:
    """Run `body`; the future gets its exception, if it raises one."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if ended.done():
            return
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            body()
        except BaseException as raised:  # noqa: BLE001 - it is told to the loop
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has gone
            loop.call_soon_threadsafe(tell, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return ended
