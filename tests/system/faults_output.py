"""Actions that print too much, too oddly, or to nobody; and those whose result is none."""

from tests.contract.language import NODE
from tests.system.fault import (
    DEVELOPER,
    NATIVE,
    NOT_OBJECT,
    PYTHON,
    RUN_LATE,
    TRUNCATED,
    Case,
    Fault,
    ended,
    node,
    python,
    shell,
)
from tests.system.faults_crashes import TRACE

LINE = "x" * 99
FULL = rf"(?:stdout: x{{99}}\n){{6168}}{TRUNCATED}"
LOST = "with exit code 0"

OUTPUT = (
    Fault(
        name="endless output",
        late=True,
        says=RUN_LATE,
        logs=rf"{FULL}\n{DEVELOPER}",
        limits={"timeout": 300, "logs": 1},
        cases={
            PYTHON: Case(
                python("while True:\n    os.write(1, line)", "import os\nline = (b'x' * 99 + b'\\n') * 40"),
            ),
            NODE: Case(node("while (true) fs.writeSync(1, line)", "const line = ('x'.repeat(99) + '\\n').repeat(40);")),
            NATIVE: Case(shell(f"yes {LINE}")),
        },
    ),
    Fault(
        name="100 MB of output",
        status="success",
        result={"ok": 100},
        kept=True,
        logs=FULL,
        limits={"logs": 1},
        cases={
            PYTHON: Case(
                python(
                    "for _ in range(1 << 20):\n    sys.stdout.write(line)\nreturn {'ok': 100}",
                    "import sys\nline = 'x' * 99 + '\\n'",
                )
            ),
            NODE: Case(
                node(
                    "for (let n = 0; n < 1 << 20; n += 64) process.stdout.write(lines); return {ok: 100}",
                    "const lines = ('x'.repeat(99) + '\\n').repeat(64);",
                )
            ),
            NATIVE: Case(shell(f"yes {LINE} | head -n 1048576; echo '{{\"ok\": 100}}'")),
        },
    ),
    Fault(
        name="output without a newline",
        status="success",
        result={"ok": 2},
        kept=True,
        logs="(?:stdout: x{16384}\n){3}stdout: x{848}\nstderr: end",
        cases={
            PYTHON: Case(
                python("sys.stdout.write('x' * 50000)\nsys.stderr.write('end')\nreturn {'ok': 2}", "import sys")
            ),
            NODE: Case(
                node("process.stdout.write('x'.repeat(50000)); process.stderr.write('end'); return {ok: 2}"),
            ),
            NATIVE: Case(
                shell("printf '%050000d' 0 | tr 0 y >&2; echo '{\"ok\": 2}'"),
                logs="(?:stderr: y{16384}\n){3}stderr: y{848}",
            ),
        },
    ),
    Fault(
        name="bytes that are no text",
        status="success",
        result={"ok": 2},
        kept=True,
        logs="stdout: \ufffd\0\ufffd\x1b\\[31m\nstdout: ",
        cases={
            PYTHON: Case(python(r"os.write(1, b'\xff\x00\xfe\x1b[31m\n\n')" + "\nreturn {'ok': 2}", "import os")),
            NODE: Case(
                node("fs.writeSync(1, Buffer.from([255, 0, 254, 27, 91, 51, 49, 109, 10, 10])); return {ok: 2}"),
            ),
            NATIVE: Case(shell(r"printf '\377\000\376\033[31m\n\n'; echo '{\"ok\": 2}'".replace('\\"', '"'))),
        },
    ),
    Fault(
        name="closed stdout",
        status="success",
        result={"ok": 2},
        kept=True,
        logs="stderr: still there",
        cases={
            PYTHON: Case(
                python(
                    "sys.stdout.close()\nos.close(1)\nprint('still there', file=sys.stderr)\nreturn {'ok': 2}",
                    "import os, sys",
                )
            ),
            NODE: Case(
                node("fs.closeSync(1); console.log('lost'); console.error('still there'); return {ok: 2}"),
            ),
        },
    ),
)

RESULTS = (
    Fault(
        name="error of its own",
        status="application error",
        says="mine",
        kept=True,
        cases={
            PYTHON: Case(python("return {'error': 'mine', 'other': 1}")),
            NODE: Case(node("return {error: 'mine', other: 1}")),
            NATIVE: Case(shell('echo \'{"error": "mine", "other": 1}\'; exit 1')),
        },
    ),
    Fault(
        name="rejected promise",
        status="application error",
        says="mine",
        kept=True,
        cases={NODE: Case(node("return Promise.reject('mine')"))},
    ),
    Fault(
        name="result too large",
        status="application error",
        says=r"The action produced a response that exceeded the allowed length: 2000008 > 1048576 bytes\. "
        r'The truncated response was: \{"x":"y{1048570}',
        kept=True,
        cases={
            PYTHON: Case(python("return {'x': 'y' * 2000000}")),
            NODE: Case(node("return {x: 'y'.repeat(2000000)}")),
            NATIVE: Case(shell("""printf '{"x":"'; head -c 2000000 /dev/zero | tr '\\0' y; printf '"}\\n'""")),
        },
    ),
    Fault(
        name="result that is no object",
        says=NOT_OBJECT,
        logs=DEVELOPER,
        cases={
            PYTHON: Case(python("return 'text'")),
            NODE: Case(node("return 'text'")),
            NATIVE: Case(shell("echo '\"text\"'"), logs=rf'stdout: "text"\n{ended(LOST)}'),
        },
    ),
    Fault(
        name="result that is no JSON",
        cases={
            PYTHON: Case(
                python("return {'x': object()}"),
                "The action returned a value that is not JSON: Object of type object is not JSON serializable",
                rf"{TRACE}stderr: TypeError: Object of .*\n{DEVELOPER}",
            ),
            NODE: Case(
                node("const round = {}; round.x = round; return round"),
                "The action returned a value that is not JSON: TypeError: Converting circular structure to JSON.*",
                rf"(?:stderr: .*\n)+{DEVELOPER}",
            ),
            NATIVE: Case(shell("echo '{\"half\":'"), NOT_OBJECT, rf'stdout: \{{"half":\n{ended(LOST)}'),
        },
    ),
    Fault(
        name="deep JSON",
        cases={
            PYTHON: Case(
                python("deep = []\nfor _ in range(100_000):\n    deep = [deep]\nreturn {'x': deep}"),
                "The action returned a value that is not JSON: maximum recursion depth exceeded.*",
                rf"{TRACE}stderr: RecursionError: .*\n{DEVELOPER}",
            ),
            NODE: Case(
                node("let deep = []; for (let n = 0; n < 100000; n++) deep = [deep]; return {x: deep}"),
                "The action returned a value that is not JSON: RangeError: Maximum call stack size exceeded",
                rf"(?:stderr: .*\n)+{DEVELOPER}",
            ),
            NATIVE: Case(
                shell("yes '[' | head -n 100000 | tr -d '\\n'; yes ']' | head -n 100000 | tr -d '\\n'; echo"),
                NOT_OBJECT,
                rf"(?:stdout: [\[\]]+\n)+{ended(LOST)}",
            ),
        },
    ),
)
