"""A process of any role: its loop, its logs, its signals, and how its errors become an exit code."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine

import msgspec

from upcall.config import Settings
from upcall.errors import Unavailable
from upcall.identity import beyond, claimed
from upcall.lifetime import fill_standard_streams
from upcall.setting import Role
from upcall.telemetry import Log, set_up_logging

log = logging.getLogger("upcall")


def run(settings: Settings, say: Callable[[str], None]) -> int:
    """The role that the settings name: returns the exit code; `say` gets the lines for the user once it is ready.
    Raises Misconfigured where it cannot start, Unavailable where what it lives on is gone for good."""
    fill_standard_streams()
    logs = set_up_logging(settings.log_level, settings.log_format)
    settings = _numbered(settings)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(_role(settings.role)(settings, say, logs))
        except ExceptionGroup as group:
            if group.split(Unavailable)[1] is not None:
                raise
            raise _first(group) from None


def _numbered(settings: Settings) -> Settings:
    """With the number that ZooKeeper keeps, where it does: all else of a start depends on it."""
    if settings.claim is None:
        return settings
    number = claimed(settings.claim)
    log.info("Invoker %d is %s, by ZooKeeper at %s", number, settings.claim.name, settings.claim.hosts)
    for remark in beyond(number, os.environ):
        log.warning(remark)
    return msgspec.structs.replace(settings, invoker_id=number, claim=None)


def _role(name: Role) -> Callable[[Settings, Callable[[str], None], Log], Coroutine[None, None, int]]:
    """Only what it needs is loaded."""
    match name:
        case "serve":
            from upcall.app.serve import serve

            return serve
        case "invoker":
            from upcall.app.invoker import invoker

            return invoker
        case "controller":
            from upcall.app.controller import controller

            return controller


def _first(error: Exception) -> Exception:
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
