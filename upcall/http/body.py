"""The body of a request, which is JSON."""

import msgspec
from msgspec import MsgspecError
from starlette.requests import Request

from upcall.core.params import check_object
from upcall.core.surrogates import mend
from upcall.errors import Malformed, TooLarge
from upcall.http.media import check_json
from upcall.model import texts
from upcall.model.names import Json
from upcall.model.sizes import MB

LARGEST_BODY = 50 * MB
"""Bytes of any request; an action's code is base64 in JSON, so this is above the limit of an exec."""


async def read_json(request: Request) -> Json:
    """The body, which has to be JSON. Raises UnsupportedType, TooLarge, BadRequest."""
    content_type = request.headers.get("content-type", "")
    body = await _read_body(request)
    if body or content_type:
        check_json(content_type)
    if not body:
        raise Malformed(texts.ENTITY_EXPECTED)
    try:
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError:
            return msgspec.json.decode(mend(body))
    except (MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(texts.malformed_content(str(error))) from None


async def read_object(request: Request, limit: int) -> bytes:
    """The body as it came, which has to be a JSON object of at most `limit` bytes, or nothing. Raises UnsupportedType,
    TooLarge, BadRequest."""
    announced = int(request.headers.get("content-length", "0"))
    body = b"" if announced > limit else await _read_body(request)
    if body or announced:
        check_json(request.headers.get("content-type", ""))
    size = max(announced, len(body))
    if size > limit:
        raise TooLarge(texts.request_too_large(size, limit))
    return check_object(body)


async def _read_body(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = int(request.headers.get("content-length", "0"))
    if size <= LARGEST_BODY:
        size = 0
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > LARGEST_BODY:
                break
    if size > LARGEST_BODY:
        raise TooLarge(texts.request_too_large(size, LARGEST_BODY))
    return b"".join(chunks)
