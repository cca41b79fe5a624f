"""What upstream's tests and the checklist name and no check here sees, with the reason (spec: invoker.md §11, §13)."""

from typing import NamedTuple


class Elsewhere(NamedTuple):
    id: str
    spec: str
    what: str
    why: str


_FROM_OUTSIDE = "cannot be told from outside"
_INSIDE = f"{_FROM_OUTSIDE}; tests/unit has it"

ELSEWHERE: tuple[Elsewhere, ...] = tuple(
    Elsewhere(*row)
    for row in (
        (
            "docker.client",
            "invoker.md §11",
            "id syntax, pulls that collapse, parallel runs, time-outs; tests/docker has it on a real engine",
            _FROM_OUTSIDE,
        ),
        (
            "docker.files",
            "invoker.md §11",
            "address and OOM flag from config.v2.json, inspect as a fallback",
            "files of Docker's own, which ours does not read: it asks the engine and the kernel; outcomes.memory sees "
            "what the flag is for",
        ),
        (
            "docker.pause",
            "invoker.md §11",
            "pause by runc or docker",
            "by which is the Invoker's own choice; life.pause sees that the container stands still",
        ),
        (
            "docker.logs",
            "invoker.md §11",
            "logs by offset in the json-file",
            "a file of Docker's own, which ours does not read; logs.* see the lines",
        ),
        (
            "kubernetes.pods",
            "invoker.md §11",
            "pod spec, failed pods, logs, init and run; tests/kubernetes has it on a real cluster",
            _FROM_OUTSIDE,
        ),
        (
            "couchdb.documents",
            "store.md §1",
            "reads by revision, attachments mem:, couch:, bare; bulk writes; tests/couch has it request by request",
            "needs a CouchDB between the two, which this suite has not",
        ),
        (
            "couchdb.blacklist",
            "store.md §7",
            "the view blockedNamespaces; tests/couch has it",
            "needs a CouchDB between the two, which this suite has not",
        ),
        (
            "start.zookeeper",
            "invoker.md §4",
            "--uniqueName alone, --overwriteId, byte formats of the nodes",
            "needs a ZooKeeper, which this suite has not; tests/system has it on a real one",
        ),
        (
            "start.environment",
            "invoker.md §2.1",
            "INVOKER_OPTS, encoded HOCON, /init.sh; tests/unit and tests/system have it",
            "needs another environment",
        ),
        (
            "proxy.decrypt",
            "container.md §2.4",
            "values locked by aes-128 and aes-256; tests/unit has it",
            "takes the Invoker's keys",
        ),
        (
            "logs.stores",
            "logs.md §6",
            "LogStores that write files or leave logs to a driver; tests/docker and tests/system have it",
            "needs another command line",
        ),
        ("logs.failure", "logs.md §4", "a failed collection destroys the container, and is acknowledged", _INSIDE),
        ("feed.bounds", "bus.md §4", "hand-over in units, prefetch of 2 × maxPeek, when it stops to poll", _INSIDE),
        (
            "pool.selection",
            "invoker.md §11",
            "warm before warming before warmingCold; all-or-nothing of remove()",
            _INSIDE,
        ),
        ("pool.counts", "invoker.md §11", "memory accounting in every order of events; active counts", _INSIDE),
        (
            "pool.reactive",
            "container.md §6.4",
            "growth, expiry and limit per round of reactive stem cells",
            "a round comes each ten minutes; tests/unit has it",
        ),
        (
            "proxy.resume",
            "container.md §7.1",
            "a failing pause or resume: the job goes back, the container goes",
            _INSIDE,
        ),
        ("proxy.tcp-check", "container.md §7.5", "TCP checks of stem cells: off in upstream by default", "not there"),
        ("proxy.errors-logged", "container.md §7", "log-activation-errors.*: off in upstream by default", "not there"),
        (
            "rest.names",
            "bus.md §8",
            "new names in pings after a start with others; tests/conformance has it",
            "needs another command line",
        ),
        (
            "start.fenced",
            "invoker.md §12",
            "a second process with the same id ends; tests/system has it",
            "needs a second one",
        ),
        ("fpc", "invoker.md §10", "messages of the function-pulling scheduler: refused at the start", "sharding only"),
        ("markers", "metrics.md", "log markers of upstream's tests; tests/unit has it", "takes the Invoker's log"),
    )
)
