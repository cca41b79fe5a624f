"""What the variables of OpenWhisk's deployments of 2017 are called since (spec: kubernetes.md §2.1, §4).

A property `a.b.c` was the variable `A_B_C`, and camelCase was not divided: `INVOKER_USERUNC`. `DB_HOST` and the like
are common names: they count where `DB_PROVIDER` or a `DB_WHISK_…` says whose they are.
"""

from collections.abc import Mapping

_ARGS = "whisk.container-factory.container-args"
_COUCH = "whisk.couchdb"
SUCCESSORS = {
    "INVOKER_CONTAINER_NETWORK": f"{_ARGS}.network",
    "INVOKER_CONTAINER_DNS": f"{_ARGS}.dns-servers",
    "INVOKER_USERUNC": "whisk.docker.container-factory.use-runc",
    "INVOKER_USE_RUNC": "whisk.docker.container-factory.use-runc",
    "DOCKER_REGISTRY": "whisk.container-factory.runtimes-registry.url",
    "SELF_DOCKER_ENDPOINT": "DOCKER_HOST",
    "DB_PROVIDER": f"{_COUCH}.provider",
    "DB_PROTOCOL": f"{_COUCH}.protocol",
    "DB_HOST": f"{_COUCH}.host",
    "DB_PORT": f"{_COUCH}.port",
    "DB_USERNAME": f"{_COUCH}.username",
    "DB_PASSWORD": f"{_COUCH}.password",
    "DB_WHISK_AUTHS": f"{_COUCH}.databases.WhiskAuth",
    "DB_WHISK_ACTIONS": f"{_COUCH}.databases.WhiskEntity",
    "DB_WHISK_ACTIVATIONS": f"{_COUCH}.databases.WhiskActivation",
    "DB_WHISK_ACTIONS_DDOC": "whisk.db.actions-ddoc",
    "DB_WHISK_ACTIVATIONS_DDOC": "whisk.db.activations-ddoc",
    "DB_WHISK_ACTIVATIONS_FILTER_DDOC": "whisk.db.activations-filter-ddoc",
}
HOSTS = {"KAFKA_HOST": ("KAFKA_HOST_PORT", "KAFKA_HOSTS"), "ZOOKEEPER_HOST": ("ZOOKEEPER_PORT", "ZOOKEEPER_HOSTS")}
"""A host's variable, its port's, and the one that both have become."""


def succeeded(given: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Today's key or variable → the old variable and the value as it is written today. Of hosts without a port only
    the host, which is refused where it is read."""
    found: dict[str, tuple[str, str]] = {}
    for name, key in SUCCESSORS.items():
        if value := _value(name, given):
            found[key] = name, value
    for host, (port, key) in HOSTS.items():
        if given.get(host) and not given.get(key):
            number = given.get(port, "").rpartition(":")[2]  # Kubernetes sets tcp://10.0.0.1:2181 for a service
            found[key] = host, f"{given[host]}:{number}" if number else given[host]
    return found


def _value(name: str, given: Mapping[str, str]) -> str:
    value = given.get(name, "")
    if name.startswith("DB_") and not any(other == "DB_PROVIDER" or other.startswith("DB_WHISK_") for other in given):
        return ""
    if name == "SELF_DOCKER_ENDPOINT":
        return f"tcp://{value}" if value not in ("", "localhost") else ""
    return ",".join(value.split()) if name == "INVOKER_CONTAINER_DNS" else value
