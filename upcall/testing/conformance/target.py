"""The Invoker that is looked at: where it is, what is known of its settings, and how it is stopped and started."""

import contextlib
from collections.abc import Callable, Iterator

import msgspec

from upcall.testing.conformance.check import NotInReach

Deed = Callable[[], None]


class Target(msgspec.Struct, kw_only=True):
    """Facts; sizes in MB, times in seconds. What is empty or None makes checks that need it `NotInReach`."""

    kafka: str
    invoker: int = 0
    prefix: str = ""
    """Of topics; `event_prefix` is that of `events`."""
    event_prefix: str = ""
    controller: str = "conformance"
    """What this controller is called; its topic is `completed` and that."""
    store: str = ""
    """URL"""
    url: str = ""
    """Of the Invoker's HTTP."""
    username: str = "invoker.user"
    password: str = "invoker.pass"  # noqa: S105 - upstream's well-known one
    python: str = "python:3"
    """Kinds that it runs."""
    node: str = ""
    concurrency: int = 1
    """Its `whisk.concurrency-limit.max`."""
    memory_max: int = 512
    """Its `whisk.memory.max`."""
    pause_grace: float = 10.0
    idle: float = 600.0
    events: bool = False
    """Whether user events are on."""
    stem: str = ""
    """Memory (MB) of a stem cell of the Python kind that is kept ready, as text; empty: there is none."""
    failures_only: bool = False
    """Whether its store level of non-blocking activations is STORE_FAILURES."""
    docker: str = ""
    """Address of the Docker engine on which its containers are, if they are on one."""
    unique_name: str = ""
    displayed_name: str = ""
    patience: float = 30.0
    """Until something that is expected counts as missing."""
    wait_at_most: float = 30.0
    """Checks that would wait longer are not made."""
    stop: Deed | None = None
    """In order, as a supervisor does; returns when it has ended."""
    start: Deed | None = None
    """With the same settings and id."""
    kill: Deed | None = None
    """As SIGKILL does."""


@contextlib.contextmanager
def stopped(target: Target) -> Iterator[None]:
    """Stop it in order; it is started again in the end, whatever happens."""
    stop, start = _deed(target.stop, "stop"), _deed(target.start, "start")
    stop()
    try:
        yield
    finally:
        start()


@contextlib.contextmanager
def killed(target: Target) -> Iterator[None]:
    """The same, by SIGKILL."""
    kill, start = _deed(target.kill, "kill"), _deed(target.start, "start")
    kill()
    try:
        yield
    finally:
        start()


def _deed(deed: Deed | None, name: str) -> Deed:
    if deed is None:
        raise NotInReach(f"how to {name} it is not known: --{name} COMMAND")
    return deed
