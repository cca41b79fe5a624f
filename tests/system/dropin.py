"""A deployment of OpenWhisk with one Invoker taken away, as its other parts have left it: brokers, CouchDB and
ZooKeeper with what a controller and two Invokers have written to them (spec: bus.md §2, store.md §2–§7,
invoker.md §4)."""

import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.system.deployments import HELM_DAEMON_SET
from tests.system.openwhisk import Databases, action, memory, pointer
from upcall.model.store_url import CouchUrl
from upcall.store.couch import CouchStore
from upcall.testing.conformance.world import Action
from upcall.zookeeper import COUNTER, MAPPING

if TYPE_CHECKING:
    from tests.system.kafka import Broker
    from tests.system.zookeeper import Keeper

Json = dict[str, Any]

TEXT = "text/plain; charset=UTF-8"
GREET = "def main(args):\n    print('héllo')\n    return {'greeting': 'Grüße, ' + args.get('name', 'you')}\n"
ECHO = "def main(args):\n    return args\n"
NODE = "function main(args) { return {node: args.n}; }"
SLOW = "import time\ndef main(args):\n    time.sleep(args['seconds'])\n    return {'slept': True}\n"
LIMITS = {"timeout": 60000, "memory": 256, "logs": 10, "concurrency": 1}
NODE_NAME, OTHER_NAME = HELM_DAEMON_SET["INVOKER_NAME"], "worker-b.example.org"


class Deployment:
    """`number` is the one that ZooKeeper has for the Invoker's name, `topic` the one with its activations."""

    number = 1

    def __init__(self, kafka: "Broker", url: CouchUrl, keeper: "Keeper") -> None:
        self.kafka, self.keeper = kafka, keeper
        self.prefix = f"d{uuid4().hex[:8]}-"
        self.topic = f"{self.prefix}invoker{self.number}"
        self.databases = Databases(url).make()
        self.actions: dict[str, Action] = {}

    async def fill(self) -> None:
        """What is there before the Invoker is."""
        async with CouchStore(self.databases.url):
            """The design documents, which the deployment's own scripts have written."""
        self._documents()
        with self.keeper.client() as client:
            client.ensure_path(MAPPING)
            client.create(f"{MAPPING}/{OTHER_NAME}", b"\x00")
            client.create(f"{MAPPING}/{NODE_NAME}", b"\x01")
            client.create(COUNTER, (2).to_bytes(4, "big"))
        names = [f"{self.prefix}{name}" for name in ("health", "completed0", "events")]
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 0})
        for each in admin.create_topics([NewTopic(name, 1, 1) for name in (self.topic, *names)]).values():
            each.result(20)

    def _documents(self) -> None:
        guest = {"name": "guest", "uuid": str(uuid4()), "key": "g" * 64}
        mallory = {"name": "mallory", "uuid": str(uuid4()), "key": "m" * 64}
        self.databases.subject({"_id": "guest", "subject": "guest", "namespaces": [guest]})
        self.databases.subject({"_id": "mallory", "subject": "mallory", "namespaces": [mallory], "blocked": True})
        self.databases.subject({"_id": "stopped/limits", "concurrentInvocations": 0})
        python: Json = {"kind": "python:3", "binary": False}
        self._action("guest/utils/greet", {**python, "code": memory(GREET.encode())}, "", b"")
        name = str(uuid4())
        code = ("# long\n" * 4000 + GREET).encode()
        self._action("guest/held", {**python, "code": pointer(f"couch:{name}", code, TEXT)}, name, code)
        node = {"kind": "nodejs:20", "binary": False}
        old = {"attachmentName": "codefile", "attachmentType": "text/plain"}
        self._action("guest/old", {**node, "code": old}, "codefile", NODE.encode())
        self._action("guest/slow", {**python, "code": memory(SLOW.encode())}, "", b"")
        self._action("whisk.system/invokerHealthTestAction0", {**python, "code": ECHO}, "", b"")

    def _action(self, id: str, exec_: Json, attachment: str, data: bytes) -> None:
        annotations = [{"key": "provide-api-key", "value": False}, {"key": "exec", "value": exec_["kind"]}]
        document = action(id, exec_, limits=LIMITS, parameters=[], annotations=annotations)
        if attachment:
            self.databases.attached(document, attachment, data, TEXT)
        else:
            self.databases.entity(document)
        revision = self.databases.read(self.databases.url.entities, id)["_rev"]
        self.actions[document["name"]] = Action(document, revision)

    def environment(self) -> dict[str, str]:
        """As the chart's DaemonSet gives it; the addresses are others, and the driver."""
        url = self.databases.url
        return {
            **HELM_DAEMON_SET,
            "PORT": "0",
            "KAFKA_HOSTS": self.kafka.bootstrap,
            "ZOOKEEPER_HOSTS": self.keeper.hosts,
            "CONFIG_whisk_kafka_topics_prefix": self.prefix,
            "CONFIG_whisk_kafka_topics_userEvent_prefix": self.prefix,
            "CONFIG_whisk_couchdb_username": url.username,
            "CONFIG_whisk_couchdb_password": url.password,
            "CONFIG_whisk_couchdb_port": str(url.port),
            "CONFIG_whisk_couchdb_host": url.host,
            "CONFIG_whisk_couchdb_databases_WhiskActivation": url.activations,
            "CONFIG_whisk_couchdb_databases_WhiskEntity": url.entities,
            "CONFIG_whisk_couchdb_databases_WhiskAuth": url.subjects,
            "CONFIG_whisk_kafka_consumer_sessionTimeoutMs": "6000",
            "CONFIG_whisk_kafka_consumer_heartbeatIntervalMs": "2000",
            "UPCALL_DRIVER": "process",
            "UPCALL_ACTION_NETWORK": "none",
        }

    # --- what another Invoker of OpenWhisk's does with the same topic

    def consumer(self) -> Consumer:
        """With upstream's settings."""
        return Consumer(
            {
                "bootstrap.servers": self.kafka.bootstrap,
                "group.id": self.topic,
                "client.id": f"consumer-{self.topic}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )

    def taken(self, *values: bytes) -> None:
        """Messages that OpenWhisk's Invoker has committed, before it was taken away."""
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap, "log_level": 0})
        for value in values:
            producer.produce(self.topic, value)
        assert producer.flush(20) == 0
        consumer = self.consumer()
        consumer.commit(offsets=[TopicPartition(self.topic, 0, len(values))], asynchronous=False)
        consumer.close()

    def next(self, patience: float = 20) -> bytes | None:
        """What it gets when it starts in place of ours; None: nothing is left."""
        consumer = self.consumer()
        deadline = time.monotonic() + patience
        try:
            consumer.subscribe([self.topic])
            while time.monotonic() < deadline:
                if (message := consumer.poll(0.5)) is not None:
                    assert message.error() is None, message.error()
                    return message.value()
            return None
        finally:
            consumer.close()

    def numbers(self) -> dict[str, bytes]:
        """By name, what ZooKeeper keeps, and the counter."""
        with self.keeper.client() as client:
            names = {name: client.get(f"{MAPPING}/{name}")[0] for name in client.get_children(MAPPING)}
            return {**names, "counter": client.get(COUNTER)[0]}

    def record(self, namespace: str, id: str) -> Json:
        """As it lies in the database."""
        found: Json = self.databases.read(self.databases.url.activations, f"{namespace}/{id}")
        return found
