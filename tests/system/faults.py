"""Every way in which an action can fail, kind by kind: what it does, and what its caller is to see.

A fault is written once for all kinds where what is seen is the same; a `Case` holds a kind's code and what only that
kind says. Code is given `{"again": true}` by the activation that follows and then answers `{"ok": 1}`, except where it
fails in /init and never gets that far.
"""

from typing import Any, Literal

import msgspec

Status = Literal["success", "application error", "action developer error"]

PYTHON = "python:3"

DEVELOPER = "stderr: The action did not initialize or run as expected. Log data might be missing."
TRUNCATED = r"stderr: Logs were truncated because the total bytes size exceeds the limit of 1048576 bytes\."
INIT_DIED = r"The action did not initialize and exited unexpectedly\."
RUN_DIED = r"The action did not produce a valid response and exited unexpectedly\."
INIT_LATE = r"The action exceeded its time limits of 300 milliseconds during initialization\."
RUN_LATE = r"The action exceeded its time limits of 300 milliseconds\."
EXHAUSTED = r"The action exhausted its memory and was aborted\."


class Case(msgspec.Struct, frozen=True):
    """One kind's way to the fault."""

    code: str
    says: str = ""
    """A regular expression of the whole error, where the kind has words of its own."""
    logs: str = ""
    """The same of all lines without their times, joined by newlines."""

    @property
    def exec(self) -> dict[str, Any]:
        return {"code": self.code}


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
    limits: dict[str, int] = msgspec.field(default_factory=dict)
    cases: dict[str, Case]


def run(body: str, head: str = "") -> str:
    """Python: `body` is of `main`, and not reached again."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"{head}\ndef main(args):\n    if args.get('again'):\n        return {{'ok': 1}}\n{lines}\n"


INIT_ERROR = "The action failed to generate or locate a binary. See logs for details."
RAISED = r"An error has occurred while invoking the action \(see logs for details\): "
TRACE = r"stderr: Traceback \(most recent call last\):\n(?:stderr:   .*\n)+"

CRASHES = (
    Fault(
        name="exception in init",
        in_init=True,
        cases={
            PYTHON: Case(
                "print('begun')\nraise ValueError('no')\n",
                INIT_ERROR,
                rf"stdout: begun\n{TRACE}stderr: ValueError: no\n{DEVELOPER}",
            ),
        },
    ),
    Fault(
        name="exception",
        cases={
            PYTHON: Case(
                run("print('begun')\nraise ValueError('no')"),
                f"{RAISED}ValueError: no",
                rf"stdout: begun\n{TRACE}stderr: ValueError: no\n{DEVELOPER}",
            ),
        },
    ),
    Fault(
        name="exit in init",
        in_init=True,
        says=INIT_DIED,
        logs=f"stdout: last words\n{DEVELOPER}",
        cases={PYTHON: Case("import sys\nprint('last words')\nsys.exit(3)\n")},
    ),
    Fault(
        name="exit",
        says=RUN_DIED,
        logs=f"stdout: last words\n{DEVELOPER}",
        cases={PYTHON: Case(run("print('last words')\nsys.exit(0)", "import sys"))},
    ),
    Fault(
        name="exit that flushes nothing",
        says=RUN_DIED,
        logs=f"stdout: unended\n{DEVELOPER}",
        cases={PYTHON: Case(run("os.write(1, b'unended')\nos._exit(0)", "import os"))},
    ),
    Fault(
        name="killed by itself",
        says=RUN_DIED,
        logs=DEVELOPER,
        cases={PYTHON: Case(run("os.kill(os.getpid(), 9)", "import os"))},
    ),
    Fault(
        name="segmentation fault",
        says=RUN_DIED,
        logs=f"stderr: last words\n{DEVELOPER}",
        cases={PYTHON: Case(run("print('last words', file=sys.stderr)\nctypes.string_at(0)", "import ctypes, sys"))},
    ),
    Fault(
        name="every descriptor closed",
        says=RUN_DIED,
        logs=DEVELOPER,
        cases={PYTHON: Case(run("os.closerange(0, 1024)\nreturn {}", "import os"))},
    ),
)

TIMES = (
    Fault(
        name="hang in init",
        in_init=True,
        late=True,
        says=INIT_LATE,
        logs=f"stdout: begun\n{DEVELOPER}",
        limits={"timeout": 300},
        cases={PYTHON: Case("import time\nprint('begun')\ntime.sleep(1000)\n")},
    ),
    Fault(
        name="hang",
        late=True,
        says=RUN_LATE,
        logs=f"stdout: begun\n{DEVELOPER}",
        limits={"timeout": 300},
        cases={PYTHON: Case(run("print('begun')\ntime.sleep(1000)", "import time"))},
    ),
    Fault(
        name="busy loop that heeds no signal",
        late=True,
        says=RUN_LATE,
        logs=DEVELOPER,
        limits={"timeout": 300},
        cases={
            PYTHON: Case(
                run(
                    "for number in set(signal.Signals) - {9, 19}:\n    signal.signal(number, signal.SIG_IGN)\n"
                    "while True:\n    pass",
                    "import signal",
                )
            )
        },
    ),
)

OUTPUT = (
    Fault(
        name="endless output",
        late=True,
        says=RUN_LATE,
        logs=rf"(?:stdout: x{{99}}\n){{6168}}{TRUNCATED}\n{DEVELOPER}",
        limits={"timeout": 300, "logs": 1},
        cases={PYTHON: Case(run("while True:\n    os.write(1, line)", "import os\nline = (b'x' * 99 + b'\\n') * 40"))},
    ),
    Fault(
        name="100 MB of output",
        status="success",
        result={"ok": 100},
        kept=True,
        logs=rf"(?:stdout: x{{99}}\n){{6168}}{TRUNCATED}",
        limits={"logs": 1},
        cases={
            PYTHON: Case(
                run(
                    "for _ in range(1 << 20):\n    sys.stdout.write(line)\nreturn {'ok': 100}",
                    "import sys\nline = 'x' * 99 + '\\n'",
                )
            )
        },
    ),
    Fault(
        name="output without a newline",
        status="success",
        result={"ok": 2},
        kept=True,
        logs="(?:stdout: x{16384}\n){3}stdout: x{848}\nstderr: end",
        cases={
            PYTHON: Case(run("sys.stdout.write('x' * 50000)\nsys.stderr.write('end')\nreturn {'ok': 2}", "import sys"))
        },
    ),
    Fault(
        name="bytes that are no text",
        status="success",
        result={"ok": 2},
        kept=True,
        logs="stdout: \ufffd\0\ufffd\x1b\\[31m\nstdout: ",
        cases={PYTHON: Case(run(r"os.write(1, b'\xff\x00\xfe\x1b[31m\n\n')" + "\nreturn {'ok': 2}", "import os"))},
    ),
    Fault(
        name="closed stdout",
        status="success",
        result={"ok": 2},
        kept=True,
        logs="stderr: still there",
        cases={
            PYTHON: Case(
                run(
                    "sys.stdout.close()\nos.close(1)\nprint('still there', file=sys.stderr)\nreturn {'ok': 2}",
                    "import os, sys",
                )
            )
        },
    ),
)

RESULTS = (
    Fault(
        name="a forked copy that returns, too",
        status="success",
        result={"ok": 2},
        kept=True,
        cases={
            PYTHON: Case(
                run(
                    "if not os.fork():\n    return {'ok': 'copy'}\ntime.sleep(0.1)\nreturn {'ok': 2}",
                    "import os, time",
                )
            )
        },
    ),
    Fault(
        name="error of its own",
        status="application error",
        says="mine",
        kept=True,
        cases={PYTHON: Case(run("return {'error': 'mine', 'other': 1}"))},
    ),
    Fault(
        name="result too large",
        status="application error",
        says=r"The action produced a response that exceeded the allowed length: 2000008 > 1048576 bytes\. "
        r'The truncated response was: \{"x":"y{1048570}',
        kept=True,
        cases={PYTHON: Case(run("return {'x': 'y' * 2000000}"))},
    ),
    Fault(
        name="result that is no object",
        logs=DEVELOPER,
        cases={PYTHON: Case(run("return 'text'"), r"The action did not return a dictionary or array\.")},
    ),
    Fault(
        name="result that is no JSON",
        cases={
            PYTHON: Case(
                run("return {'x': object()}"),
                "The action returned a value that is not JSON: Object of type object is not JSON serializable",
                rf"{TRACE}stderr: TypeError: Object of .*\n{DEVELOPER}",
            )
        },
    ),
    Fault(
        name="deep JSON",
        cases={
            PYTHON: Case(
                run("deep = []\nfor _ in range(100_000):\n    deep = [deep]\nreturn {'x': deep}"),
                "The action returned a value that is not JSON: maximum recursion depth exceeded.*",
                rf"{TRACE}stderr: RecursionError: .*\n{DEVELOPER}",
            )
        },
    ),
)

SELF = """
import os, time
def answer(*texts):
    links = {fd: "/proc/self/fd/" + fd for fd in os.listdir("/proc/self/fd")}
    sockets = [int(fd) for fd, link in links.items() if os.path.lexists(link) and os.readlink(link)[:6] == "socket"]
    try:
        for text in texts:
            os.write(max(sockets), text)
        while True:
            os.write(max(sockets), texts[-1])
            time.sleep(0.001)
    except OSError:
        return {}
