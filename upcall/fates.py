"""What becomes of each name that OpenWhisk's deployments give: the setting that it is, or why it is none.

`upcall config` shows it of the names that a process was given, `docs/migration.md` of all that are known.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Literal, NamedTuple

from upcall.catalogue import SETTINGS
from upcall.couch import KEYS
from upcall.properties import HOSTS, SUCCESSORS
from upcall.providers import KNOWN, SPI
from upcall.setting import Role
from upcall.upstream import ENCODED, OPTIONS, PLAIN, Upstream, is_number, key_of, unquoted

Kind = Literal["used", "overruled", "none", "unknown"]

_SCHEDULER = "OpenWhisk's function-pulling scheduler is not worked with"
_REACHED = "an Invoker reaches pods by their addresses: it runs in the cluster's network"
_ONE_CLIENT = "there is one HTTP client, and it needs no choice"
_JVM = "it is the JVM's, or its libraries'"
_PROBES = "a probe of the platform, which asks GET /ping by itself"
_SIZES = "the setting memory says how many actions run at a time; cores × share was their number, of 256 MB each"
_IMAGES = "the manifest names prefix and tag of images"
_SERIAL = "Docker's engine is asked over one connection pool; docker.parallel-runs bounds it"
_IDS = "ids are kept in ZooKeeper or given by --id"
COUNTERPARTLESS = {
    "whisk.docker.container-factory.use-runc": "runc is not called: containers are paused by their freezer's file, "
    "or by Docker's API",
    "whisk.runc.timeouts.*": "runc is not called",
    "whisk.container-pool.akka-client": _ONE_CLIENT,
    "whisk.container-pool.pekko-client": _ONE_CLIENT,
    "whisk.container-pool.batch-deletion-size": _SCHEDULER,
    "whisk.container-proxy.timeouts.keeping-duration": _SCHEDULER,
    "whisk.container-proxy.action-health-check.*": "what becomes of a container is known when it happens",
    "whisk.container-proxy.log-activation-errors.*": "failures are in records and metrics; the log has ours",
    "whisk.kubernetes.timeouts.logs": "logs come as they are printed; nothing waits for a request",
    "whisk.kubernetes.pdb-enabled": "a pod that is drained away is replaced by the next that is needed; a budget "
    "for each would hold up the drain",
    "whisk.kubernetes.port-forwarding-enabled": _REACHED,
    "kubernetes.*": "the pod's service account, or else KUBECONFIG, says how the API is reached; kubernetes.master is "
    "its address",
    "whisk.info.*": "versions are this platform's own",
    "whisk.couchdb.provider": "CouchDB and Cloudant are spoken to alike",
    "whisk.db.max-batch": "records go in groups of what waits, up to 500",
    "whisk.db.max-inline-size": "attachments are read however they were written",
    "whisk.activation-store.*": "records wait for their store as long as it takes (store-spill)",
    "whisk.metrics.kamon-enabled": "metrics are counted always; the setting metrics shows them",
    "whisk.metrics.*": "metrics are counted always; the setting metrics shows them",
    "whisk.cluster.name": _SCHEDULER,
    "whisk.etcd.*": _SCHEDULER,
    "whisk.scheduler.*": _SCHEDULER,
    "whisk.invoker.container-creation.*": _SCHEDULER,
    "whisk.apache-client.*": _ONE_CLIENT,
    "whisk.kafka.consumer-lag-check-interval": "the queue's length is known with each message that is fetched",
    "whisk.spi.ContainerPoolProvider": "there is one pool",
    "whisk.activation.retry.*": "a record that is not there yet is looked for again",
    "kamon.*": "metrics are fetched (GET /metrics), not sent",
    "akka.*": _JVM,
    "pekko.*": _JVM,
    "logback.*": _JVM,
    "METRICS_KAMON": "metrics are counted always; the setting metrics shows them",
    "WHISK_LOGS_DIR": "the log goes to stdout",
    "WHISK_VERSION_BUILDNO": "versions are this platform's own",
    "WHISK_VERSION_DATE": "versions are this platform's own",
    "JMX_REMOTE": _JVM,
    "TZ": "times are in UTC",
    "INVOKER_NAME": "a name is given as --uniqueName (UPCALL_UNIQUE_NAME)",
    "INVOKER_NUMCORE": _SIZES,
    "INVOKER_CORESHARE": _SIZES,
    "INVOKER_SERIALIZEDOCKEROP": _SERIAL,
    "INVOKER_SERIALIZEDOCKERPULL": _SERIAL,
    "INVOKER_USEREACTIVEPOOL": "there is one pool",
    "INVOKER_CONTAINER_POLICY": "sandboxes and containers are confined by the platform's own policy",
    "INVOKER_REP_COUNT": "scripts of 2017 made INVOKER_COUNT of it, which is compared with this Invoker's number",
    "CONTROLLER_INSTANCES": "controllers tell each other how many they are, by their topic",
    "DOCKER_API_VERSION": "the version is agreed upon with the engine",
    "DOCKER_IMAGE_PREFIX": _IMAGES,
    "DOCKER_IMAGE_TAG": _IMAGES,
    "REDIS_HOST": _IDS,
    "REDIS_HOST_PORT": _IDS,
    "SERVICE_CHECK_HTTP": _PROBES,
    "SERVICE_CHECK_TIMEOUT": _PROBES,
    "SERVICE_CHECK_INTERVAL": _PROBES,
    "COMPONENT_NAME": "log lines name their process themselves",
}
"""Keys and variables that are known to have no setting here, and why; `.*` stands for all below."""
CHECKED = {
    "INVOKER_INSTANCES": "compared with this Invoker's number",
    "INVOKER_COUNT": "compared with this Invoker's number",
    "WHISK_API_HOST_PROTO": "part of api-host",
    "WHISK_API_HOST_PORT": "part of api-host",
    "KAFKA_HOST": "with its port part of kafka.hosts",
    "KAFKA_HOST_PORT": "part of kafka.hosts",
    "ZOOKEEPER_HOST": "with its port part of zookeeper.hosts",
    "ZOOKEEPER_PORT": "part of zookeeper.hosts",
    PLAIN: "each of its keys counts by itself",
    ENCODED: "each of its keys counts by itself",
    **{name: "of it -Dkey=value counts, key by key" for names in OPTIONS.values() for name in names},
}
"""Names that are read and are no setting of their own."""


_TEXTS = {PLAIN, ENCODED, *(name for names in OPTIONS.values() for name in names)}
"""Variables that have keys in them."""


class Fate(NamedTuple):
    name: str
    """As it was given: a variable, or a key of a text."""
    kind: Kind
    what: str


def fate(key: str, role: Role | None = None) -> tuple[Kind, str]:
    """Of a key or a plain variable: for a role, or for any."""
    rows = [setting for setting in SETTINGS if key in setting.upstream] or [
        setting for setting in SETTINGS if any(_fits(key, row) for row in setting.upstream)
    ]
    own = dict.fromkeys(setting.name for setting in rows if role is None or role in setting.roles)
    if own:
        return "used", " and ".join(own)
    if rows:
        return "none", f"a setting of upcall {' and of upcall '.join(rows[0].roles)}"
    if role == "serve" and (key in SUCCESSORS or key in HOSTS):
        return "none", "names of 2017 count for Invokers and controllers"
    if key in KEYS:
        return "used", "store"
    if key.removeprefix(f"{SPI}.") in KNOWN:
        return "used", "checked: what cannot be replaced here is refused"
    if key in CHECKED:
        return "used", CHECKED[key]
    if key in SUCCESSORS:
        return fate(SUCCESSORS[key], role)
    for row, why in COUNTERPARTLESS.items():
        if _fits(key, row):
            return "none", why
    return ("none", _JVM) if "." in key and not key.startswith("whisk.") else ("unknown", _near(key))


def given(upstream: Upstream, environment: Mapping[str, str], role: Role, sources: Mapping[str, str]) -> Iterator[Fate]:
    """Of each name that a process was given, in their order. `sources` say by what each setting has its value."""
    for name, key in sorted(_names(upstream, environment).items()):
        kind, what = fate(key, role)
        winner = sources.get(what, "")
        if _blank(name, environment):
            yield Fate(name, "none", "it is empty, and so as if it were not given")
        elif name in upstream.lost:
            yield Fate(name, "none", "it names what is not there")
        elif kind == "used" and winner.startswith(("--", "UPCALL_")):
            yield Fate(name, "overruled", f"{what}, which {winner} says")
        else:
            yield Fate(name, kind, what)


def _names(upstream: Upstream, environment: Mapping[str, str]) -> dict[str, str]:
    """As they were given → the key or variable that says the fate."""
    plain = {key for setting in SETTINGS for key in setting.upstream} | {*CHECKED, *COUNTERPARTLESS, *SUCCESSORS}
    found = {name: name for name in plain & {*environment}}
    found |= {name: key_of(name) for name in environment if name.startswith("CONFIG_")}
    for key, origin in upstream.origins.items():
        if origin in _TEXTS and fate(key) != ("none", _JVM):
            found[f"{key} ({origin})"] = key
    return found


def _blank(name: str, environment: Mapping[str, str]) -> bool:
    return name in environment and not unquoted(environment[name])


def near_misses(upstream: Upstream) -> list[str]:
    """Remarks about keys that are nearly one of ours."""
    told = (
        f"{origin if origin.startswith('CONFIG_') else f'{key} ({origin})'} is not known and has no effect; {what} is"
        for key, origin in sorted(upstream.origins.items())
        for kind, what in [fate(key)]
        if kind == "unknown" and what
    )
    return [*dict.fromkeys(told)]


def _fits(key: str, row: str) -> bool:
    """Also an element of a list."""
    name, _, last = key.rpartition(".")
    return key == row or (row.endswith(".*") and key.startswith(row[:-1])) or (is_number(last) and name == row)


def _near(key: str) -> str:
    """A known key that is almost the same; of open tables their beginning."""
    rows = {row for setting in SETTINGS for row in setting.upstream if row.startswith("whisk.")} | {*KEYS}
    exact = {row for row in rows if not row.endswith(".*")}
    if close := get_close_matches(key, exact, 1, 0.93):
        return close[0]
    for row in sorted(rows - exact):
        start = ".".join(key.split(".")[: row.count(".")])
        if get_close_matches(start, [row[:-2]], 1, 0.93):
            return row
    return ""
