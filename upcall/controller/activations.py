"""Activation records over REST, read only (spec: rest-api.md §10).

Records belong to the namespace that invoked, and only it sees them. A record appears when the activation has ended: a
moment after its result, so who was told that and asks for it here waits for that moment.
`since` and `upto` are epoch milliseconds, inclusive, though upstream's error text says seconds.
"""

import asyncio

import msgspec
from msgspec import UNSET, Raw, UnsetType

from upcall.controller.call import Call, malformed, ok, query_boolean, query_page, query_time, query_value
from upcall.controller.views import activation_bytes, activation_view, response_view
from upcall.core.rights import check_right
from upcall.errors import BadRequest, Malformed, NotFound, Unreadable
from upcall.http.envelope import COMPLETED, Answer
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.names import activation_id_error, name_error
from upcall.ports import Query, Stored

COLLECTION = "activations"
PAUSES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.36)
"""Seconds between looks for a record that has to come."""


class ActivationSummary(msgspec.Struct, rename="camel"):
    """An activation in a list: exactly these members (spec: entities.md §9). What has no end has no status either."""

    namespace: str
    name: str
    version: str
    publish: bool
    annotations: Raw
    activation_id: str
    start: int
    end: int | UnsetType = UNSET
    duration: int | UnsetType = UNSET
    cause: str | UnsetType = UNSET
    status_code: int | UnsetType = UNSET


async def list_activations(call: Call) -> Answer:
    check_right(call.identity, "READ", call.namespace)
    request = call.request
    page = query_page(request, COLLECTION, call.parts.limits)
    docs = query_boolean(request, "docs")
    query = Query(
        namespace=call.namespace,
        name=_name(query_value(request, "name")),
        since=query_time(request, "since"),
        upto=query_time(request, "upto"),
        skip=page.skip,
        limit=page.limit,
        whole=docs,
    )
    if page.count and docs:
        raise BadRequest(texts.DOCS_WITH_COUNT)
    if page.count:
        return ok({COLLECTION: await call.parts.store.count(Activation, query)})
    records = await call.parts.store.list(Activation, query)
    return ok([activation_view(record) if docs else summary(record) for record in records])


async def get_activation(call: Call) -> Answer:
    return 200, COMPLETED, activation_bytes(await _read(call))


async def get_result(call: Call) -> Answer:
    return ok(response_view((await _read(call)).response))


async def get_logs(call: Call) -> Answer:
    record = await _read(call)
    return ok({"logs": [texts.LOGS_ELSEWHERE] if call.parts.logs_elsewhere else record.logs})


def summary(record: Activation) -> ActivationSummary:
    ended = record.end != 0
    return ActivationSummary(
        record.namespace,
        record.name,
        record.version,
        record.publish,
        record.annotations,
        record.activation_id,
        record.start,
        record.end if ended else UNSET,
        record.end - record.start if ended else UNSET,
        record.cause or UNSET,
        record.response.status_code if ended else UNSET,
    )


def _name(value: str | None) -> str | None:
    """`action` or `package/action`; a blank filters nothing."""
    if value is None or not value.strip():
        return None
    segments = value.split("/")
    if len(segments) > 2 or any(map(name_error, segments)):
        raise malformed("name", texts.not_a_name_filter(value))
    return value


async def _read(call: Call) -> Activation:
    id_ = call.path["name"]
    check_right(call.identity, "READ", call.namespace, id_)
    if wrong := activation_id_error(id_):
        raise Malformed(wrong)
    try:
        stored = await _stored(call, id_)
    except NotFound:
        raise NotFound from None
    except Unreadable:
        raise Unreadable(texts.CORRUPTED) from None
    assert isinstance(stored.doc, Activation)
    return stored.doc


async def _stored(call: Call, id_: str) -> Stored:
    """Its record, which is waited for where it has to be on its way to the store."""
    id = f"{call.namespace}/{id_}"
    for pause in PAUSES if id_ in call.parts.recent else ():
        try:
            return await call.parts.store.get(Activation, id)
        except NotFound:
            await asyncio.sleep(pause)
    return await call.parts.store.get(Activation, id)
