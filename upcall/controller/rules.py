"""Rules over REST: create and update, read, delete, list, set the status (spec: triggers-rules.md §4).

The state of a rule is in its trigger's document, which is written first; where two write to one trigger at a time the
later one tries again.
"""

import msgspec

from upcall.controller import documents
from upcall.controller.call import Call, ok, query_boolean, query_page
from upcall.core.rights import check_right
from upcall.core.rules import check_rule, create_rule, read_rule, read_state, update_rule
from upcall.core.triggers import ACTIVE, INACTIVE, links, with_rule
from upcall.errors import BadRequest, Conflict, NotFound
from upcall.http.body import read_json
from upcall.http.envelope import CORS, TEXT, Answer
from upcall.model import texts
from upcall.model.documents import KeyValue
from upcall.model.entities import Action, Rule, RuleLink, Trigger
from upcall.model.names import FullyQualifiedName
from upcall.ports import Query

COLLECTION = "rules"
TRIES = 10
DONE: Answer = 200, TEXT + CORS, b"OK"


class RuleSummary(msgspec.Struct):
    """A rule in a list: exactly these members (spec: entities.md §9)."""

    namespace: str
    name: str
    version: str
    publish: bool
    annotations: list[KeyValue]
    trigger: FullyQualifiedName
    action: FullyQualifiedName
    updated: int


class RuleView(RuleSummary):
    """A rule as REST shows it."""

    status: str


async def put_rule(call: Call) -> Answer:
    check_right(call.identity, "PUT", call.namespace, call.path["name"])
    parts, overwrite = call.parts, query_boolean(call.request, "overwrite")
    put = read_rule(await read_json(call.request), call.namespace)
    check_rule(put, parts.limits, call.identity)
    if put.trigger is not None:
        check_right(call.identity, "READ", put.trigger.path, put.trigger.name)
    if put.action is not None:
        await _check_action(call, put.action)
    try:
        old, rev = await documents.read(call, Rule, _id(call))
    except NotFound:
        rule, status = create_rule(put, call.namespace, call.path["name"], now=parts.now()), ACTIVE
        await _check_parts(call, rule)
        await _link(call, rule.trigger, RuleLink(rule.action, status))
        await documents.write(call, rule, None)
        return ok(_view(rule, status))
    if not overwrite:
        raise Conflict(texts.EXISTS)
    rule, status = update_rule(old, put, now=parts.now()), await _status(call, old)
    await _check_parts(call, rule)
    if rule.trigger != old.trigger:
        await _unlink(call, old)
    await _link(call, rule.trigger, RuleLink(rule.action, status))
    await documents.write(call, rule, rev)
    return ok(_view(rule, status))


async def get_rule(call: Call) -> Answer:
    check_right(call.identity, "READ", call.namespace, call.path["name"])
    rule, _ = await documents.read(call, Rule, _id(call))
    return ok(_view(rule, await _status(call, rule)))


async def delete_rule(call: Call) -> Answer:
    check_right(call.identity, "DELETE", call.namespace, call.path["name"])
    rule, rev = await documents.read(call, Rule, _id(call))
    await _unlink(call, rule)
    await documents.delete(call, rule, rev)
    return ok(_view(rule, INACTIVE))


async def list_rules(call: Call) -> Answer:
    check_right(call.identity, "READ", call.namespace)
    page = query_page(call.request, COLLECTION, call.parts.limits)
    query = Query(namespace=call.namespace, skip=page.skip, limit=page.limit)
    if page.count:
        return ok({COLLECTION: await call.parts.store.count(Rule, query)})
    return ok([_summary(rule) for rule in await call.parts.store.list(Rule, query)])


async def set_status(call: Call) -> Answer:
    check_right(call.identity, "ACTIVATE", call.namespace, call.path["name"])
    state = read_state(await read_json(call.request))
    rule, _ = await documents.read(call, Rule, _id(call))
    if await _status(call, rule) == state:
        return DONE
    try:
        await _link(call, rule.trigger, RuleLink(rule.action, state))
    except NotFound:
        if state == ACTIVE:
            raise NotFound(texts.TRIGGER_GONE) from None
    return DONE


async def _check_action(call: Call, action: FullyQualifiedName) -> None:
    """May the caller read it? Raises Forbidden, and BadRequest where there is no such package."""
    if "/" not in action.path:
        check_right(call.identity, "READ", action.path, action.name)
        return
    try:
        await call.parts.resolver.chain(call.identity, action.path)
    except (NotFound, Conflict):
        raise BadRequest(texts.part_missing("action", action.id)) from None


async def _check_parts(call: Call, rule: Rule) -> None:
    """Raises BadRequest unless trigger and action exist."""
    try:
        await call.parts.store.get(Trigger, rule.trigger.id)
    except (NotFound, Conflict):
        raise BadRequest(texts.part_missing("trigger", rule.trigger.id)) from None
    try:
        path = rule.action.path
        if "/" in path:
            path = (await call.parts.resolver.chain(call.identity, path))[-1].id
        await call.parts.store.get(Action, f"{path}/{rule.action.name}")
    except (NotFound, Conflict):
        raise BadRequest(texts.part_missing("action", rule.action.id)) from None


async def _status(call: Call, rule: Rule) -> str:
    try:
        trigger, _ = await documents.read(call, Trigger, rule.trigger.id)
    except (NotFound, Conflict):
        return INACTIVE
    link = links(trigger).get(rule.id)
    return INACTIVE if link is None else link.status


async def _link(call: Call, name: FullyQualifiedName, link: RuleLink | None) -> None:
    """Raises NotFound without the trigger, Conflict where others write to it all the time."""
    for left in reversed(range(TRIES)):
        trigger, rev = await documents.read(call, Trigger, name.id)
        try:
            await documents.write(call, with_rule(trigger, _id(call), link, now=call.parts.now()), rev)
        except Conflict:
            if not left:
                raise
        else:
            return


async def _unlink(call: Call, rule: Rule) -> None:
    """A trigger that is gone, or that another kind has taken the name of, has no rules."""
    try:
        trigger, _ = await documents.read(call, Trigger, rule.trigger.id)
        if rule.id in links(trigger):
            await _link(call, rule.trigger, None)
    except NotFound:
        pass
    except Conflict as error:
        if str(error) != texts.CONFORMANCE:
            raise


def _id(call: Call) -> str:
    return f"{call.namespace}/{call.path['name']}"


def _summary(rule: Rule) -> RuleSummary:
    return RuleSummary(
        rule.namespace, rule.name, rule.version, rule.publish, rule.annotations, rule.trigger, rule.action, rule.updated
    )


def _view(rule: Rule, status: str) -> RuleView:
    return RuleView(
        rule.namespace,
        rule.name,
        rule.version,
        rule.publish,
        rule.annotations,
        rule.trigger,
        rule.action,
        rule.updated,
        status,
    )
