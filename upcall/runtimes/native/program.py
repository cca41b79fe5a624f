"""A native executable as an action: upstream's skeleton contract (spec: container.md §2, §8).

/init writes `exec` into the code's folder: a script with its `#!` line as it is, or from base64 a zip that holds `exec`
or the one file itself. An image may bring an `exec` of its own, which is what runs where /init brings none. Each /run
starts it anew, there, with the arguments as JSON in its first argument and on its standard input, and with `__OW_…` in
its environment. An argument may have 128 KiB (the kernel's bound); what is longer comes on standard input alone. The
last line on stdout is the result; what comes before it is the log, passed on as it comes, as is all of stderr. The exit
code says nothing, for upstream's does not either.

What the program leaves running is not waited for: when it has ended, what is in the pipe is read and answered. When
it was killed and gave no result, the runtime ends too: want of memory shows like that, and the platform, which knows
whether it was that, says so where a container dies without an answer.
"""

import json
import os
import re
import signal
import subprocess
from typing import Any

from ..python.archive import decoded, unpack
from ..python.protocol import TWICE, UNINITIALISED, Refused, check_code, context, set_environment
from .tail import LONGEST, log, read_to_end

NOT_OBJECT = "The action did not return a dictionary or array."
_NO_PROGRAM = "The action's code is no program: it is neither a script that begins with `#!` nor an executable (ELF)"
_MAX_ARGUMENT = 128 << 10
"""Bytes, the zero at its end included (MAX_ARG_STRLEN)."""
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""What waiting for it says, and what a shell that waited makes of it."""
_ELF, _SCRIPT = b"\x7fELF", b"#!"
_INTERPRETER = re.compile(rb"#![ \t]*([^ \t\n]*)")


class Program:
    """Nothing, then `exec` in the folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._path = os.path.join(folder, "exec")
        self._ready = False

    def init(self, body: dict[str, Any]) -> None:
        """Write the program; raises Refused."""
        if self._ready:
            raise Refused(403, TWICE)
        value = body.get("value") or {}
        code = value.pop("code", None)
        if not os.access(self._path, os.X_OK):
            check_code(code)
        set_environment(value.get("env") or {})
        try:
            os.makedirs(self._folder, exist_ok=True)
            if code and not code.isspace():
                self._write(decoded(code) if value.get("binary") else code.encode("utf-8", "surrogatepass"))
                os.chmod(self._path, 0o755)  # noqa: S103
            os.chdir(self._folder)
        except OSError as error:
            raise Refused(502, f"The action's code cannot be written: {error}") from error
        self._check()
        self._ready = True

    def run(self, body: dict[str, Any]) -> bytes:
        """Run the program; its last line. Raises Refused, and SystemExit when it was killed."""
        if not self._ready:
            raise Refused(403, UNINITIALISED)
        set_environment(context(body))
        with self._start(json.dumps(body.get("value", {}))) as process:
            assert process.stdout is not None
            tail = read_to_end(process.stdout.fileno(), process.pid)
        if tail.cut:
            text = f"The action's last line is longer than {LONGEST} bytes."
        elif _is_result(tail.held):
            return bytes(tail.held.strip())
        else:
            text = NOT_OBJECT
        tail.release()
        log(f"The program ended {_how(process.returncode)} and its last line is no JSON object or array.\n".encode(), 2)
        if process.returncode in _KILLED:
            raise SystemExit(1)
        raise Refused(502, text)

    def _write(self, code: bytes) -> None:
        if code.startswith((_ELF, _SCRIPT)):
            with open(self._path, "wb") as file:
                file.write(code)
            return
        if not code.startswith(b"PK"):
            raise Refused(502, f"{_NO_PROGRAM}, nor a zip file with one.")
        unpack(code, self._folder)
        if not os.path.isfile(self._path):
            raise Refused(502, "Zip file does not include exec.")

    def _check(self) -> None:
        with open(self._path, "rb") as file:
            head = file.read(256)
        script = _INTERPRETER.match(head)
        if script is None and not head.startswith(_ELF):
            raise Refused(502, f"{_NO_PROGRAM}.")
        if script is not None and not os.access(script[1], os.X_OK):
            name = ascii(script[1].decode("utf-8", "replace"))
            hint = " Its lines end in CR LF: write it with LF." if script[1].endswith(b"\r") else ""
            raise Refused(502, f"The action's program asks for the interpreter {name}, which there is not here.{hint}")

    def _start(self, arguments: str) -> subprocess.Popen[bytes]:
        command = [self._path, arguments] if len(arguments) < _MAX_ARGUMENT else [self._path]
        try:
            with open(os.memfd_create("arguments"), "w+b") as file:
                file.write(arguments.encode())
                file.seek(0)
                return subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE)
        except OSError as error:
            raise Refused(502, f"The action's program cannot be started: {error.strerror}.") from error


def _is_result(line: bytearray) -> bool:
    try:
        return isinstance(json.loads(line.decode()), dict | list)
    except (ValueError, RecursionError):
        return False


def _how(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    return f"by signal {-code} ({signal.strsignal(-code)})"
