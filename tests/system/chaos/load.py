"""Clients that call actions of all sorts in all ways, as fast as a pause between calls lets them."""

import http.client
import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol

from tests.system.chaos.actions import KINDS, Kind
from tests.system.chaos.ledger import Call, Ledger, Mode
from tests.system.serving import Answer

CLIENTS = 8
PAUSE = 0.02
PATIENCE = 75.0
MODES: tuple[Mode, ...] = ("blocking", "non-blocking", "impatient", "hasty")
_QUERIES = {"blocking": "?blocking=true", "impatient": "?blocking=true&timeout=100", "hasty": "?blocking=true"}


class Door(Protocol):
    """Where an API is."""

    auth: str
    port: int

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """One request to `/api/v1/namespaces/_/<path>`."""


class Client:
    """One thread. `door` gives the one that is there now, which changes."""

    def __init__(
        self,
        number: int,
        seed: int,
        ledger: Ledger,
        door: Callable[[], Door],
        counter: list[str | int] | None,
        kinds: Sequence[Kind],
    ) -> None:
        self._number = number
        self._random = Random(f"{seed}/{number}")
        self._ledger = ledger
        self._door = door
        self._counter = counter
        self._kinds = kinds
        self._count = 0
        self._connection: http.client.HTTPConnection | None = None
        self._port = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        while not self.ended.is_set():
            kind = self._random.choices(self._kinds, [each.weight for each in self._kinds])[0]
            mode = self._random.choices(MODES, (6, 4, 2, 1))[0]
            seconds = round(self._random.choice((0.05, 0.3, 1.5)), 2)
            if self._call(kind, mode, {"seconds": seconds, "counter": self._counter}):
                self.ended.wait(PAUSE * self._random.uniform(0.5, 1.5))
            else:
                self.ended.wait(0.1)
        self._close()

    def _call(self, kind: Kind, mode: Mode, arguments: dict[str, Any]) -> bool:
        """Whether the request was sent, and not turned away at once."""
        connection = self._connected()
        if connection is None:
            return False
        self._count += 1
        call = Call(f"{self._number}-{self._count}", kind.name, mode, self._ledger.now())
        body = json.dumps({"token": call.token, **arguments})
        self._ledger.calls.append(call)
        try:
            path = f"/api/v1/namespaces/_/actions/{kind.name}{_QUERIES.get(mode, '')}"
            connection.request("POST", path, body, self._headers)
            if mode == "hasty":
                self.ended.wait(self._random.uniform(0, 0.05))
                call.why = "went away"
                self._close()
            else:
                _read(connection.getresponse(), call)
        except (OSError, http.client.HTTPException) as error:
            call.why = repr(error)
            self._close()
        call.answered = self._ledger.now()
        return call.status != 503

    def _connected(self) -> http.client.HTTPConnection | None:
        door = self._door()
        if self._connection is None or self._port != door.port:
            self._close()
            self._headers = {
                "Authorization": "Basic " + b64encode(door.auth.encode()).decode(),
                "Content-Type": "application/json",
            }
            self._port = door.port
            connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=PATIENCE)
            try:
                connection.connect()
            except OSError:
                connection.close()
                return None
            self._connection = connection
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _read(response: http.client.HTTPResponse, call: Call) -> None:
    call.id = response.getheader("x-openwhisk-activation-id") or ""  # known even where the rest never comes
    text = response.read()
    call.status = response.status
    try:
        call.body = json.loads(text)
        call.id = call.body.get("activationId", call.id)
    except (ValueError, AttributeError):
        call.why = f"no JSON object: {text[:200]!r}"
    if response.status == 503:
        call.why = f"Retry-After {response.getheader('retry-after')}: {call.body}"


class Load:
    """`start` them all, `stop` them all: each ends after its call. Clients take the doors in turn."""

    def __init__(
        self,
        seed: int,
        ledger: Ledger,
        doors: Sequence[Callable[[], Door]],
        counter: list[str | int] | None,
        kinds: Sequence[Kind] = KINDS,
    ) -> None:
        self._clients = [
            Client(number, seed, ledger, doors[number % len(doors)], counter, kinds) for number in range(CLIENTS)
        ]

    def start(self) -> None:
        for client in self._clients:
            client.thread.start()

    def stop(self) -> bool:
        """Whether they all have ended."""
        for client in self._clients:
            client.ended.set()
        deadline = time.monotonic() + PATIENCE + 5
        for client in self._clients:
            client.thread.join(max(0.0, deadline - time.monotonic()))
        return not any(client.thread.is_alive() for client in self._clients)


def make_actions(door: Door, kinds: Sequence[Kind] = KINDS) -> None:
    for kind in kinds:
        answer = door.call("PUT", f"actions/{kind.name}", kind.document())
        assert answer.status == 200, answer
