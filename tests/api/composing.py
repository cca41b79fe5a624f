"""Sequences and conductors called in the API's own process."""

import asyncio
from typing import Any

import msgspec

from tests.api.client import Api
from upcall.core.params import merge
from upcall.model.activation import Response
from upcall.model.messages import ActivationMessage


def answers(api: Api, **results: Any) -> list[tuple[str, Any]]:
    """From now on actions answer by their names: an object, text of JSON, status and object, or a function of the
    arguments. Gives what they are called with."""
    given: list[tuple[str, Any]] = []

    def answer(message: ActivationMessage) -> Response:
        assert isinstance(message.content, msgspec.Raw)
        arguments = msgspec.json.decode(message.content)
        given.append((message.action.id, arguments))
        result, status = results[message.action.name], 0
        if callable(result):
            result = result(arguments)
        if isinstance(result, tuple):
            status, result = result
        raw = result if isinstance(result, bytes) else msgspec.json.encode(result)
        if status == 0 and isinstance(result, dict) and "error" in result:
            status = 1
        return Response(status, msgspec.Raw(raw))

    api.invoker.messages.clear()
    api.invoker.answer = answer
    return given


async def invoke(
    api: Api, action: str, payload: Any = None, user: str = "guest", path: str = "", name: str = ""
) -> Any:
    """The record of a call that is waited for, as REST shows it."""
    identity = await api.identity(user)
    plan = await api.parts.resolver.plan(identity, path or user, name or action)
    arguments = merge(plan.defaults, b"" if payload is None else msgspec.json.encode(payload))
    id, activation = await api.parts.starter.call(identity, plan, arguments, "tid", 60)
    assert activation is not None
    return await record(api, id, user)


async def record(api: Api, id: str, user: str = "guest") -> Any:
    while True:
        reply = await api("GET", f"_/activations/{id}", user=user)
        if reply.status == 200:
            return reply.json
        await asyncio.sleep(0)


def annotations(shown: Any) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in shown["annotations"]}
