"""Holds answers against the API's own description: statuses, and bodies without members that it does not name."""

import re
from functools import cache
from typing import Any

import jsonschema
import msgspec

from upcall.controller.openapi import make_document
from upcall.model.sizes import Bounds, SystemLimits

LIMITS = SystemLimits(concurrency=Bounds(1, 5, 1), code=2000, parameters=1500)
TRANSPORT = frozenset((100, 308, 405, 408, 414, 431))
"""Statuses of HTTP rather than of an operation."""


@cache
def document() -> dict[str, Any]:
    return make()


def make() -> dict[str, Any]:
    """Of the deployment that the tests are made for; a copy for who changes it."""
    text = msgspec.json.encode(make_document(("nodejs:20", "python:3.11"), LIMITS))
    found: dict[str, Any] = msgspec.json.decode(text)
    return found


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    paths = sorted(document()["paths"], key=lambda path: (not path.endswith("/"), path.count("{")))
    return [
        (re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + ("" if path.endswith("/") else "/?")), path) for path in paths
    ]


def described(method: str, path: str) -> dict[str, Any] | None:
    """The operation; None where the description has none."""
    bare = path.partition("?")[0]
    template = next((template for pattern, template in _patterns() if pattern.fullmatch(bare)), None)
    operation: dict[str, Any] | None = document()["paths"][template].get(method.lower()) if template else None
    return operation


def check(method: str, path: str, status: int, content_type: str, body: bytes) -> None:
    """Raises AssertionError or ValidationError."""
    operation = described(method, path)
    if operation is None or status in TRANSPORT or (status == 404 and path.endswith("/")):
        return
    responses = operation["responses"]
    assert str(status) in responses, f"{method} {path}: {status} is not described"
    if status == 204:
        assert not body
        return
    media = operation["produces"][0] if status < 300 else "application/json"
    assert content_type.partition(";")[0] == media
    if media != "application/json":
        return
    schema = {**responses[str(status)]["schema"], "definitions": document()["definitions"]}
    jsonschema.Draft4Validator(_with_reference(schema)).validate(msgspec.json.decode(body))


def _with_reference(schema: dict[str, Any]) -> dict[str, Any]:
    """In draft 4 a reference hides its neighbours."""
    if "$ref" not in schema:
        return schema
    return {"allOf": [{"$ref": schema["$ref"]}], "definitions": schema["definitions"]}
