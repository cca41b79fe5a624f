"""The whole platform in several pods: controllers, Invokers, Kafka and PostgreSQL (`--platform fleet`)."""

import msgspec

from upcall.manifests.document import Object, Remarked
from upcall.manifests.driver import DATA, needs
from upcall.manifests.invoker import GRACE, invoker, namespace
from upcall.manifests.pod import lingering, probes
from upcall.manifests.profiles import Profile
from upcall.manifests.servers import CALM, Server, objects, secret_value, user
from upcall.manifests.wanted import LONGEST, PORT, SLACK, Wanted, meta, selector

KAFKA = "apache/kafka:4.1.1"
POSTGRES = "postgres:17"
BROKER, VOTER, DATABASE = 9092, 9093, 5432
KAFKA_DATA, POSTGRES_DATA = "/var/lib/kafka/data", "/var/lib/postgresql/data"
NEW = "Put your own here, before the first start: PostgreSQL keeps what it had then. The password is there twice."


def fleet(wanted: Wanted, profile: Profile) -> list[Object]:
    need = needs(wanted, profile)
    secret = wanted.secret or wanted.of("upcall")
    inner = msgspec.structs.replace(
        wanted,
        secret=secret,
        kafka=f"{wanted.of('kafka')}.{wanted.namespace}:{BROKER}",
        api_host=f"http://{wanted.of('controller')}.{wanted.namespace}:{PORT}",
    )
    invokers = [found for found in invoker(inner, profile) if found["kind"] != "Namespace"]
    return [
        *namespace(wanted.namespace, need.admission),
        *([] if wanted.secret else [_secret(inner)]),
        *objects(inner, _postgres(inner)),
        *objects(inner, _kafka(inner)),
        *(_inside(inner, part, port) for part, port in (("postgres", "postgres"), ("kafka", "kafka"))),
        *objects(inner, _controller(inner)),
        *invokers,
    ]


def _secret(wanted: Wanted) -> Object:
    password = "upcall"  # noqa: S105 - the remark says what to do with it
    values = {
        "POSTGRES_PASSWORD": password,
        "UPCALL_STORE": f"postgresql://upcall:{password}@{wanted.of('postgres')}.{wanted.namespace}/upcall",
        "UPCALL_OPERATOR_PASSWORD": "operator",
    }
    about = meta(wanted, wanted.secret, "upcall")
    return {"apiVersion": "v1", "kind": "Secret", "metadata": about, "stringData": Remarked(values, above=NEW)}


def _inside(wanted: Wanted, part: str, port: str) -> Object:
    """Pods of the platform alone reach it."""
    ours = {key: value for key, value in selector(wanted, part).items() if not key.endswith("component")}
    ingress = [{"from": [{"podSelector": {"matchLabels": ours}}], "ports": [{"port": port}]}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": meta(wanted, wanted.of(part), part),
        "spec": {
            "podSelector": {"matchLabels": selector(wanted, part)},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    }


def _postgres(wanted: Wanted) -> Server:
    ready = {"exec": {"command": ["pg_isready", "-U", "upcall"]}, "periodSeconds": 5}
    return Server(
        part="postgres",
        ports={"postgres": DATABASE},
        folder=POSTGRES_DATA,
        scratch=("/tmp", "/var/run/postgresql"),  # noqa: S108
        pod={"automountServiceAccountToken": False, "securityContext": user(999)},
        container={
            "image": POSTGRES,
            "env": [
                {"name": "POSTGRES_USER", "value": "upcall"},
                {"name": "POSTGRES_DB", "value": "upcall"},
                {"name": "PGDATA", "value": f"{POSTGRES_DATA}/pgdata"},
                secret_value("POSTGRES_PASSWORD", wanted.secret, "POSTGRES_PASSWORD"),
            ],
            "readinessProbe": ready,
            "resources": _bounds("512Mi"),
            "securityContext": {**CALM, "readOnlyRootFilesystem": True},
        },
    )


def _kafka(wanted: Wanted) -> Server:
    name = f"{wanted.of('kafka')}.{wanted.namespace}"
    values = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{BROKER},CONTROLLER://:{VOTER}",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{name}:{BROKER}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@localhost:{VOTER}",
        "KAFKA_LOG_DIRS": f"{KAFKA_DATA}/logs",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m",
    }
    return Server(
        part="kafka",
        ports={"kafka": BROKER},
        folder=KAFKA_DATA,
        pod={"automountServiceAccountToken": False, "securityContext": user(1000)},
        container={
            "image": KAFKA,
            "env": [{"name": key, "value": value} for key, value in values.items()],
            "readinessProbe": {"tcpSocket": {"port": "kafka"}, "periodSeconds": 5},
            "resources": _bounds("1Gi"),
            "securityContext": CALM,
        },
    )


def _controller(wanted: Wanted) -> Server:
    return Server(
        part="controller",
        ports={"http": PORT},
        headless=False,
        folder="",
        scratch=(DATA, "/tmp"),  # noqa: S108
        pod={
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": LONGEST + SLACK,
            "securityContext": user(1001),
        },
        container={
            "image": wanted.full_image,
            "args": ["upcall", "controller"],
            "env": [
                {"name": "UPCALL_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "UPCALL_DRIVER", "value": wanted.driver},
                {"name": "UPCALL_GRACE", "value": f"{GRACE} s"},
                {"name": "KAFKA_HOSTS", "value": wanted.kafka},
            ],
            "envFrom": [{"secretRef": {"name": wanted.secret}}],
            **probes("http"),
            **lingering(),
            "resources": _bounds("512Mi"),
            "securityContext": {**CALM, "readOnlyRootFilesystem": True},
        },
    )


def _bounds(memory: str) -> Object:
    return {"requests": {"memory": memory, "cpu": "250m"}, "limits": {"memory": memory}}
