"""What every answer of the API has in common: transaction id, error body, CORS headers (spec: rest-api.md §1).

Errors are `{"error": TEXT, "code": TID}`; `wsk` tells a server's error from an action's by the presence of both. CORS
headers go on what a route completed, errors included, and not on rejections, which happen before a route is found or
entered: 401, 405, 406, 415, the unknown path, and names, queries and bodies that cannot be read.

An answer is (status, headers, body). The transaction id's own header is not among the headers: its name is a setting,
and it goes on every answer, so the edge and the middleware add it in one place each.
"""

import msgspec

from upcall import errors
from upcall.http.ids import ids
from upcall.model import texts

Headers = tuple[tuple[bytes, bytes], ...]
Answer = tuple[int, Headers, bytes]

TID_HEADER = b"X-Request-ID"
RESERVED = "sid_"
_CORS_HEADERS = b"Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent"


class Written(bytes):
    """A header's name that goes out as it is written here, as upstream's do: scripts look for `X-Request-ID:`, capitals
    and all. uvicorn would send the small letters that it asks each name for."""

    def lower(self) -> bytes:
        return self


def cors(methods: bytes, headers: bytes = _CORS_HEADERS) -> Headers:
    """The three headers that let a page of any origin use `methods`, with `headers`."""
    return (
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Access-Control-Allow-Headers", headers),
        (b"Access-Control-Allow-Methods", methods),
    )


JSON: Headers = ((b"Content-Type", b"application/json"),)
TEXT: Headers = ((b"Content-Type", b"text/plain; charset=UTF-8"),)
CORS = cors(b"GET, DELETE, POST, PUT, HEAD")
"""Of `/api/v1/**`."""
CORS_WEB = cors(b"OPTIONS, GET, DELETE, POST, PUT, HEAD, PATCH")
"""Of web actions, where the request asks for no headers."""
CORS_ROOT = cors(b"OPTIONS, GET, POST")
"""Of `/` and the admin routes."""
COMPLETED: Headers = JSON + CORS
"""Of a JSON answer that a route below `/api/v1` completed."""
_CHALLENGE: Headers = ((b"WWW-Authenticate", b'Basic realm="OpenWhisk secure realm"'),)
_REJECTIONS = frozenset((401, 405, 406, 415))


def transaction_id(incoming: bytes | str | None) -> str:
    """The caller's id, unless it has none or claims one of the system's (`sid_…`)."""
    if not incoming:
        return ids.transaction()
    tid = (incoming if isinstance(incoming, str) else incoming.decode("latin-1")).strip(" \t")
    return ids.transaction() if not tid or tid.startswith(RESERVED) else tid


def tid_bytes(tid: str) -> bytes:
    """The id as header value."""
    return tid.encode("latin-1", "replace")


def error_body(text: str, tid: str) -> bytes:
    return msgspec.json.encode({"error": text, "code": tid})


def refusal(status: int, text: str, tid: str, extra: Headers = (), allow: Headers = CORS) -> Answer:
    """An error by its status; an empty text means the status's default one. `allow` are the route's CORS headers."""
    rejected = status in _REJECTIONS or text == texts.UNKNOWN_PATH
    text = text or texts.DEFAULTS.get(status, texts.DEFAULTS[500])
    return status, JSON + (() if rejected else allow) + extra, error_body(text, tid)


def failure(error: errors.UpcallError, tid: str, allow: Headers = CORS) -> Answer:
    """An error by what was raised."""
    extra: Headers = ()
    if isinstance(error, errors.Unauthorized):
        extra = _CHALLENGE
    elif isinstance(error, errors.Throttled | errors.Unavailable):
        extra = ((b"Retry-After", b"%d" % error.retry_after),)
    allow = () if isinstance(error, errors.Malformed) else allow
    return refusal(error.status, str(error), tid, extra, allow)


def not_allowed(methods: str, tid: str) -> Answer:
    """405 for a path that exists; `methods` as in `GET, PUT`."""
    return refusal(405, texts.method_not_allowed(methods), tid, ((b"Allow", methods.encode("ascii")),))