"""
"""To its own connection, which has the highest number; the last text again and again, until nobody reads it."""

SOCKET = (
    Fault(
        name="a second answer",
        status="success",
        result={"own": 1},
        kept=True,
        cases={
            PYTHON: Case(run("return answer(b'HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\n{\"own\":1}')", SELF))
        },
    ),
    Fault(
        name="an answer that is no HTTP",
        says=RUN_DIED,
        logs=DEVELOPER,
        cases={PYTHON: Case(run("return answer(b'hello, who is there?')", SELF))},
    ),
    Fault(
        name="an endless body",
        status="application error",
        says=r"The action produced a response that exceeded the allowed length: \d{8} > 1048576 bytes\. The .*: a+",
        kept=True,
        cases={
            PYTHON: Case(
                run(
                    "return answer(b'HTTP/1.1 200 OK\\r\\nContent-Length: 10000000000\\r\\n\\r\\n', b'a' * 500000)",
                    SELF,
                )
            )
        },
    ),
    Fault(
        name="headers without an end",
        says=RUN_DIED,
        logs=DEVELOPER,
        cases={PYTHON: Case(run("return answer(b'HTTP/1.1 200 OK\\r\\n', b'X-A: b\\r\\n' * 10000)", SELF))},
    ),
    Fault(
        name="a body that never comes to its end",
        late=True,
        says=RUN_LATE,
        logs=DEVELOPER,
        limits={"timeout": 300},
        cases={
            PYTHON: Case(run("return answer(b'HTTP/1.1 200 OK\\r\\nContent-Length: 10000000\\r\\n\\r\\n', b' ')", SELF))
        },
    ),
)

FAULTS = (*CRASHES, *TIMES, *OUTPUT, *RESULTS, *SOCKET)
