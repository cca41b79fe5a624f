"""What the stand-ins for upstream's proxies have in common: POST /init and /run with JSON, and the sentinels.

They run in images of Debian's Python, by themselves: nothing of the project is in there.
"""

import json
import os
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple, Protocol

SENTINEL = b"XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n"
TWICE = "Cannot initialize the action more than once."
NO_CODE = "Missing main/no code to execute."


class Reply(NamedTuple):
    """`sentinels` come before the answer or after it, or not at all."""

    status: int
    body: Any
    sentinels: str = ""


class Proxy(Protocol):
    """One action."""

    def init(self, value: dict[str, Any]) -> Reply: ...

    def run(self, message: dict[str, Any]) -> Reply: ...


def handler(proxy: Proxy, version: str) -> type[BaseHTTPRequestHandler]:
    """For a server of this HTTP version; it refuses what upstream's Invoker does not send."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = version

        def do_POST(self) -> None:
            length = self.headers["Content-Length"]
            typed = self.headers["Content-Type"] == "application/json"
            host, _, port = str(self.headers["Host"]).partition(":")
            if not (length and typed and port == "8080" and host.count(".") == 3):
                self.send_error(400, f"not as upstream's: {dict(self.headers)}")
                return
            message = json.loads(self.rfile.read(int(length)))
            self.reply(proxy.init(message["value"]) if self.path == "/init" else proxy.run(message))

        def reply(self, reply: Reply) -> None:
            if reply.sentinels == "before":
                end()
            data = reply.body.encode() if isinstance(reply.body, str) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()
            if reply.sentinels == "after":
                end()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def end() -> None:
    os.write(1, SENTINEL)
    os.write(2, SENTINEL)
