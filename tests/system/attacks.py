"""One attack by code of every sort of container: `main(args)` of a Python text, given and giving JSON.

forked      a Python action: what the zygote has forked
executed    a program that a Node.js action starts: what an executed runtime hands on
prewarmed   the same where the container had its process before it had a tenant
native      a native executable
"""

import json
from typing import Any

from tests.contract.language import NODE
from tests.unit.containers.calls import result, spec
from upcall.containers.process import ProcessContainers
from upcall.containers.sandbox.launch import interpreter
from upcall.ports import Container, ContainerSpec

SORTS = ("forked", "executed", "prewarmed", "native")
_TAIL = "\nimport json, sys\nprint(json.dumps(main(json.load(sys.stdin))))\n"
_NODE = """
const { execFileSync } = require('child_process');
const main = (args) => JSON.parse(execFileSync(%s, ['-c', %s], { input: JSON.stringify(args) }));
"""

CALLS = """
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    args = [ctypes.c_long(value) if isinstance(value, int) else value for value in args]
    return 0 if libc.syscall(ctypes.c_long(number), *args) >= 0 else ctypes.get_errno()
def raised(what, *args):
    try:
        what(*args)
    except OSError as error:
        return error.errno
    return 0
"""
"""Of use to most attacks: a system call by its number, and what a call raises, as numbers of errors."""


async def container(driver: ProcessContainers, sort: str, tenant: str = "evil") -> Container:
    """A container that has its tenant."""
    if sort == "prewarmed":
        waiting = await driver.create(spec("", kind=NODE))
        await waiting.claim(tenant)
        return waiting
    if sort == "native":
        image = "openwhisk/dockerskeleton"
        return await driver.create(ContainerSpec(kind="blackbox", image=image, memory=128, name="n", tenant=tenant))
    return await driver.create(spec(tenant, kind="python:3" if sort == "forked" else NODE))


def source(sort: str, code: str) -> str:
    """The action's code."""
    code = CALLS + code
    match sort:
        case "forked":
            return code
        case "native":
            return f"#!{interpreter()} -I\n{code}{_TAIL}"
    return _NODE % (json.dumps(interpreter()), json.dumps(code + _TAIL))


async def everywhere(driver: ProcessContainers, code: str, value: Any = None) -> dict[str, Any]:
    """What the code gives, by sort."""
    return {sort: await attack(driver, sort, code, value) for sort in SORTS}


async def attack(driver: ProcessContainers, sort: str, code: str, value: Any = None, tenant: str = "evil") -> Any:
    return await result(await container(driver, sort, tenant), source(sort, code), value)


def all_refused(seen: dict[str, dict[str, int]], *errors: int) -> None:
    """Every call of every sort has ended with one of these errors."""
    assert set(seen) == set(SORTS)
    assert {(sort, name, errno) for sort in seen for name, errno in seen[sort].items() if errno not in errors} == set()
