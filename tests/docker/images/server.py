"""An action's server of odd ways: how it starts its argument says, how it takes /init the code that comes with it, and
how it takes /run the parameter `way`.

Foreign in all: no sentinels, HTTP by hand.
"""

import io
import json
import os
import socket
import sys
import threading
import time
from typing import Any

BIG = 10 << 20


class Server:
    def __init__(self, port: int) -> None:
        self.runs = 0
        self.ready = False
        self.listener = socket.create_server(("0.0.0.0", port), backlog=128)

    def serve(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.converse, args=(connection,), daemon=True).start()

    def converse(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as asked:
            while True:
                path, body = request(asked)
                if path == "" or not self.answer(connection, path, body):
                    return

    def answer(self, connection: socket.socket, path: str, body: Any) -> bool:
        """Whether the connection goes on."""
        value = body["value"]
        if path == "/init":
            if self.ready:
                return say(connection, {"error": "Cannot initialize the action more than once."}, "403 Forbidden")
            self.ready = True
            return bool(getattr(self, value.get("code", "initialised"))(connection))
        self.runs += 1
        return bool(getattr(self, value.get("way", "fine"))(connection, value))

    def initialised(self, connection: socket.socket) -> bool:
        return say(connection, {"ok": True})

    def init_dies(self, connection: socket.socket) -> bool:
        print("dies in init", flush=True)
        os._exit(4)

    def init_fails(self, connection: socket.socket) -> bool:
        return say(connection, {"error": "will not"}, "502 Bad Gateway")

    def init_odd(self, connection: socket.socket) -> bool:
        return say(connection, [1, 2], "500 Internal Server Error")

    def init_never(self, connection: socket.socket) -> bool:
        time.sleep(1000)
        return False

    def fine(self, connection: socket.socket, value: Any) -> bool:
        print("fine", self.runs, flush=True)
        return say(connection, {"runs": self.runs})

    def chunked(self, connection: socket.socket, value: Any) -> bool:
        data = json.dumps({"chunked": "☃" * 1000}).encode()
        head(connection, "Transfer-Encoding: chunked")
        for at in range(0, len(data), 700):
            piece = data[at : at + 700]
            connection.sendall(b"%x;odd=1\r\n%b\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\nTrailer: odd\r\n\r\n")
        return True

    def half_chunked(self, connection: socket.socket, value: Any) -> bool:
        head(connection, "Transfer-Encoding: chunked")
        connection.sendall(b'20\r\n{"a": ')
        return False

    def until_close(self, connection: socket.socket, value: Any) -> bool:
        head(connection, "Connection: close")
        connection.sendall(b'{"until": "close"}')
        return False

    def trickle(self, connection: socket.socket, value: Any) -> bool:
        data = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"slow": true}'
        for at in range(len(data)):
            connection.sendall(data[at : at + 1])
            time.sleep(0.003)
        return True

    def big(self, connection: socket.socket, value: Any) -> bool:
        return say(connection, {"x": "x" * BIG})

    def big_chunked(self, connection: socket.socket, value: Any) -> bool:
        head(connection, "Transfer-Encoding: chunked")
        connection.sendall(b'6\r\n{"x":"\r\n')
        for _ in range(BIG >> 16):
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        connection.sendall(b'2\r\n"}\r\n0\r\n\r\n')
        return True

    def garbage(self, connection: socket.socket, value: Any) -> bool:
        connection.sendall(bytes(range(256)) * 20)
        return False

    def page(self, connection: socket.socket, value: Any) -> bool:
        data = b"<html>no JSON</html>"
        head(connection, "Content-Type: text/html", f"Content-Length: {len(data)}")
        connection.sendall(data)
        return True

    def nothing(self, connection: socket.socket, value: Any) -> bool:
        print("says nothing", flush=True)
        return False

    def empty(self, connection: socket.socket, value: Any) -> bool:
        head(connection, "Content-Length: 0")
        return True

    def never(self, connection: socket.socket, value: Any) -> bool:
        time.sleep(1000)
        return False

    def half(self, connection: socket.socket, value: Any) -> bool:
        head(connection, "Content-Length: 100")
        connection.sendall(b'{"half": ')
        return False

    def more(self, connection: socket.socket, value: Any) -> bool:
        head(connection, "Content-Length: 9")
        connection.sendall(b'{"ok": 1}HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"no":1}')
        return True

    def headers(self, connection: socket.socket, value: Any) -> bool:
        head(connection, *(f"X-{n}: {'x' * 1000}" for n in range(300)), "Content-Length: 9")
        connection.sendall(b'{"ok": 1}')
        return True

    def busy_after_one(self, connection: socket.socket, value: Any) -> bool:
        if self.runs == 1:
            return self.fine(connection, value)
        return say(connection, {"error": "busy"}, "503 Service Unavailable")

    def closer(self, connection: socket.socket, value: Any) -> bool:
        say(connection, {"closes": True})
        return False

    def dies(self, connection: socket.socket, value: Any) -> bool:
        print("last words", flush=True)
        os._exit(3)

    def fails(self, connection: socket.socket, value: Any) -> bool:
        return say(connection, {"error": {"code": 7}, "more": 1}, "502 Bad Gateway")

    def flood(self, connection: socket.socket, value: Any) -> bool:
        line = b"x" * 1023 + b"\n"
        piece = line * 1024
        for _ in range(value.get("mb", 1)):
            sys.stdout.buffer.write(piece)
        print("the end", flush=True)
        return say(connection, {"printed": value.get("mb", 1)})

    def who(self, connection: socket.socket, value: Any) -> bool:
        print("who", flush=True)
        return say(connection, {"uid": os.getuid(), "shell": os.path.exists("/bin/sh")})


def request(asked: io.BufferedReader) -> tuple[str, Any]:
    line = asked.readline()
    if not line:
        return "", None
    length = 0
    while (field := asked.readline().strip()) != b"":
        name, _, text = field.partition(b":")
        if name.lower() == b"content-length":
            length = int(text)
    return line.split()[1].decode(), json.loads(asked.read(length) or b"{}")


def head(connection: socket.socket, *fields: str) -> None:
    connection.sendall("\r\n".join(["HTTP/1.1 200 OK", *fields, "", ""]).encode())


def say(connection: socket.socket, value: Any, status: str = "200 OK") -> bool:
    data = json.dumps(value).encode()
    connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
    return True


if __name__ == "__main__":
    way, _, wait = (sys.argv[1] if len(sys.argv) > 1 else "fine").partition(":")
    time.sleep(float(wait or 0))
    if way == "exits":
        sys.exit("no more")
    Server(9999 if way == "elsewhere" else 8080).serve()
