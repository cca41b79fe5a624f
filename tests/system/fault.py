"""What a fault is: a way in which an action can fail, kind by kind, and what its caller is to see.

A fault is written once for all kinds where what is seen is the same; a `Case` holds a kind's code and what only that
kind says. Code is given `{"again": true}` by the activation that follows and then answers `{"ok": 1}`, except where it
fails in /init and never gets that far.
"""

from typing import Any, Literal

import msgspec

Status = Literal["success", "application error", "action developer error"]

PYTHON, NATIVE = "python:3", "blackbox"
SKELETON = "openwhisk/dockerskeleton"

DEVELOPER = "stderr: The action did not initialize or run as expected. Log data might be missing."
TRUNCATED = r"stderr: Logs were truncated because the total bytes size exceeds the limit of 1048576 bytes\."
INIT_DIED = r"The action did not initialize and exited unexpectedly\."
RUN_DIED = r"The action did not produce a valid response and exited unexpectedly\."
INIT_LATE = r"The action exceeded its time limits of 300 milliseconds during initialization\."
RUN_LATE = r"The action exceeded its time limits of 300 milliseconds\."
EXHAUSTED = r"The action exhausted its memory and was aborted\."
NOT_OBJECT = r"The action did not return a dictionary or array\."


class Case(msgspec.Struct, frozen=True):
    """One kind's way to the fault."""

    code: str
    says: str = ""
    """A regular expression of the whole error, where the kind has words of its own."""
    logs: str = ""
    """The same of all lines without their times, joined by newlines."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What happens, and what is told about it."""

    name: str
    status: Status = "action developer error"
    says: str = ""
    logs: str = ""
    result: Any = None
    """Of a success."""
    in_init: bool = False
    late: bool = False
    """The annotation `timeout`."""
    kept: bool = False
    """Whether the container takes the next activation."""
    trails: bool = False
    """Whether an answer of the runtime's own may come after the action's, and be taken for the next one's."""
    limits: dict[str, int] = msgspec.field(default_factory=dict)
    cases: dict[str, Case]

    def exec(self, kind: str) -> dict[str, str]:
        """What the action's document says of its code."""
        image = {"image": SKELETON} if kind == NATIVE else {}
        return {"kind": kind, "code": self.cases[kind].code, **image}


def python(body: str, head: str = "") -> str:
    """`body` is of `main`; the next activation does not get there."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"{head}\ndef main(args):\n    if args.get('again'):\n        return {{'ok': 1}}\n{lines}\n"


def node(body: str, head: str = "") -> str:
    """The same in JavaScript, with `fs` at hand."""
    return f"const fs = require('fs');\n{head}\nfunction main(args) {{ if (args.again) return {{ok: 1}};\n{body}\n}}\n"


def shell(body: str) -> str:
    """The same as a script."""
    return f'#!/bin/sh\ncase "$1" in *again*) echo \'{{"ok": 1}}\'; exit;; esac\n{body}\n'


def ended(how: str) -> str:
    """What the runtime of native programs adds to the log of one without a result."""
    return rf"stderr: The program ended {how} and its last line is no JSON object or array\.\n{DEVELOPER}"
