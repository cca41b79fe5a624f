"""The API's description, for programs and for people (spec: rest-api.md §3).

`/api-docs` is the Swagger document, `/docs` leads to a page that is made of it: no script, nothing from elsewhere.
Clients know the page by its title.
"""

from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING

import msgspec

from upcall.controller.call import Parts
from upcall.http.envelope import COMPLETED, CORS, TEXT, Answer, Headers
from upcall.model.sizes import SystemLimits

if TYPE_CHECKING:
    from upcall.controller.schemas import Schema

TITLE = "Swagger UI"
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
code{font:13px ui-monospace,monospace}h2{font-size:1rem;margin:2rem 0 .3rem}b{display:inline-block;min-width:4.5rem}
table{border-collapse:collapse}td{padding:.1rem .8rem .1rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}a{color:#8cf}}
"""
_PAGE: Headers = (
    (b"Content-Type", b"text/html; charset=UTF-8"),
    (b"Content-Security-Policy", b"default-src 'none'; style-src 'unsafe-inline'"),
    *CORS,
)


async def api_docs(parts: Parts) -> Answer:
    return 200, COMPLETED, _document(*_deployment(parts))


async def page(parts: Parts) -> Answer:
    return 200, _PAGE, _page(*_deployment(parts))


async def to_page(parts: Parts) -> Answer:
    """`GET /docs`."""
    return _moved("")


async def to_api_page(parts: Parts) -> Answer:
    """`GET /api/v1/docs`."""
    return _moved("/api/v1")


def _moved(base: str) -> Answer:
    location = f"{base}/docs/index.html?url={base}/api-docs"
    return 308, (*TEXT, (b"Location", location.encode()), *CORS), location.encode()


def _deployment(parts: Parts) -> tuple[tuple[str, ...], SystemLimits]:
    return tuple(runtime.kind for runtime in parts.manifest.all if not runtime.deprecated), parts.limits


@lru_cache(1)
def _document(kinds: tuple[str, ...], limits: SystemLimits) -> bytes:
    return msgspec.json.encode(_described(kinds, limits))


@lru_cache(1)
def _page(kinds: tuple[str, ...], limits: SystemLimits) -> bytes:
    document = _described(kinds, limits)
    info = document["info"]
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{TITLE}</title><style>{_STYLE}</style>',
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}",
        '<p><a href="../api-docs">The same for programs</a>: Swagger 2.0.',
    ]
    for path, item in document["paths"].items():
        for method in ("get", "put", "post", "delete"):
            if method in item:
                parts.append(_operation(method, path, item[method], item.get("parameters", [])))
    return "\n".join([*parts, "</html>"]).encode()


def _described(kinds: tuple[str, ...], limits: SystemLimits) -> "Schema":
    """What describes is loaded with the first question."""
    from upcall.controller.openapi import make_document

    return make_document(kinds, limits)


def _operation(method: str, path: str, operation: "Schema", shared: "list[Schema]") -> str:
    given = [*shared, *operation.get("parameters", [])]
    rows = [(each["name"], each.get("description", "")) for each in given if each["in"] != "path"]
    rows += [(status, response["description"]) for status, response in operation["responses"].items()]
    cells = "".join(f"<tr><td><code>{escape(name)}</code><td>{escape(text)}" for name, text in rows)
    head = f"<b>{method.upper()}</b> <code>{escape(path)}</code>"
    return f"<h2>{head}</h2>{escape(operation['summary'])}<table>{cells}</table>"
