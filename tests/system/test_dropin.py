"""An Invoker in the place of one of OpenWhisk's: it is called as that was, and finds brokers, CouchDB and ZooKeeper as
that has left them; what it leaves is what that would find (spec: invoker.md §2, §4, bus.md §4–§9, store.md)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.dropin import NODE_NAME, OTHER_NAME, Deployment
from tests.system.kafka_world import committed
from tests.system.test_init import Started
from tests.system.zookeeper import Keeper, keeper, server
from upcall.model import texts
from upcall.testing.conformance.activation import Activation, annotations
from upcall.testing.conformance.target import Target
from upcall.testing.conformance.world import Action, World

if TYPE_CHECKING:
    from tests.system.kafka import Broker
    from tests.system.pouchdb import Server

pytest_plugins = ["tests.system.kafka", "tests.system.pouchdb"]
__all__ = ["keeper", "server"]

COMMAND = "$INIT --uniqueName $INVOKER_NAME"
INSTANCE = {
    "instance": 1,
    "userMemory": "2147483648 B",
    "instanceType": "invoker",
    "tags": [],
    "dedicatedNamespaces": [],
    "uniqueName": NODE_NAME,
}
NUMBERS = {OTHER_NAME: b"\x00", NODE_NAME: b"\x01", "counter": b"\x00\x00\x00\x02"}
RECORD = {"namespace", "name", "subject", "activationId", "start", "end", "duration", "response", "logs", "version"}
RECORD |= {"publish", "annotations"}


class Controller(World):
    """OpenWhisk's number 0, which has written its probe's action itself."""

    def __init__(self, deployment: Deployment, store: str) -> None:
        super().__init__(
            Target(
                kafka=deployment.kafka.bootstrap,
                prefix=deployment.prefix,
                store=store,
                invoker=deployment.number,
                controller="0",
            )
        )
        self._probed = deployment.actions["invokerHealthTestAction0"]
        self.wire.listen(f"{deployment.prefix}events")


@pytest.fixture
async def deployment(kafka: "Broker", pouchdb: "Server", keeper: Keeper) -> Deployment:
    made = Deployment(kafka, pouchdb.databases(), keeper)
    await made.fill()
    return made


@pytest.fixture
def controller(deployment: Deployment, pouchdb: "Server") -> Iterator[Controller]:
    made = Controller(deployment, pouchdb.url(deployment.databases.url.entities.removesuffix("whisks")))
    yield made
    made.close()


@pytest.fixture
def start(deployment: Deployment, folder: Path) -> Iterator[Any]:
    lives: list[Started] = []

    def started() -> Started:
        variables = {**deployment.environment(), "XDG_DATA_HOME": str(folder)}
        lives.append(Started(COMMAND, variables, folder / f"life{len(lives)}.log"))
        return lives[-1]

    yield started
    for each in lives:
        each.process.kill()
        each.process.wait()


def test_it_takes_over_and_gives_back(start: Any, deployment: Deployment, controller: Controller) -> None:
    over = [controller.message(deployment.actions["greet"]) for _ in range(3)]
    deployment.taken(*(json.dumps(each).encode() for each in over))
    waiting = controller.begin(deployment.actions["greet"], {"name": "Ada"})
    first = start()
    controller.up()
    assert controller.ping() == {"name": INSTANCE, "isEnabled": True}
    greeted(deployment, waiting)
    documents(deployment, controller)
    blocked(deployment, controller)
    said(deployment, controller)

    slow = controller.begin(deployment.actions["slow"], {"seconds": 600})
    controller.wait("it is started", lambda: " started 1" in committed(deployment.kafka.bootstrap, deployment.topic))
    first.process.kill()
    first.process.wait()
    second = start()
    lost = slow.ended().acks[-1].body
    assert (lost["isSystemError"], lost["response"]["response"]["statusCode"], lost["instance"]) == (True, 3, INSTANCE)
    later = controller.begin(deployment.actions["old"], {"n": 7})
    assert later.told()["response"]["result"] == {"node": 7}
    later.ended().kept()
    assert second.stop() == 0
    assert controller.ping()["isEnabled"] is False

    last = controller.message(deployment.actions["greet"])
    controller.send(last)
    found = deployment.next()
    assert found is not None
    assert json.loads(found)["activationId"] == last["activationId"], "OpenWhisk's runs nothing twice"
    assert deployment.numbers() == NUMBERS
    assert not [each for each in over if controller._acks_of(str(each["activationId"]))], "nor does ours"
    assert deployment.databases.url.password not in first.said + second.said


def greeted(deployment: Deployment, activation: Activation) -> None:
    """Acks and record, member by member."""
    activation.ended().kept()
    (result, completion), message = activation.acks, activation.message
    assert activation.shapes == ["result", "completion"]
    transid = {"transid": message["transid"]}
    assert completion.body == {
        **transid,
        "activationId": activation.id,
        "isSystemError": False,
        "instance": INSTANCE,
    }
    told = result.body["response"]
    assert (result.body, set(told), told["logs"]) == ({**transid, "response": told}, RECORD, [])
    kept = deployment.record(message["user"]["namespace"]["name"], activation.id)
    assert set(kept) == RECORD | {"_id", "_rev", "entityType", "updated"}
    assert {name: kept[name] for name in RECORD - {"logs"}} == {name: told[name] for name in RECORD - {"logs"}}
    assert (kept["entityType"], kept["version"], kept["publish"]) == ("activation", "0.0.3", False)
    assert kept["response"] == {"statusCode": 0, "result": {"greeting": "Grüße, Ada"}, "size": 25}
    (line,) = kept["logs"]
    assert line[30:] == " stdout: héllo"
    notes = annotations(kept)
    assert notes["limits"] == {"timeout": 60000, "memory": 256, "logs": 10, "concurrency": 1}
    assert (notes["path"], notes["kind"], notes["timeout"]) == ("guest/utils/greet", "python:3", False)
    assert notes["initTime"] <= kept["duration"]
    assert notes["waitTime"] <= kept["start"] - message["transid"][1], "between /init and /run may be some time"
    assert kept["duration"] == kept["end"] - kept["start"]


def documents(deployment: Deployment, controller: Controller) -> None:
    """Code in CouchDB's attachments, by both kinds of names, and an action that is gone."""
    assert controller.result(deployment.actions["held"]) == {"greeting": "Grüße, you"}
    assert controller.result(deployment.actions["old"], {"n": 5}) == {"node": 5}
    there = deployment.actions["greet"]
    gone = controller.begin(Action({**there.document, "name": "gone"}, there.revision), blocking=False).ended()
    assert (gone.shapes, gone.acks[0].body["response"]) == (["combined-id"], gone.id)
    record = gone.kept()
    assert record["response"] == {"statusCode": 1, "result": {"error": texts.ACTION_REMOVED}}
    assert annotations(record) == {"path": "guest/utils/gone", "kind": "unknown"}


def blocked(deployment: Deployment, controller: Controller) -> None:
    """By their subject, or by a limit of 0: an answer, and no record."""
    for namespace in ("mallory", "stopped"):
        greet = deployment.actions["greet"]

        def refused(namespace: str = namespace, greet: Action = greet) -> bool:
            asked = controller.begin(greet, namespace=namespace)
            answer = asked.told()["response"]
            asked.ended()
            return bool(
                answer == {"statusCode": 1, "result": {"error": texts.NAMESPACE_BLOCKED}} and not asked.recorded
            )

        controller.wait(f"{namespace} is blocked", refused)


def said(deployment: Deployment, controller: Controller) -> None:
    """The chart turns user events on."""
    events = [json.loads(each.value) for each in controller.wire.heard(f"{deployment.prefix}events")]
    (held,) = [each for each in events if each["body"]["name"] == "guest/held"]
    assert (held["source"], held["eventType"], held["namespace"]) == ("invoker1", "Activation", controller.namespace)
    assert held["body"]["initTime"] > 0
