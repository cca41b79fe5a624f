"""One activation as its controller sees it: what was sent, the acks that came, the record in the store."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from upcall.testing.conformance.check import Failed

Json = Any
SHAPES = {(False, True): "result", (True, False): "completion", (True, True): "combined"}
"""By what the ack has: `instance`, `response`."""


class Ack(NamedTuple):
    """`shape` is `result`, `completion` or `combined`, with `-id` where an id stands for the record."""

    offset: int
    shape: str
    body: dict[str, Json]
    id: str


def read_ack(offset: int, value: bytes) -> Ack:
    """Raises Failed for what is none of the three."""
    try:
        body = json.loads(value)
        shape = SHAPES["instance" in body, "response" in body]
    except (ValueError, KeyError, TypeError) as error:
        raise Failed(f"no ack: {value[:200]!r}") from error
    response = body.get("response")
    if isinstance(response, str):
        return Ack(offset, f"{shape}-id", body, response)
    return Ack(
        offset, shape, body, body.get("activationId", "") if response is None else response.get("activationId", "")
    )


class Activation:
    """Sent; `ended`, `told` and `kept` wait for what follows. Raise Failed where it does not come."""

    def __init__(
        self,
        message: dict[str, Json],
        acks: Callable[[str], list[Ack]],
        record: Callable[[str, str], dict[str, Json] | None],
        wait: Callable[[str, Callable[[], bool]], None],
    ) -> None:
        self.message = message
        self.id = str(message["activationId"])
        self._acks = acks
        self._record = record
        self._wait = wait

    @property
    def acks(self) -> list[Ack]:
        """Those that have come, in their order."""
        return self._acks(self.id)

    @property
    def shapes(self) -> list[str]:
        return [ack.shape for ack in self.acks]

    @property
    def over(self) -> bool:
        """Whether the ack that frees the slot has come."""
        return any(not shape.startswith("result") for shape in self.shapes)

    def ended(self) -> "Activation":
        """Wait for the ack that frees the slot."""
        self._wait(f"the last ack of {self._named}", lambda: self.over)
        return self

    def told(self) -> dict[str, Json]:
        """Wait for the ack with the result; gives its record."""
        self._wait(f"the result of {self._named}", lambda: any("response" in ack.body for ack in self.acks))
        found: dict[str, Json] | str = next(ack.body["response"] for ack in self.acks if "response" in ack.body)
        if isinstance(found, str):
            return self.kept()
        return found

    def kept(self) -> dict[str, Json]:
        """Wait for the record in the store."""
        namespace = self.message["user"]["namespace"]["name"]
        found: list[dict[str, Json]] = []

        def look() -> bool:
            record = self._record(namespace, self.id)
            found.extend([record] if record else [])
            return record is not None

        self._wait(f"the record of {self._named}", look)
        return found[0]

    @property
    def recorded(self) -> bool:
        """Whether there is a record now."""
        return self._record(self.message["user"]["namespace"]["name"], self.id) is not None

    @property
    def _named(self) -> str:
        action = self.message["action"]
        return f"{self.id} ({action if isinstance(action, str) else action['name']})"


def annotations(record: dict[str, Json]) -> dict[str, Json]:
    return {entry["key"]: entry["value"] for entry in record["annotations"]}


def outcome(record: dict[str, Json]) -> tuple[int, Json]:
    """Status code and result."""
    return record["response"]["statusCode"], record["response"].get("result")


def refusal(status: int, words: str) -> tuple[int, Json]:
    """The outcome of an activation that ended with a text of the platform's."""
    return status, {"error": words}
