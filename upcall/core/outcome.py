"""From what a runtime answered to what the caller gets (spec: container.md §3).

The rows of the two tables are checked in upstream's order, which decides the overlaps: a late answer is a time-out,
however good it is; a truncated one is an application error whatever its status. The action's result is not decoded:
its syntax is checked, its keys are looked at, and the bytes go on as they came.

Two differences between our JSON reader and upstream's are evened out here. Bytes that are no UTF-8 become U+FFFD
before anything else looks at them, and so do escaped halves of surrogate pairs.
"""

from enum import Enum
from typing import Final

import msgspec
from msgspec import Raw

from upcall.core.surrogates import mend
from upcall.model import texts
from upcall.model.activation import APPLICATION_ERROR, DEVELOPER_ERROR, SUCCESS, Response, error

_members = msgspec.json.Decoder(dict[str, Raw]).decode
_items = msgspec.json.Decoder(list[Raw]).decode


class Ending(Enum):
    """How a request to a container ended."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """No connection came about: nothing has been sent, nothing has run."""
    CLOSED = "closed"
    """The connection ended without a whole answer."""
    TIMED_OUT = "timed out"


ANSWERED: Final = Ending.ANSWERED
REFUSED: Final = Ending.REFUSED
TIMED_OUT: Final = Ending.TIMED_OUT


class Outcome(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One request's end. `body` is cut where `truncated`; `length` counts all that the runtime sent."""

    ending: Ending
    elapsed: float
    """seconds"""
    status: int = 0
    body: bytes = b""
    length: int = 0
    truncated: bool = False


def unavailable(outcome: Outcome) -> bool:
    """The container says that it is going away: the activation belongs elsewhere (spec: container.md §7.4)."""
    return outcome.status == 503 and outcome.ending is ANSWERED


def initialised(outcome: Outcome) -> bool:
    """A late 200 counts too."""
    return outcome.status == 200 and outcome.ending is ANSWERED and not outcome.truncated


def timed_out(outcome: Outcome, timeout: int) -> bool:
    """Whether the limit (ms) was used up, by an answer as by silence."""
    return outcome.ending is TIMED_OUT or outcome.elapsed * 1000 >= timeout


def init_response(outcome: Outcome, timeout: int, limit: int, exhausted: bool = False) -> Response:
    """The activation's response where /init was not `initialised`; `limit` is in bytes."""
    if timed_out(outcome, timeout):
        return error(DEVELOPER_ERROR, texts.init_timeout(timeout))
    if outcome.ending is not ANSWERED:
        return error(DEVELOPER_ERROR, texts.MEMORY_EXHAUSTED if exhausted else texts.INIT_DIED)
    if outcome.truncated:
        return error(DEVELOPER_ERROR, _truncated(outcome, limit))
    body = _utf8(outcome.body)
    members, body = _object(body)
    if members is not None and "error" in members:
        return Response(DEVELOPER_ERROR, _wrap(members["error"]))
    return error(DEVELOPER_ERROR, texts.init_failed(body.decode()))


def run_response(outcome: Outcome, timeout: int, limit: int, exhausted: bool = False) -> Response:
    """The activation's response after /run; `limit` is in bytes."""
    if outcome.elapsed * 1000 >= timeout or outcome.ending is TIMED_OUT:  # as `timed_out`, without the call
        return error(DEVELOPER_ERROR, texts.run_timeout(timeout))
    if outcome.ending is not ANSWERED:
        return error(DEVELOPER_ERROR, texts.MEMORY_EXHAUSTED if exhausted else texts.RUN_DIED)
    if outcome.truncated:
        return Response(APPLICATION_ERROR, error(0, _truncated(outcome, limit)).result, outcome.length)
    body = outcome.body
    if body.isascii():
        size = len(body)
    else:
        body = _utf8(body)
        size = len(body.decode().encode("utf-16-le")) // 2
    members, body = _object(body)
    if members is not None:
        if outcome.status == 200 and "error" not in members:
            return Response(SUCCESS, Raw(body), size)
        if "error" in members:
            return Response(
                APPLICATION_ERROR if outcome.status == 200 else DEVELOPER_ERROR, _wrap(members["error"]), size
            )
    elif outcome.status == 200 and _is_array(body):
        return Response(SUCCESS, Raw(body), size)
    return Response(DEVELOPER_ERROR, error(0, texts.run_invalid(body.decode())).result, size)


def _object(body: bytes) -> tuple[dict[str, Raw] | None, bytes]:
    """The members of a JSON object, None for anything else; and the body as it is to be passed on."""
    try:
        return _members(body), body.strip()
    except (msgspec.DecodeError, RecursionError):
        mended = mend(body)
    if mended == body:
        return None, body
    try:
        return _members(mended), mended.strip()
    except (msgspec.DecodeError, RecursionError):
        return None, mended


def _is_array(body: bytes) -> bool:
    try:
        _items(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _utf8(body: bytes) -> bytes:
    if body.isascii():
        return body
    return body.decode("utf-8", "replace").encode()


def _wrap(value: Raw) -> Raw:
    return Raw(b'{"error":%b}' % bytes(value))


def _truncated(outcome: Outcome, limit: int) -> str:
    return texts.response_truncated(outcome.length, limit, outcome.body.decode("utf-8", "replace"))
