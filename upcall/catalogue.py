"""The table of settings: every setting's name, meaning, default, roles and the upstream keys that it answers to.

`docs/reference/settings.md` is generated from it. `upcall.config` reads values by it.
"""

from upcall.balancing import BALANCING_SETTINGS
from upcall.brokers import KAFKA_SETTINGS
from upcall.core.stems import parse_prewarm
from upcall.couch import KEY, parse_place, place_shown
from upcall.docker import DOCKER_SETTINGS, DRIVER
from upcall.kubernetes.settings import KUBERNETES_SETTINGS
from upcall.limits import LIMIT_SETTINGS
from upcall.masks import credentials_shown, hidden
from upcall.model.forms import (
    credentials,
    folder,
    log_level,
    megabytes,
    network,
    one_of,
    optional,
    port_number,
    switch,
    username,
)
from upcall.model.keep import parse_keep
from upcall.model.preload import parse_preload
from upcall.model.resolvers import parse_resolvers
from upcall.model.sizes import parse_duration
from upcall.pooling import POOL_SETTINGS
from upcall.recording import RECORD_SETTINGS
from upcall.roles import IDENTITY, ROLE_SETTINGS
from upcall.secured import SECURED_SETTINGS
from upcall.setting import ANSWERS, APART, RUNS, Role, Setting

ADDRESS = (
    Setting(
        "host",
        str,
        "127.0.0.1",
        "address to listen on; 0.0.0.0 opens the API to the network",
        form="ADDRESS",
        roles=("serve",),
    ),
    Setting("host", str, "0.0.0.0", "address to listen on", form="ADDRESS", roles=APART),  # noqa: S104 - the contract
    Setting("port", port_number, "3233", "port of the API; 0 takes a free one", form="PORT", roles=("serve",)),
    Setting("port", port_number, "8080", "port of HTTP; 0 takes a free one", ("PORT",), form="PORT", roles=APART),
)
"""Invokers and controllers listen where deployments expect it (spec: invoker.md §2)."""


PLACE = (
    Setting(
        "data",
        optional(folder),
        "",
        "folder of the database and keys; Invokers and controllers have one each in it  "
        "[default: $XDG_DATA_HOME/upcall]",
        form="FOLDER",
    ),
    Setting(
        "store",
        optional(parse_place),
        "",
        "database: sqlite:////FILE, postgresql://USER@HOST/NAME or couchdb://USER@HOST:PORT/PREFIX  "
        "[default: upcall.db in the data folder]",
        (KEY,),
        form="URL",
        show=place_shown,
    ),
)


def _operator(role: Role, upstream: str) -> tuple[Setting, Setting]:
    name, password = (
        (f"whisk.{upstream}.{key}", f"whisk.credentials.{upstream}.{key}") for key in ("username", "password")
    )
    what = {"serve": "pool, and disable", "invoker": "pool, and disable", "controller": "load, and disable"}[role]
    apart = role != "serve"
    made = "" if apart else "  [default: made at first start, in the data folder's .operator]"
    return (
        Setting(
            "operator.username",
            username,
            f"{upstream}.user" if apart else "operator",
            f"who may ask for the {what}",
            name,
            roles=(role,),
        ),
        Setting(
            "operator.password",
            optional(str),
            f"{upstream}.pass" if apart else "",
            f"the operator's password{made}",
            password,
            roles=(role,),
            show=hidden,
        ),
    )


OPERATOR = (*_operator("serve", "invoker"), *_operator("invoker", "invoker"), *_operator("controller", "controller"))

