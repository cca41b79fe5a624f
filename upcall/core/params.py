"""Arguments of an invoke: what the action defines, under what the caller sends (spec: rest-api.md §6.5, §7.4).

Values stay the bytes that came. A body for an action without parameters passes through untouched, once it is known to
be a JSON object: msgspec checks the grammar without building anything; it does not look into strings that it skips, so
that they are UTF-8 is checked here.

Parameters come in lists, the outermost first (package, binding, action); later ones win.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from upcall.core.surrogates import mend
from upcall.errors import BadRequest, Malformed
from upcall.model import texts
from upcall.model.entities import Action, Parameter

FINAL = "final"


class _Anything(msgspec.Struct):
    """A JSON object; all its members are skipped."""


_check = msgspec.json.Decoder(_Anything).decode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


class Defaults(msgspec.Struct, frozen=True):
    """What an action's parameters come to, worked out once per document."""

    values: dict[str, Raw]
    content: Raw
    """The arguments of a call without a body."""
    init_args: list[str]
    locked_args: dict[str, str]
    final: frozenset[str]
    """Names that a caller may not use."""


def defaults_of(action: Action, outer: Sequence[Sequence[Parameter]] = ()) -> Defaults:
    """`outer` are the parameters of the package and of the binding."""
    named = {parameter.key: parameter for parameters in (*outer, action.parameters) for parameter in parameters}
    values = {key: parameter.value for key, parameter in named.items()}
    defined = (key for key, value in values.items() if bytes(value).strip() != b"null")
    return Defaults(
        values=values,
        content=Raw(_encode(values)),
        init_args=[key for key, parameter in named.items() if parameter.init is True],
        locked_args={key: p.encryption for key, p in named.items() if isinstance(p.encryption, str) and p.encryption},
        final=frozenset(defined if action.annotation(FINAL) is True else ()),
    )


def check_object(body: bytes) -> bytes:
    """The body as it is to be used: what our reader does not take is made good. Raises BadRequest unless it is nothing
    or a JSON object."""
    if not body or body.isspace():
        return b""
    try:
        if not body.isascii():
            body.decode()
        try:
            _check(body)
        except msgspec.DecodeError:
            body = mend(body)
            _check(body)
        return body
    except msgspec.ValidationError as error:
        raise Malformed(texts.malformed_content(texts.OBJECT_EXPECTED)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(texts.malformed_content(str(error))) from error


def merge(defaults: Defaults, body: bytes) -> tuple[Raw, dict[str, str]]:
    """The arguments of one call, and which of them are encrypted. Raises BadRequest: no object, or a final parameter is
    named."""
    if body:
        try:
            _check(body)
            plain = body.isascii()
        except (msgspec.DecodeError, RecursionError):
            plain = False
        if not plain:
            body = check_object(body)
    if not body:
        return defaults.content, defaults.locked_args
    if not defaults.values:
        return Raw(body), defaults.locked_args
    try:
        given = _members(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(texts.malformed_content(str(error))) from error
    if not defaults.final.isdisjoint(given):
        raise BadRequest(texts.FINAL_PARAMETERS)
    locked = defaults.locked_args
    if locked:
        locked = {key: algorithm for key, algorithm in locked.items() if key not in given}
    return Raw(_encode({**defaults.values, **given})), locked
