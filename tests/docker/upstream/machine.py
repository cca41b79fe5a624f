"""A stand-in for upstream's Java: seconds pass until it listens, and it has to be told its `main`. What goes for a jar
is Python in base64. Sentinels follow the answer."""

import base64
import os
import time
from http.server import ThreadingHTTPServer
from typing import Any

from .answering import Proxy, Reply, handler

START = 2.5
"""Seconds."""


class Machine(Proxy):
    def init(self, value: dict[str, Any]) -> Reply:
        name, dot, method = value.get("main", "").partition("#")
        if not value["binary"] or name == "main" or not name:
            return Reply(502, {"error": "An error has occurred (see logs for details): no class to load"}, "after")
        inside: dict[str, Any] = {}
        exec(base64.b64decode(value["code"]), inside)
        self.main = getattr(inside[name], method if dot else "main")
        os.environ.update(value["env"])
        return Reply(200, "OK")

    def run(self, message: dict[str, Any]) -> Reply:
        os.environ.update({f"__OW_{key.upper()}": value for key, value in message.items() if key != "value"})
        return Reply(200, self.main(message["value"]), "after")


if __name__ == "__main__":
    time.sleep(START)
    ThreadingHTTPServer(("0.0.0.0", 8080), handler(Machine(), "HTTP/1.1")).serve_forever()
