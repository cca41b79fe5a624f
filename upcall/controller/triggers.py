"""Triggers over REST: create and update, read, delete, list, fire (spec: triggers-rules.md §1–§3).

A firing is answered when the bus has what its rules call, so that what was accepted is not lost with this process;
where that takes longer than `PATIENCE` it is answered all the same. Its record follows.
"""

import asyncio
import contextlib
import logging

import msgspec

from upcall.controller import documents
from upcall.controller.call import Call, ok, query_boolean, query_page
from upcall.core.limits import payload_limit
from upcall.core.rights import check_right
from upcall.core.triggers import (
    ACTIVE,
    arguments,
    check_trigger,
    create_trigger,
    failed,
    links,
    passed_over,
    read_trigger,
    started,
    trigger_record,
    update_trigger,
)
from upcall.errors import Conflict, Internal, NotFound, UpcallError
from upcall.http.body import read_json, read_object
from upcall.http.envelope import COMPLETED, CORS, Answer
from upcall.http.ids import ids
from upcall.http.layer import TID
from upcall.model import texts
from upcall.model.documents import KeyValue
from upcall.model.entities import RuleLink, Trigger
from upcall.ports import Query

log = logging.getLogger(__name__)

COLLECTION = "triggers"
PATIENCE = 1.0
"""Seconds."""


class TriggerSummary(msgspec.Struct):
    """A trigger in a list: exactly these members (spec: entities.md §9)."""

    namespace: str
    name: str
    version: str
    publish: bool
    annotations: list[KeyValue]
    updated: int


async def put_trigger(call: Call) -> Answer:
    name = call.path["name"]
    check_right(call.identity, "PUT", call.namespace, name)
    parts, overwrite = call.parts, query_boolean(call.request, "overwrite")
    put = read_trigger(await read_json(call.request))
    check_trigger(put, parts.limits, call.identity)
    try:
        old, rev = await documents.read(call, Trigger, _id(call))
    except NotFound:
        trigger = create_trigger(put, call.namespace, name, now=parts.now())
        await documents.write(call, trigger, None)
        return ok(trigger)
    if not overwrite:
        raise Conflict(texts.EXISTS)
    trigger = update_trigger(old, put, now=parts.now())
    await documents.write(call, trigger, rev)
    return ok(trigger)


async def get_trigger(call: Call) -> Answer:
    check_right(call.identity, "READ", call.namespace, call.path["name"])
    trigger, _ = await documents.read(call, Trigger, _id(call))
    return ok(trigger)


async def delete_trigger(call: Call) -> Answer:
    """Its rules stay, and report to be inactive."""
    check_right(call.identity, "DELETE", call.namespace, call.path["name"])
    trigger, rev = await documents.read(call, Trigger, _id(call))
    await documents.delete(call, trigger, rev)
    return ok(trigger)


async def list_triggers(call: Call) -> Answer:
    check_right(call.identity, "READ", call.namespace)
    page = query_page(call.request, COLLECTION, call.parts.limits)
    query = Query(namespace=call.namespace, skip=page.skip, limit=page.limit, whole=False)
    if page.count:
        return ok({COLLECTION: await call.parts.store.count(Trigger, query)})
    return ok([_summary(trigger) for trigger in await call.parts.store.list(Trigger, query)])


async def fire_trigger(call: Call) -> Answer:
    parts, starter = call.parts, call.parts.starter
    starter.admit_fire(call.identity)
    check_right(call.identity, "ACTIVATE", call.namespace, call.path["name"])
    payload = await read_object(call.request, payload_limit(parts.limits, call.identity.limits))
    trigger = await parts.resolver.trigger(_id(call))
    if all(link.status != ACTIVE for link in links(trigger).values()):
        return 204, CORS, b""
    now, told = parts.now(), asyncio.Event()
    id = ids.activation(now)
    starter.spawn(_fire(call, trigger, id, payload, now, told))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await told.wait()
    headers = (*COMPLETED, (b"x-openwhisk-activation-id", id.encode()))
    return 202, headers, msgspec.json.encode({"activationId": id})


async def _fire(call: Call, trigger: Trigger, id: str, payload: bytes, now: int, told: asyncio.Event) -> None:  # noqa: PLR0917
    try:
        given = arguments(trigger, dict(call.request.headers), payload)
        rules = links(trigger).items()
        lines = await asyncio.gather(*(_follow(call, rule, link, given) for rule, link in rules))
    finally:
        told.set()
    record = trigger_record(trigger, call.identity, id, payload, list(lines), now=now)
    await call.parts.starter.keep(call.identity, record)


async def _follow(call: Call, rule: str, link: RuleLink, given: bytes) -> str:
    """Call the action of one rule; the line for the log."""
    action = link.action.id
    if link.status != ACTIVE:
        return passed_over(rule, action)
    tid = call.request.scope[TID]
    try:
        id = await call.parts.starter.start(call.identity, link.action.path, link.action.name, given, tid)
    except UpcallError as error:
        return failed(rule, action, error)
    except Exception:
        log.exception("rule %s failed", rule, extra={"tid": tid})
        return failed(rule, action, Internal())
    return started(rule, action, id)


def _id(call: Call) -> str:
    return f"{call.namespace}/{call.path['name']}"


def _summary(trigger: Trigger) -> TriggerSummary:
    return TriggerSummary(
        trigger.namespace, trigger.name, trigger.version, trigger.publish, trigger.annotations, trigger.updated
    )
