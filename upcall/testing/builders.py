"""Builders: each makes a valid thing with as little as a test has to say about it."""

import asyncio
from collections.abc import Callable
from itertools import count

import msgspec
from msgspec import UNSET, Raw, UnsetType

from upcall.model.activation import Activation
from upcall.model.documents import KeyValue
from upcall.model.entities import Action, ActionLimits, Exec, Identity, NamespaceId, UserLimits
from upcall.model.messages import (
    ActivationMessage,
    CombinedMessage,
    CompletionMessage,
    Message,
    ResultMessage,
    completed_topic,
)
from upcall.model.names import ControllerId, FullyQualifiedName, InvokerId, Json
from upcall.model.runtimes import Manifest, parse_manifest
from upcall.ports import Bus, Feed

MANIFEST: Manifest = parse_manifest(
    b'{"runtimes":{"python":[{"kind":"python:3","image":{"name":"action-python"}}],'
    b'"nodejs":[{"kind":"nodejs:20","image":{"prefix":"openwhisk","name":"action-nodejs","tag":"nightly"}}]}}'
)
_ids = count(1)


def an_action(
    name: str = "hello",
    *,
    namespace: str = "guest",
    kind: str = "python:3",
    code: str = "def main(args): return args",
    limits: ActionLimits | None = None,
    annotations: dict[str, Json] | None = None,
    version: str = "0.0.1",
) -> Action:
    """An action of one megabyte of logs; `provide-api-key` is false as in new actions."""
    return Action(
        namespace=namespace,
        name=name,
        exec=Exec(kind=kind, code=code),
        limits=limits or ActionLimits(timeout=60_000, memory=256, logs=1),
        annotations=[KeyValue(k, v) for k, v in ({"provide-api-key": False} | (annotations or {})).items()],
        version=version,
    )


def an_identity(namespace: str = "guest", limits: UserLimits | None = None) -> Identity:
    """A subject called as its namespace, with all rights."""
    key = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:" + "k" * 64
    return Identity(namespace, NamespaceId(namespace, key[:36]), {"api_key": key}, ["ACTIVATE"], limits or UserLimits())


def a_message(
    action: Action | None = None,
    revision: str | None = None,
    *,
    content: Json = None,
    blocking: bool = True,
    user: Identity | None = None,
    init_args: list[str] | None = None,
    cause: str | UnsetType = UNSET,
    binding: str | None = None,
) -> ActivationMessage:
    """An activation of the action, asked of controller 0 at second 1764000000."""
    action = action or an_action()
    return ActivationMessage(
        transid=["tid", 1_764_000_000_000],
        action=FullyQualifiedName(action.namespace, action.name, action.version, binding),
        revision=revision,
        user=user or an_identity(),
        activation_id=f"{next(_ids):032x}",
        root_controller_index=ControllerId("0"),
        blocking=blocking,
        content=UNSET if content is None else Raw(msgspec.json.encode(content)),
        init_args=init_args or [],
        cause=cause,
    )


def an_instance(instance: int = 0, memory: int = 2048) -> InvokerId:
    """An Invoker's id; memory in MB."""
    return InvokerId(instance, f"{memory << 20} B")


class Controller:
    """Controller 0 as an Invoker sees it: collects acks in the order of their arrival."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._feed: Feed | None = None
        self.acks: list[Message] = []

    async def start(self) -> None:
        topic = completed_topic("0")
        await self._bus.ensure(topic)
        self._feed = await self._bus.feed(topic, topic.name, self._deliver, unexpected)
        self._feed.pull(1_000_000)

    def _deliver(self, offset: int, message: Message, started: bool) -> None:
        self.acks.append(message)

    def shapes(self, activation_id: str) -> list[str]:
        """The acks of one activation: `result`, `completion`, `combined`, `-id` where shrunk."""
        return [text for ack in self.acks for id_, text in [_shape(ack)] if id_ == activation_id]

    def record(self, activation_id: str) -> Activation:
        """The record that an ack carried."""
        for ack in self.acks:
            response = getattr(ack, "response", None)
            if isinstance(response, Activation) and response.activation_id == activation_id:
                return response
        raise LookupError(activation_id)

    async def ended(self, activation_id: str) -> None:
        """Wait for the ack that frees the slot."""
        await until(lambda: any(not shape.startswith("result") for shape in self.shapes(activation_id)))


def unexpected(cause: BaseException) -> None:
    """For a feed that nobody takes away."""
    raise AssertionError("the feed is lost") from cause


async def until(condition: Callable[[], bool], patience: float = 10.0) -> None:
    """Let the loop run until the condition holds; TimeoutError when it does not come to that."""
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110 - tests look at things that tell nobody
            await asyncio.sleep(0.001)


def _shape(ack: Message) -> tuple[str, str]:
    match ack:
        case CompletionMessage():
            return ack.activation_id, "completion"
        case ResultMessage() | CombinedMessage():
            kind = "result" if isinstance(ack, ResultMessage) else "combined"
            if isinstance(ack.response, str):
                return ack.response, f"{kind}-id"
            return ack.response.activation_id, kind
    return "", ""
