"""Records that the controller makes itself: of firings, sequences and conductors. And waiting for those of Invokers."""

import asyncio

from upcall.errors import UpcallError
from upcall.model.activation import Activation
from upcall.model.entities import Identity
from upcall.ports import Store


async def keep(store: Store, identity: Identity, activation: Activation) -> None:
    """Store it, unless the namespace keeps none."""
    if identity.limits.store_activations is False:
        return
    while not store.record(activation):
        await store.room()


class Sent:
    """A caller that waits for the bus alone."""

    def __init__(self) -> None:
        self.id: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def done(self, id: str, activation: Activation | None) -> None:
        if not self.id.done():
            self.id.set_result(id)

    def failed(self, id: str, error: UpcallError) -> None:
        if not self.id.done():
            self.id.set_exception(error)


class Ended:
    """A caller that waits for the record; None is what it gets where the wait is over."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[tuple[str, Activation | None]] = asyncio.get_running_loop().create_future()

    def done(self, id: str, activation: Activation | None) -> None:
        if not self.outcome.done():
            self.outcome.set_result((id, activation))

    def failed(self, id: str, error: UpcallError) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)
