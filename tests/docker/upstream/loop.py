"""A stand-in for the proxy of upstream's newer runtimes (Go, PHP, Swift, Ruby, Python): the action is compiled and
started by /init, stays, and is talked to by lines: of its stdin for each run, of its descriptor 3 for each answer.

The proxy writes the sentinels, straight behind what the action has written, before it answers. One run at a time: a
second one would be given the first one's answer, so it ends the container here. What the action prints is its own,
and is not looked at.
"""

import base64
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .answering import NO_CODE, TWICE, Proxy, Reply, handler

HERE, PLACE = Path(__file__).parent, Path("/action")


class Loop(Proxy):
    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None
        self.initialised = False
        self.busy = threading.Lock()

    def init(self, value: dict[str, Any]) -> Reply:
        if self.initialised:
            return Reply(403, {"error": TWICE})
        if not value.get("code"):
            return Reply(403, {"error": NO_CODE})
        self.place(value["code"], value["binary"])
        try:
            compile((PLACE / "exec.py").read_bytes(), "exec.py", "exec")
        except SyntaxError as error:
            return Reply(502, {"error": f"cannot compile: {error}"})
        self.start(value["main"], value["env"])
        self.initialised = True
        return Reply(200, {"ok": True})

    def place(self, code: str, binary: bool) -> None:
        if binary:
            zipfile.ZipFile(io.BytesIO(base64.b64decode(code))).extractall(PLACE)
        else:
            (PLACE / "exec.py").write_text(code)

    def start(self, main: str, env: dict[str, str]) -> None:
        self.answers, theirs = os.pipe()
        command = [sys.executable, "-u", str(HERE / "launcher.py"), main]
        ready = {**os.environ, **env, "UPSTREAM_ANSWERS": str(theirs)}
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=PLACE, env=ready, pass_fds=[theirs])
        os.close(theirs)
        self.lines = open(self.answers, "rb")  # noqa: SIM115 - for good

    def run(self, message: dict[str, Any]) -> Reply:
        if not self.busy.acquire(blocking=False):
            os._exit(9)
        try:
            return self.interact(message)
        finally:
            self.busy.release()

    def interact(self, message: dict[str, Any]) -> Reply:
        if self.child is None:
            return Reply(500, {"error": "no action defined yet"})
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(message).encode() + b"\n")
        self.child.stdin.flush()
        line = self.lines.readline()
        if not line:
            self.child = None
            return Reply(400, {"error": "command exited"})
        answer = json.loads(line)
        if not isinstance(answer, dict | list):
            return Reply(502, {"error": "The action did not return a dictionary or array."}, "before")
        return Reply(200, answer, "before")


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8080), handler(Loop(), "HTTP/1.1")).serve_forever()
