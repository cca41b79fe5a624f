"""Web actions without HTTP: which action a path means, its arguments, and what becomes of its result (spec: rest-api.md
§11)."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

import msgspec

from upcall.core.media import Media, accepted, read_media
from upcall.core.params import Defaults
from upcall.core.surrogates import mend
from upcall.errors import BadRequest, Malformed
from upcall.model import texts, web_texts
from upcall.model.names import Json

EXPORT, RAW, OPTIONS, AUTH = "web-export", "raw-http", "web-custom-options", "require-whisk-auth"
"""Annotations."""
EXTENSIONS = ".http", ".json", ".html", ".svg", ".text"
RESERVED = frozenset(f"__ow_{name}" for name in ("method", "headers", "path", "user", "query", "body"))
_JSON, _TEXT = "application/json", "text/plain; charset=UTF-8"
_HTML, _SVG = "text/html; charset=UTF-8", "image/svg+xml"
_BASE64 = re.compile(r"[A-Za-z0-9+/]+(={0,2})")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BARE = frozenset((204, 205, 304))
"""Statuses that have no body."""
_OURS = frozenset(("content-length", "transfer-encoding", "connection"))

Headers = list[tuple[str, str]]


class WebRequest(msgspec.Struct, frozen=True):
    """What the arguments are made of. `path` is what follows the action, `query` is not decoded, names in `headers`
    are in small letters, `user` is the caller's namespace, empty: a stranger."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    user: str = ""


class WebResponse(msgspec.Struct, frozen=True):
    status: int
    headers: Headers
    """Without the content type."""
    content_type: str = ""
    """Empty: there is no body."""
    body: bytes = b""


