"""What belongs to a tenant's network namespace: the API's listener and DNS inside of it, and the way out.

The zygote makes the namespace with the sockets at which the platform serves (`runtimes.python.net`); all of it is
descriptors, no file and no mount, so none can be left behind. When the namespace is let go its sockets are closed at
once, which ends it, and the way out is taken away behind it.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import socket
from collections.abc import Callable

from upcall.containers.sandbox.dns import Choose, Forwarder
from upcall.containers.sandbox.network import Namespace
from upcall.containers.sandbox.outbound import Ask, Link, Outbound
from upcall.runtimes.python.net import ADDRESS

log = logging.getLogger(__name__)

URL = f"http://{ADDRESS}"
"""Of the API inside; the scheme's own port is left out (spec: container.md §4.1)."""
Close = Callable[[], None]
Serve = Callable[[socket.socket], Close]
"""Accepts on a listening socket, which it owns from then on, until the function that it gives is called."""


class Interior:
    """Makes namespaces whole and takes them apart. Without `serve_api` nothing listens at the API's address."""

    def __init__(self, ask: Ask, outbound: Outbound, serve_api: Serve | None, choose: Choose | None) -> None:
        self._ask = ask
        self._outbound = outbound
        self._serve_api = serve_api
        self._choose = choose
        self._taken: set[int] = set()
        self._made: dict[Namespace, tuple[contextlib.ExitStack, Link]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    async def make(self) -> Namespace:
        """A new one. Raises StartFailed where the zygote cannot make it."""
        number = next(number for number in itertools.count() if number not in self._taken)
        self._taken.add(number)
        try:
            with contextlib.ExitStack() as stack:
                _, (fd, *sockets) = await self._ask({"op": "net"}, [])
                stack.callback(os.close, fd)
                self._serve(stack, *(socket.socket(fileno=each) for each in sockets))
                link = await self._outbound.attach(number, fd)
                made = Namespace(number, fd)
                self._made[made] = stack.pop_all(), link
        except BaseException:
            self._taken.discard(number)
            raise
        return made

    def let_go(self, namespace: Namespace) -> None:
        """Nobody is in it any more."""
        inside, link = self._made.pop(namespace)
        inside.close()
        task = asyncio.get_running_loop().create_task(self._leave(namespace.number, link))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Wait until what was let go is gone."""
        await asyncio.gather(*self._leaving)

    def _serve(self, stack: contextlib.ExitStack, api: socket.socket, udp: socket.socket, tcp: socket.socket) -> None:
        stack.callback(Forwarder(udp, tcp, self._choose).close)
        if self._serve_api is None:
            api.close()
        else:
            stack.callback(self._serve_api(api))

    async def _leave(self, number: int, link: Link) -> None:
        try:
            await self._outbound.detach(link)
        except Exception:
            log.exception("the way out of network %d cannot be taken away", number)
        finally:
            self._taken.discard(number)
