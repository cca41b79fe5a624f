"""For tests, those of this project and of whoever extends it: builders and fakes here; `conformance` looks at any
Invoker from outside."""

from upcall.bus.memory import MemoryBus
from upcall.containers.fake import CRASH, FakeContainer, FakeContainers, Reply, Script, echo
from upcall.store.fake import FakeStore
from upcall.testing.builders import (
    MANIFEST,
    Controller,
    a_message,
    an_action,
    an_identity,
    an_instance,
    unexpected,
    until,
)

__all__ = [
    "CRASH",
    "MANIFEST",
    "Controller",
    "FakeContainer",
    "FakeContainers",
    "FakeStore",
    "MemoryBus",
    "Reply",
    "Script",
    "a_message",
    "an_action",
    "an_identity",
    "an_instance",
    "echo",
    "unexpected",
    "until",
]
