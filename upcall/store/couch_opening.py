"""What has to be in CouchDB before a process works with it: three databases and their design documents.

Who serves the API makes what is missing; an Invoker makes nothing, for its user may lack the rights and somebody else's
controllers may be at work (spec: store.md §1). What is missing and cannot be made is named.
"""

import logging
from typing import Literal

import msgspec

from upcall.store.couch_designs import designs
from upcall.store.couch_http import FAILURES, JSON, Answer, CouchHttp, fault

Part = Literal["owner", "guest", "invoker"]
"""Of a process: serves the API; is a command beside it; runs actions."""

log = logging.getLogger(__name__)


async def prepare(http: CouchHttp, part: Part) -> None:
    """Raises Misconfigured."""
    url = http.url
    if part == "invoker":
        for database in (url.entities, url.activations):
            await _found(http, database)
        return
    for database, documents in designs(url).items():
        if not await _there(http, database):
            await _make(http, f"the database '{database}'", database)
        for name, views in documents.items():
            if not await _there(http, database, "_design", name):
                body = msgspec.json.encode({"_id": f"_design/{name}", "language": "javascript", "views": views})
                await _make(http, f"the design document '{name}' in '{database}'", database, "_design", name, body=body)


async def _found(http: CouchHttp, database: str) -> None:
    if not await _there(http, database):
        raise http.unusable(
            f"there is no database '{database}'. 'upcall serve' and 'upcall controller' make it, as upstream's "
            "deployment does; an Invoker makes none"
        )


async def _there(http: CouchHttp, *segments: str) -> bool:
    answer = await _call(http, "GET", *segments)
    if answer.status == 404:
        return False
    if not answer.fine:
        raise http.unusable(_words(http, answer))
    return True


async def _make(http: CouchHttp, what: str, *segments: str, body: bytes | None = None) -> None:
    answer = await _call(http, "PUT", *segments, body=body)
    if answer.fine:
        log.info("%s is made", what)
    elif answer.status == 404:  # not each node of a cluster knows a database at once
        raise http.away(ConnectionError(f"the database of {what} is not there yet"))
    elif answer.status not in (409, 412):  # then somebody else was first
        user = f"the user '{http.url.username}'" if http.url.username else "a request without a user"
        why = f"{what} is missing, and {user} may not make it" if answer.status in (401, 403) else ""
        raise http.unusable(
            f"{why or f'{what} cannot be made'} ({_words(http, answer)}). Make it as the server's administrator, or "
            "start once with a user who may"
        )


async def _call(http: CouchHttp, method: str, *segments: str, body: bytes | None = None) -> Answer:
    try:
        answer = await http.call(method, *segments, body=body, headers=JSON if body else {})
    except FAILURES as error:
        raise http.away(error) from error
    if answer.status in (429, 500, 502, 503, 504):
        raise http.away(ConnectionError(f"the server answers {answer.status}"))
    return answer


def _words(http: CouchHttp, answer: Answer) -> str:
    return http.refusal(answer) if answer.status in (401, 403) else fault(answer) or http.refusal(answer)
