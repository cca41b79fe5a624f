"""What every role stands on: its data folder, the store, the bus, the address; in this order, and let go backwards."""

import contextlib
import socket
import ssl
from pathlib import Path

import msgspec

from upcall.app.addresses import names, reachable
from upcall.app.folders import remove, run_folder
from upcall.app.parts import opened_bus
from upcall.config import Settings
from upcall.extras import missing
from upcall.http.listening import listen
from upcall.ownership import Ownership, owned, private_folder
from upcall.ports import Bus
from upcall.secured import Https
from upcall.store.choice import Storage, opened


class Ground(msgspec.Struct, frozen=True):
    """Of one process. `tls` None: by HTTP."""

    data: Path
    owner: Ownership
    store: Storage
    bus: Bus
    listener: socket.socket
    tls: ssl.SSLContext | None

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port


async def taken(settings: Settings, stack: contextlib.AsyncExitStack) -> Ground:
    """Held until the stack is left. Raises Misconfigured."""
    data = private_folder(settings.folder)
    owner = stack.enter_context(owned(data))
    stack.callback(remove, run_folder(data))
    chosen = opened(
        settings.store,
        data,
        settings.durability,
        settings.member,
        manifest=settings.runtimes,
        spill=settings.store_spill,
    )
    store = await stack.enter_async_context(chosen)
    bus = await stack.enter_async_context(opened_bus(settings, store))
    listener = stack.enter_context(listen(settings.host, settings.port))
    return Ground(data, owner, store, bus, listener, _tls(settings, data))


def url_of(settings: Settings, ground: Ground) -> str:
    """As this machine can use it."""
    return f"{'https' if ground.tls else 'http'}://{reachable(settings.host)}:{ground.port}"


def _tls(settings: Settings, data: Path) -> ssl.SSLContext | None:
    """By the operator's certificate or one that is made; else by a keystore, where https is asked for."""
    if settings.tls != "off" or settings.tls_cert is not None or settings.tls_key is not None:
        from upcall.controller.tls import tls_context

        return tls_context(settings.tls, settings.tls_cert, settings.tls_key, data, names(settings.host))
    return _by_keystore(settings.https) if settings.https.protocol == "https" else None


def _by_keystore(https: Https) -> ssl.SSLContext:
    assert https.keystore is not None, "settings without are refused"
    try:
        from upcall.http.keystore import keystore_context
    except ImportError as error:
        raise missing("https.keystore", "cryptography") from error
    return keystore_context(https.keystore, https.keystore_password, https.keystore_flavor, https.client_auth)
