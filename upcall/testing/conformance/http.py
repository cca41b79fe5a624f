"""The Invoker's HTTP as an operator sees it (spec: invoker.md §8)."""

import http.client
import re
from base64 import b64encode
from collections import Counter
from typing import NamedTuple
from urllib.parse import urlsplit

from upcall.testing.conformance.check import Failed, NotInReach
from upcall.testing.conformance.world import World


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    text: str


def ask(world: World, method: str, path: str, credentials: str | None = None, **headers: str) -> Answer:
    """One request; `credentials` is `name:password`. Raises Failed where nobody answers."""
    if not world.target.url:
        raise NotInReach("its HTTP is not known: --url URL")
    parts = urlsplit(world.target.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=world.target.patience)
    if credentials is not None:
        headers["Authorization"] = "Basic " + b64encode(credentials.encode()).decode()
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read().decode())
    except OSError as error:
        raise Failed(f"{world.target.url} does not answer: {error}") from error
    finally:
        connection.close()


def operate(world: World, method: str, path: str) -> Answer:
    """With the operator's credentials."""
    return ask(world, method, path, f"{world.target.username}:{world.target.password}")


_LABEL = re.compile(r'(\w+)="([^"]*)"')


def starts(world: World, action: str) -> dict[str, int]:
    """How activations of an action of this world got their container, counted (spec: metrics.md)."""
    found: Counter[str] = Counter()
    for line in ask(world, "GET", "/metrics").text.splitlines():
        if line.startswith("counter_invoker_containerStart_counter_total{"):
            labels = dict(_LABEL.findall(line))
            if (labels.get("action"), labels.get("initiator")) == (action, world.namespace):
                found[labels.get("containerState", "")] += int(float(line.rpartition(" ")[2]))
    return dict(found)
