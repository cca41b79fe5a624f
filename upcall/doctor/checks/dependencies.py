"""What Kafka, CouchDB and others that a process needs answer (spec: kubernetes.md §10: DEP, K8S-19)."""

from collections.abc import Callable, Iterator

from upcall.doctor.facts.dependencies import SESSION, USERS, Couch, Dependencies, Reply
from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import Finding
from upcall.setting import ANSWERS

_NOT_IN, _NOT_ALLOWED, _NOT_THERE = 401, 403, 404


def away(facts: Dependencies) -> Iterator[Finding]:
    """What is named, and does not answer."""
    silent = dict(facts.others)
    if facts.kafka is not None and facts.kafka.error:
        silent[f"Kafka at {facts.kafka.hosts}"] = facts.kafka.error
    if facts.couch is not None and facts.couch.error:
        silent[f"CouchDB at {facts.couch.place}"] = facts.couch.error
    for place, why in silent.items():
        yield FAILURES["DEP-05"].found(place, why, None, {"place": place})


def unfit(facts: Dependencies) -> Iterator[Finding]:
    if facts.kafka is not None and facts.kafka.unfit:
        yield FAILURES["CFG-01"].found("the settings", facts.kafka.unfit, None, {"keys": facts.kafka.unfit.rstrip(".")})


def brokers(facts: Dependencies) -> Iterator[Finding]:
    """Those that give an address that leads nowhere from here."""
    if facts.kafka is None:
        return
    for address, why in facts.kafka.brokers.items():
        if why:
            evidence = f"asked at {facts.kafka.hosts}, a broker answers that it is at {address}: {why}"
            yield FAILURES["DEP-01"].found(f"Kafka at {facts.kafka.hosts}", evidence, None, {"broker": address})


def sizes(facts: Dependencies) -> Iterator[Finding]:
    if facts.kafka is None:
        return
    largest = facts.kafka.largest
    small = {topic: limit for topic, limit in facts.kafka.limits.items() if limit < largest}
    if small:
        limit = min(small.values())
        shown = ", ".join(f"{topic} {bytes}" for topic, bytes in list(small.items())[:5])
        evidence = f"max.message.bytes of {len(small)} topics: {shown}"
        words = {"there": limit, "wanted": f"{largest} bytes, by the settings"}
        yield FAILURES["DEP-04"].found(f"Kafka at {facts.kafka.hosts}", evidence, None, words)


def users(facts: Dependencies) -> Iterator[Finding]:
    """Who CouchDB does not let in, or not to a database."""
    couch = facts.couch
    if couch is None or couch.error:
        return
    where = f"CouchDB at {couch.place}"
    first = couch.replies["/"]
    if not first.welcome or first.status == _NOT_THERE:
        what = "what answers there is no CouchDB"
        yield FAILURES["DEP-02"].found(where, f"GET / gives {first.status}", None, {"what": what})
        return
    refused = [path for path in ("/", f"/{SESSION}", *_databases(couch)) if couch.replies[path].status == _NOT_IN]
    if refused:
        yield _refused(couch, where, refused[0])
        return
    for path in _databases(couch):
        reply = couch.replies[path]
        if reply.status == _NOT_ALLOWED:
            what = f"the user '{couch.user}' may not read the database {path[1:]}"
            yield FAILURES["DEP-02"].found(where, _said(path, reply), None, {"what": what})


def databases(facts: Dependencies) -> Iterator[Finding]:
    """Those that are not there. Who answers the API makes them at the start; an Invoker makes none."""
    couch = facts.couch
    if couch is None or couch.error or facts.role in ANSWERS or not couch.replies["/"].welcome:
        return
    where = f"CouchDB at {couch.place}"
    lacking = [path for path in _databases(couch) if couch.replies[path].status == _NOT_THERE]
    if lacking:
        what = f"there is no database {', '.join(path[1:] for path in lacking)}"
        yield FAILURES["DEP-02"].found(where, _said(lacking[0], couch.replies[lacking[0]]), None, {"what": what})
    bare = [
        path
        for path, reply in couch.replies.items()
        if "/_design/" in path and reply.status == _NOT_THERE and path.partition("/_design/")[0] not in lacking
    ]
    if bare:
        what = f"there is no design document {', '.join(path[1:] for path in bare)}"
        found = FAILURES["DEP-02"].found(where, _said(bare[0], couch.replies[bare[0]]), None, {"what": what})
        yield found.but(severity="warning")


def unfinished(facts: Dependencies) -> Iterator[Finding]:
    """A CouchDB that has not been set up."""
    couch = facts.couch
    if couch is None or couch.error or not couch.replies["/"].welcome:
        return
    reply = couch.replies[f"/{USERS}"]
    if reply.status == _NOT_THERE and couch.replies["/"].status == 200:
        yield FAILURES["DEP-03"].found(f"CouchDB at {couch.place}", _said(f"/{USERS}", reply))


def address(facts: Dependencies) -> Iterator[Finding]:
    """The API's, as actions get it."""
    for place, why in facts.api.items():
        yield FAILURES["K8S-19"].found(f"API at {place}", why, None, {"host": place})


def _refused(couch: Couch, where: str, path: str) -> Finding:
    evidence = _said(path, couch.replies[path])
    if not couch.user:
        what = "it asks each request for a user (require_valid_user), and the settings name none"
        fix = "Name a user: CONFIG_whisk_couchdb_username and …_password (of 2017: DB_USERNAME, DB_PASSWORD)."
        return FAILURES["DEP-03"].found(where, evidence, None, {"what": what}).but(fix=fix)
    what = f"the user '{couch.user}' or the password is refused"
    return FAILURES["DEP-02"].found(where, evidence, None, {"what": what})


def _databases(couch: Couch) -> list[str]:
    return [f"/{name}" for name in couch.databases]


def _said(path: str, reply: Reply) -> str:
    return f"GET {path} gives {reply.status}{reply.said and f' ({reply.said})'}"


def hairpins(facts: Dependencies) -> Iterator[Finding]:
    """A pod that does not reach itself by its own Service."""
    if facts.itself is not None and facts.itself.silent:
        evidence = f"connections from this pod to its own Service {facts.itself.service} are not answered"
        yield FAILURES["K8S-06"].found(f"Service {facts.itself.service}", evidence)


CHECKS: tuple[Callable[[Dependencies], Iterator[Finding]], ...] = (
    away, unfit, brokers, sizes, users, databases, unfinished, address, hairpins,
)  # fmt: skip