SETTINGS: tuple[Setting, ...] = (
    *ADDRESS,
    *IDENTITY,
    *PLACE,
    Setting(
        "memory",
        optional(megabytes),
        "",
        "memory that running actions may take together, as in 4 GB  [default: 75 % of the RAM]",
        ("whisk.container-pool.user-memory",),
        form="SIZE",
        roles=RUNS,
    ),
    *DRIVER,
    Setting(
        "auth",
        optional(credentials),
        "",
        "UUID:KEY of the guest subject  [default: made at first start]",
        form="UUID:KEY",
        roles=("serve",),
        show=credentials_shown,
    ),
    Setting(
        "auth",
        optional(credentials),
        "",
        "UUID:KEY of a guest subject, which is made where it is missing  [default: none is made]",
        form="UUID:KEY",
        roles=("controller",),
        show=credentials_shown,
    ),
    Setting(
        "isolation",
        one_of("full", "none"),
        "full",
        "full: the kernel keeps actions apart; none: only for code that you trust as your own",
        form="full|none",
        roles=RUNS,
    ),
    Setting(
        "action-network",
        optional(one_of("none", "private", "host")),
        "",
        "what actions reach: the API alone, other networks but not this host, or all  "
        "[default: private if it can be had]",
        form="none|private|host",
        roles=RUNS,
    ),
    Setting(
        "action-network-range",
        optional(network),
        "",
        "IPv4 addresses of private networks  [default: any free]",
        roles=RUNS,
    ),
    Setting(
        "dns",
        parse_resolvers,
        "",
        "DNS resolvers that answer actions, with commas between them  [default: the host's]",
        ("whisk.container-factory.container-args.dns-servers",),
        form="ADDRESSES",
        roles=RUNS,
    ),
    Setting(
        "prewarm",
        parse_prewarm,
        "",
        "containers kept ready, as in nodejs:20=2 or python:3=1/512m; none: no  [default: one of Node.js]",
        form="KIND=COUNT",
        roles=RUNS,
    ),
    Setting(
        "preload",
        parse_preload,
        "",
        "Python modules loaded once for all sandboxes, besides the common ones, as in numpy,yaml; none,yaml: instead",
        form="MODULES",
        roles=RUNS,
    ),
    Setting("grace", parse_duration, "30 s", "how long running actions may take to end when stopping", form="TIME"),
    Setting(
        "durability",
        one_of("normal", "full"),
        "normal",
        "what records survive: normal: any crash of the platform; full: loss of power too",
        form="normal|full",
    ),
    Setting(
        "keep",
        optional(parse_keep),
        "",
        "how long activation records are kept: by age, by size of the database, or both; forever: all of them  "
        "[default: 30d,10GB; in CouchDB forever]",
        form="AGE,SIZE",
        roles=ANSWERS,
    ),
    Setting(
        "tls",
        one_of("off", "self-signed"),
        "off",
        "self-signed: https, with a certificate made in the data folder",
        form="off|self-signed",
    ),
    Setting(
        "tls-cert",
        optional(folder),
        "",
        "https, with this certificate (PEM, the chain after it)",
        form="FILE",
    ),
    Setting("tls-key", optional(folder), "", "private key (PEM) of --tls-cert", form="FILE"),
    Setting(
        "log.level",
        log_level,
        "info",
        "least level that is logged: debug, info, warning or error",
        ("logback.log.level",),
        form="LEVEL",
    ),
    Setting(
        "log.format",
        one_of("console", "json"),
        "console",
        "form of the platform's log lines: console or json",
        form="console|json",
    ),
    Setting(
        "metrics",
        switch,
        "on",
        "GET /metrics, in Prometheus' form and for anybody who reaches the port: on or off",
        ("whisk.metrics.prometheus-enabled",),
    ),
    Setting(
        "metrics-tags",
        switch,
        "on",
        "labels of OpenWhisk's metrics (namespace, action, state); off: the state is part of the name",
        ("whisk.metrics.kamon-tags-enabled", "METRICS_KAMON_TAGS"),
    ),
    *OPERATOR,
    *POOL_SETTINGS,
    Setting(
        "bus",
        one_of("memory", "kafka"),
        "memory",
        "what carries activations: memory (of this process) or kafka (the brokers of --kafka-hosts)",
        form="memory|kafka",
        roles=("serve",),
    ),
    *DOCKER_SETTINGS,
    *KUBERNETES_SETTINGS,
    *KAFKA_SETTINGS,
    *ROLE_SETTINGS,
    *LIMIT_SETTINGS,
    *BALANCING_SETTINGS,
    Setting(
        "transactions-header",
        str,
        "X-Request-ID",
        "header with the transaction's id",
        ("whisk.transactions.header",),
    ),
    *RECORD_SETTINGS,
    *SECURED_SETTINGS,
)


VARIABLES = frozenset(key for setting in SETTINGS for key in setting.upstream if key.isupper())
"""Upstream's that are no keys."""


def settings_of(role: Role) -> list[Setting]:
    return [setting for setting in SETTINGS if role in setting.roles]
