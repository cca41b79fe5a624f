"""Documents to put into stores."""

from typing import ClassVar

import msgspec
from msgspec import Raw

from upcall.model.activation import Activation, Response
from upcall.model.entities import Action, ActionLimits, Exec, NamespaceKey, Parameter, Subject


class Note(msgspec.Struct):
    """Another kind in the entities' id space."""

    entity_type: ClassVar[str] = "note"

    namespace: str
    name: str
    text: str = ""
    updated: int = 0

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}"


def action(name: str = "hello", namespace: str = "guest", code: str = "def main(a): return a", at: int = 0) -> Action:
    return Action(
        namespace=namespace,
        name=name,
        exec=Exec("python:3.11", code=code, binary=False),
        limits=ActionLimits(60000, 256),
        parameters=[Parameter("who", Raw(b'{"a":[1,null]}'))],
        updated=at,
    )


def activation(
    number: int, namespace: str = "guest", name: str = "hello", path: str = "", binding: str = "", at: int = 0
) -> Activation:
    annotations = [{"key": "path", "value": path or f"guest/{name}"}, {"key": "waitTime", "value": 3}]
    if binding:
        annotations.append({"key": "binding", "value": binding})
    return Activation(
        namespace=namespace,
        name=name,
        subject="guest-subject",
        activation_id=f"{number:032x}",
        start=at or number,
        end=(at or number) + 5,
        duration=5,
        response=Response(0, Raw(b'{"n":1}'), 7),
        logs=["2026-11-23T04:00:00.000000000Z stdout: hi"],
        annotations=Raw(msgspec.json.encode(annotations)),
    )


def subject(name: str, *namespaces: tuple[str, str, str], blocked: bool = False) -> Subject:
    return Subject(name, [NamespaceKey(*each) for each in namespaces], blocked)
