"""A stand-in for upstream's older proxies (Python 2, `dockerskeleton`): HTTP/1.0, one connection at a time, closed
after its answer. Text is run by this very process, or is a native executable, as are bytes and /action/exec of the
image; an executable's last line is its answer, and all before it is log.

/init answers with a word that is no JSON; sentinels follow each answer but that one.
"""

import base64
import io
import json
import os
import subprocess
import sys
import traceback
import zipfile
from collections.abc import Callable
from http.server import HTTPServer
from pathlib import Path
from typing import Any

from .answering import Proxy, Reply, handler

EXEC = Path("/action/exec")
NOT_FOUND = "The action failed to generate or locate a binary. See logs for details."


class Python(Proxy):
    def __init__(self) -> None:
        self.main: Callable[[Any], Any] | None = None

    def init(self, value: dict[str, Any]) -> Reply:
        inside: dict[str, Any] = {}
        try:
            exec(value.get("code", ""), inside)
            self.main = inside[value["main"]]
        except Exception:  # noqa: BLE001 - whatever the action raises
            traceback.print_exc()
            sys.stderr.flush()
            return Reply(502, {"error": NOT_FOUND}, "before")
        os.environ.update(value["env"])
        return Reply(200, "OK")

    def run(self, message: dict[str, Any]) -> Reply:
        os.environ.update({f"__OW_{key.upper()}": value for key, value in message.items() if key != "value"})
        assert self.main is not None
        try:
            answer = self.main(message["value"])
        except Exception:  # noqa: BLE001 - whatever the action raises
            traceback.print_exc()
            answer = {"error": "An exception was thrown."}
        sys.stdout.flush()
        sys.stderr.flush()
        return Reply(200, answer, "before")


class Native(Proxy):
    def __init__(self) -> None:
        self.env: dict[str, str] = {}

    def init(self, value: dict[str, Any]) -> Reply:
        code = value.get("code")
        if code is not None and value["binary"] and base64.b64decode(code)[:2] == b"PK":
            zipfile.ZipFile(io.BytesIO(base64.b64decode(code))).extractall(EXEC.parent)
        elif code is not None:
            EXEC.write_bytes(base64.b64decode(code) if value["binary"] else code.encode())
        self.env = value["env"]
        if not EXEC.exists():
            return Reply(502, {"error": NOT_FOUND}, "before")
        EXEC.chmod(0o755)
        return Reply(200, "OK")

    def run(self, message: dict[str, Any]) -> Reply:
        told = {f"__OW_{key.upper()}": value for key, value in message.items() if key != "value"}
        done = subprocess.run(
            [str(EXEC), json.dumps(message["value"])],
            check=False,
            stdout=subprocess.PIPE,
            env={**os.environ, **self.env, **told},
            cwd=EXEC.parent,
        )
        *lines, last = done.stdout.decode().splitlines() or [""]
        os.write(1, "".join(f"{line}\n" for line in lines).encode())
        try:
            return Reply(200, json.loads(last), "after")
        except ValueError:
            os.write(1, f"{last}\n".encode())
            return Reply(502, {"error": "The action did not return a dictionary or array."}, "after")


if __name__ == "__main__":
    proxy = {"python": Python, "native": Native}[sys.argv[1]]()
    HTTPServer(("0.0.0.0", 8080), handler(proxy, "HTTP/1.0")).serve_forever()