class Refused(Exception):
    """The result cannot be shown so: status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def split_extension(name: str) -> tuple[str, str]:
    """Name and extension of an action: `hello.json` is `hello` and `.json`; an extension that is none is part of the
    name."""
    for extension in EXTENSIONS:
        if name.endswith(extension) and name != extension:
            return name.removesuffix(extension), extension
    return name, ".http"


def permits(required: Json, token: str | None, known: bool) -> bool:
    """May the request be answered? `required` is the annotation's value, `token` that of the header, `known` says
    whether the caller has good credentials."""
    if required is None or required is False:
        return True
    if required is True:
        return known
    if isinstance(required, str):
        return token == required
    return isinstance(required, int | float) and token == msgspec.json.encode(required).decode()


def arguments(request: WebRequest, defaults: Defaults, raw: bool) -> bytes:
    """The JSON object that the caller brings. Raises BadRequest."""
    content = _raw(request) if raw else _merged(request, defaults)
    content["__ow_method"] = request.method.lower()
    content["__ow_headers"] = {name: value for name, value in request.headers.items() if name != "content-length"}
    content["__ow_path"] = request.path
    if request.user:
        content["__ow_user"] = request.user
    return msgspec.json.encode(content)


def transcode(extension: str, result: Json, accept: str) -> WebResponse:
    """What the client gets. Raises Refused."""
    response = _PROJECTIONS[extension](result)
    kind = response.content_type.partition(";")[0]
    if response.content_type and not accepted(kind, accept):
        raise Refused(406, web_texts.not_acceptable(response.content_type))
    return response


# --- arguments


def _raw(request: WebRequest) -> dict[str, Json]:
    media = _media(request)
    body = _text(request.body, media) if media and media.is_text and not media.is_json else _base64(request.body)
    return {"__ow_query": request.query, "__ow_body": body}


def _merged(request: WebRequest, defaults: Defaults) -> dict[str, Json]:
    content: dict[str, Json] = dict(parse_qsl(request.query, keep_blank_values=True))
    rest, whole = _body(request)
    content.update(rest)
    if not RESERVED.isdisjoint(content) or not defaults.final.isdisjoint(content):
        raise BadRequest(texts.FINAL_PARAMETERS)
    return {**content, **whole}


def _body(request: WebRequest) -> tuple[dict[str, Json], dict[str, Json]]:
    """The fields that are arguments of their own, else the body as one."""
    media = _media(request)
    if not request.body:
        return {}, {}
    if media is None:
        return {}, {"__ow_body": _base64(request.body)}
    if media.is_json:
        value = _json(request.body)
        return (value, {}) if isinstance(value, dict) else ({}, {"__ow_body": value})
    if media.kind == "application/x-www-form-urlencoded":
        return dict(parse_qsl(_text(request.body, media), keep_blank_values=True)), {}
    return {}, {"__ow_body": _text(request.body, media) if media.is_text else _base64(request.body)}


def _media(request: WebRequest) -> Media | None:
    """None: nothing is said of it. Raises BadRequest."""
    header = request.headers.get("content-type", "")
    media = read_media(header) if header else None
    if header and media is None and request.body:
        raise BadRequest(web_texts.CONTENT_TYPE_UNSUPPORTED)
    return media


def _json(body: bytes) -> Json:
    value: Json
    try:
        try:
            value = msgspec.json.decode(body)
        except msgspec.DecodeError:
            value = msgspec.json.decode(mend(body))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(texts.malformed_content(str(error))) from None
    return value


def _text(body: bytes, media: Media) -> str:
    try:
        return body.decode(media.charset or "utf-8", "replace")
    except (LookupError, ValueError):
        return body.decode("utf-8", "replace")


def _base64(body: bytes) -> str:
    return base64.b64encode(body).decode()


# --- results


def _as_json(result: Json) -> WebResponse:
    if not isinstance(result, dict | list):
        raise Refused(400, web_texts.not_valid(_JSON))
    return WebResponse(200, [], _JSON, _pretty(result))


def _as_text_of(field: str, content_type: str) -> Callable[[Json], WebResponse]:
    def project(result: Json) -> WebResponse:
        text = result
        if isinstance(result, dict):
            text = result.get("body", result.get(field))
        if not isinstance(text, str):
            raise Refused(400, web_texts.not_valid(content_type.partition(";")[0]))
        return WebResponse(200, [], content_type, _encoded(text))

    return project


def _as_text(result: Json) -> WebResponse:
    if isinstance(result, dict):
        for field in ("body", "text"):
            if field in result:
                return WebResponse(200, [], _TEXT, _plain(result[field]))
        raise Refused(404, web_texts.PROPERTY_MISSING)
    return WebResponse(200, [], _TEXT, _plain(result))


def _as_http(result: Json) -> WebResponse:
    if not isinstance(result, dict):
        raise Refused(400, web_texts.not_valid("message/http"))
    status, headers, named = _status(result.get("statusCode")), *_headers(result.get("headers"))
    body = result.get("body")
    if body is None or body == "":
        return WebResponse(status or 204, headers)
    if status in _BARE:
        return WebResponse(status, headers)
    media = read_media(named or ("text/html" if isinstance(body, str) else _JSON))
    if media is None:
        raise Refused(400, web_texts.CONTENT_TYPE_UNKNOWN)
    return WebResponse(status or 200, headers, media.shown, _entity(body, media))


def _entity(body: Json, media: Media) -> bytes:
    """As the media type has it."""
    if not isinstance(body, str):
        if not media.is_json:
            raise Refused(400, web_texts.CONTENT_TYPE_MISMATCH)
        return _pretty(body)
    if media.is_json:
        return _decoded(body) or _encoded(body)
    if media.is_text:
        return _encoded(body)
    decoded = _decoded(body)
    if decoded is None:
        raise Refused(400, web_texts.CONTENT_TYPE_MISMATCH)
    return decoded


def _status(value: Json) -> int:
    """0: none is given. What no server can send is refused."""
    if value is None:
        return 0
    if isinstance(value, str) and re.fullmatch(r"\d{1,4}", value, re.ASCII):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 200 <= value < 600:
        raise Refused(400, web_texts.not_valid("message/http"))
    return value


def _headers(value: Json) -> tuple[Headers, str]:
    """All but the content type, and that. A server's own are left out."""
    if value is None:
        return [], ""
    if not isinstance(value, dict):
        raise Refused(400, web_texts.not_valid("message/http"))
    found: Headers = []
    content_type = ""
    for name, several in value.items():
        for each in several if isinstance(several, list) else [several]:
            text = _header(name, each)
            if name.lower() == "content-type":
                content_type = text
            elif name.lower() not in _OURS:
                found.append((name, text))
    return found, content_type


def _header(name: str, value: Json) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if isinstance(value, dict | list | None) or not _NAME.fullmatch(name) or re.search(r"[\r\n\0]", text):
        raise Refused(400, web_texts.not_valid("message/http"))
    return text


def _decoded(text: str) -> bytes | None:
    """Base64, with or without its padding; None where it is none."""
    found = _BASE64.fullmatch(text)
    if found is None or (found[1] and len(text) % 4) or len(text) % 4 == 1:
        return None
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return None


def _plain(value: Json) -> bytes:
    return _encoded(value) if isinstance(value, str) else _pretty(value)


def _pretty(value: Json) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


_PROJECTIONS: Mapping[str, Callable[[Json], WebResponse]] = {
    ".http": _as_http,
    ".json": _as_json,
    ".html": _as_text_of("html", _HTML),
    ".svg": _as_text_of("svg", _SVG),
    ".text": _as_text,
}
