"""Actions that throw, exit, die and take too long."""

from tests.contract.language import NODE
from tests.system.fault import (
    DEVELOPER,
    INIT_DIED,
    INIT_LATE,
    NATIVE,
    NOT_OBJECT,
    PYTHON,
    RUN_DIED,
    RUN_LATE,
    Case,
    Fault,
    ended,
    node,
    python,
    shell,
)

INIT_ERROR = r"The action failed to generate or locate a binary\. See logs for details\."
RAISED = r"An error has occurred while invoking the action \(see logs for details\): "
TRACE = r"stderr: Traceback \(most recent call last\):\n(?:stderr:   .*\n)+"
STACK = r"stderr: Error: no\n(?:stderr:     at .*\n)+"

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
            NODE: Case(
                "console.log('begun');\nthrow new Error('no');\n",
                r"Initialization has failed due to: Error: no\n    at .*",
                rf"stdout: begun\n{STACK}{DEVELOPER}",
            ),
        },
    ),
    Fault(
        name="exception",
        cases={
            PYTHON: Case(
                python("print('begun')\nraise ValueError('no')"),
                f"{RAISED}ValueError: no",
                rf"stdout: begun\n{TRACE}stderr: ValueError: no\n{DEVELOPER}",
            ),
            NODE: Case(
                node("console.log('begun'); throw new Error('no')"),
                "An error has occurred: Error: no",
                rf"stdout: begun\n{STACK}{DEVELOPER}",
            ),
        },
    ),
    Fault(
        name="exception that nobody catches",
        says=RUN_DIED,
        logs=rf"{STACK}{DEVELOPER}",
        cases={
            NODE: Case(node("setTimeout(() => { throw new Error('no') }, 1); return new Promise(() => {})")),
        },
    ),
    Fault(
        name="exit in init",
        in_init=True,
        says=INIT_DIED,
        logs=f"stdout: last words\n{DEVELOPER}",
        cases={
            PYTHON: Case("import sys\nprint('last words')\nsys.exit(3)\n"),
            NODE: Case("console.log('last words');\nprocess.exit(3);\n"),
        },
    ),
    Fault(
        name="exit",
        says=RUN_DIED,
        logs=f"stdout: last words\n{DEVELOPER}",
        cases={
            PYTHON: Case(python("print('last words')\nsys.exit(0)", "import sys")),
            NODE: Case(node("console.log('last words'); process.exit(0)")),
            NATIVE: Case(
                shell("echo last words; exit 3"), NOT_OBJECT, rf"stdout: last words\n{ended('with exit code 3')}"
            ),
        },
    ),
    Fault(
        name="exit that flushes nothing",
        says=RUN_DIED,
        logs=f"stdout: unended\n{DEVELOPER}",
        cases={
            PYTHON: Case(python("os.write(1, b'unended')\nos._exit(0)", "import os")),
            NODE: Case(node("fs.writeSync(1, 'unended'); process.reallyExit(0)")),
        },
    ),
    Fault(
        name="killed by itself",
        says=RUN_DIED,
        logs=DEVELOPER,
        cases={
            PYTHON: Case(python("os.kill(os.getpid(), 9)", "import os")),
            NODE: Case(node("process.kill(process.pid, 'SIGKILL'); while (true);")),
            NATIVE: Case(shell("kill -9 $$"), logs=ended(r"by signal 9 \(Killed\)")),
        },
    ),
    Fault(
        name="segmentation fault",
        says=RUN_DIED,
        logs=f"stderr: last words\n{DEVELOPER}",
        cases={
            PYTHON: Case(python("print('last words', file=sys.stderr)\nctypes.string_at(0)", "import ctypes, sys")),
            NODE: Case(node("console.error('last words'); process.kill(process.pid, 'SIGSEGV'); while (true);")),
            NATIVE: Case(
                shell("echo last words >&2; kill -SEGV $$"),
                NOT_OBJECT,
                rf"stderr: last words\n{ended(r'by signal 11 [(]Segmentation fault[)]')}",
            ),
        },
    ),
    Fault(
        name="every descriptor closed",
        says=RUN_DIED,
        logs=DEVELOPER,
        cases={PYTHON: Case(python("os.closerange(0, 1024)\nreturn {}", "import os"))},
    ),
    Fault(
        name="a forked copy that returns, too",
        status="success",
        result={"ok": 2},
        kept=True,
        cases={
            PYTHON: Case(
                python(
                    "if not os.fork():\n    return {'ok': 'copy'}\ntime.sleep(0.1)\nreturn {'ok': 2}",
                    "import os, time",
                )
            )
        },
    ),
)

IGNORE = (
    "for number in set(signal.Signals) - {9, 19}:\n    signal.signal(number, signal.SIG_IGN)\nwhile True:\n    pass"
)

TIMES = (
    Fault(
        name="hang in init",
        in_init=True,
        late=True,
        says=INIT_LATE,
        logs=f"stdout: begun\n{DEVELOPER}",
        limits={"timeout": 300},
        cases={
            PYTHON: Case("import time\nprint('begun')\ntime.sleep(1000)\n"),
            NODE: Case("console.log('begun');\nwhile (true);\n"),
        },
    ),
    Fault(
        name="hang",
        late=True,
        says=RUN_LATE,
        logs=f"stdout: begun\n{DEVELOPER}",
        limits={"timeout": 300},
        cases={
            PYTHON: Case(python("print('begun')\ntime.sleep(1000)", "import time")),
            NODE: Case(node("console.log('begun'); return new Promise(() => {})")),
            NATIVE: Case(shell("echo begun; sleep 1000; echo '{}'")),
        },
    ),
    Fault(
        name="busy loop that heeds no signal",
        late=True,
        says=RUN_LATE,
        logs=DEVELOPER,
        limits={"timeout": 300},
        cases={
            PYTHON: Case(python(IGNORE, "import signal")),
            NODE: Case(node("process.on('SIGTERM', () => {}); while (true);")),
            NATIVE: Case(shell("trap '' HUP INT QUIT TERM USR1 USR2; while :; do :; done")),
        },
    ),
)
