"""Entities that tests write over REST, and how refusals are told."""

from typing import Any

from tests.api.client import Api, Reply

CODE = {"kind": "python:3.11", "code": "def main(a): return a"}


def pairs(**values: Any) -> list[dict[str, Any]]:
    """Parameters or annotations."""
    return [{"key": key, "value": value} for key, value in values.items()]


async def put(api: Api, path: str, user: str = "guest", update: bool = False, **body: Any) -> Any:
    """The document; an action has code unless the body says otherwise."""
    if "actions" in path and not update:
        body = {"exec": CODE, **body}
    reply = await api("PUT", f"_/{path}?overwrite={str(update).lower()}", body, user=user)
    assert reply.status == 200, reply.body
    return reply.json


def told(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.error
