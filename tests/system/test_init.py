"""/init.sh, as deployments of OpenWhisk start an Invoker (spec: invoker.md §2, kubernetes.md §2, §5.1), on a real Kafka
and a real ZooKeeper; the image that has it is tried in `tests/docker/test_invoker_image.py`."""

import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from tests.system.fleet.member import READY
from tests.system.test_invoker_process import World, world
from tests.system.zookeeper import Keeper, keeper, server
from upcall.controller import certificate

if TYPE_CHECKING:
    from tests.system.kafka import Broker

pytest_plugins = ["tests.system.kafka"]
__all__ = ["keeper", "server", "world"]

INIT = Path(__file__).parents[2] / "deploy" / "images" / "invoker" / "init.sh"
PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
HTTPS = "CONFIG_whisk_invoker_https"


def run(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """One that does not start."""
    return subprocess.run(
        ["/bin/bash", "-c", command],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": PATH, "HOME": "/nonexistent", "INIT": str(INIT), **variables},
    )


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("$INIT", "2 settings are wrong or missing:"),
        ("$INIT 0", "an Invoker needs brokers"),
        ("COMPONENT_NAME=0 $INIT $(echo invoker-0 | cut -d- -f2)", "an Invoker needs brokers"),
        ("$INIT --id 0", "an Invoker needs brokers"),
        ("$INIT --uniqueName node-1 --displayedName d", "--uniqueName node-1 without --id: ZooKeeper keeps its number"),
        (
            "KAFKA_HOSTS=a:1 ZOOKEEPER_HOSTS=127.0.0.1:1 $INIT --uniqueName n",
            "was not reached in 5 s (connection refused)",
        ),
        ("$INIT owdev", "Got unexpected extra argument (owdev)"),
        ("$INIT --nonsense", "No such option"),
        (". $DNS && $INIT --id 0", "PORT: 'told by configureDNS.sh' is no port"),
    ],
)
def test_what_it_is_called_with_arrives(command: str, says: str, tmp_path: Path) -> None:
    script = tmp_path / "configureDNS.sh"
    script.write_text("export PORT='told by configureDNS.sh'\n")
    done = run(command, DNS=str(script))
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


class Started:
    """`/bin/bash -c COMMAND`, which becomes an Invoker; its `/ping` answers."""

    def __init__(self, command: str, variables: Mapping[str, str], output: Path) -> None:
        self.output = output
        self.variables = {"PORT": "0", **variables}
        with output.open("ab") as log:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", command],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PATH": PATH, "INIT": str(INIT), **self.variables},
            )
        deadline = time.monotonic() + 90
        while not (match := READY.search(text := output.read_text())):
            assert self.process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.02)
        self.port = int(match[1])

    @property
    def said(self) -> str:
        return self.output.read_text()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


@pytest.fixture
def started(world: World, keeper: Keeper) -> Iterator[Any]:
    made: list[Started] = []

    def start(command: str, **variables: str) -> Started:
        settings = {
            **world.settings,
            "ZOOKEEPER_HOSTS": keeper.hosts,
            "UPCALL_MEMORY": "256 MB",
            "UPCALL_PREWARM": "none",
        }
        made.append(Started(command, {**settings, **variables}, world.folder / f"init{len(made)}.log"))
        return made[-1]

    yield start
    for each in made:
        each.process.kill()
        each.process.wait()


def pings(kafka: "Broker", prefix: str) -> dict[str, dict[str, Any]]:
    """By names, what is told in the topic of pings."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "pings", "auto.offset.reset": "earliest"})
    found: dict[str, dict[str, Any]] = {}
    try:
        consumer.assign([TopicPartition(f"{prefix}health", 0, 0)])
        while message := consumer.poll(3):
            assert message.error() is None, message.error()
            ping = json.loads(message.value() or b"")
            found[ping["name"]["uniqueName"]] = ping["name"]
            if len(found) == 2:
                break
    finally:
        consumer.close()
    return found


def test_names_get_their_numbers_and_keep_them(started: Any, world: World, kafka: "Broker", keeper: Keeper) -> None:
    """As the Helm chart starts them: by the name alone, in bash, which becomes the Invoker and gets its signals."""
    first = started(
        "$INIT --uniqueName $INVOKER_NAME", INVOKER_NAME="owdev-invoker-7", XDG_DATA_HOME=f"{world.folder}/a"
    )
    second = started("$INIT --uniqueName node-b --displayedName 10.0.3.7", XDG_DATA_HOME=f"{world.folder}/b")
    assert "invoker0/owdev-invoker-7 is ready" in first.said
    assert "invoker1/node-b/10.0.3.7 is ready" in second.said
    told = pings(kafka, world.prefix)
    assert {name: ping["instance"] for name, ping in told.items()} == {"owdev-invoker-7": 0, "node-b": 1}
    assert told["node-b"]["displayedName"] == "10.0.3.7"
    assert (first.stop(), second.stop()) == (0, 0)
    again = started(
        "$INIT --uniqueName $INVOKER_NAME", INVOKER_NAME="node-b", XDG_DATA_HOME=f"{world.folder}/c", INVOKER_COUNT="1"
    )
    assert "invoker1/node-b is ready" in again.said
    assert "this is Invoker 1, but INVOKER_COUNT=1 says they are 0 to 0" in again.said
    taken = started("$INIT --uniqueName node-c --overwriteId 0", XDG_DATA_HOME=f"{world.folder}/d")
    assert "invoker0/node-c is ready" in taken.said
    with keeper.client() as client:
        assert sorted(client.get_children("/invokers/idAssignment/mapping")) == ["node-b", "node-c"]


def test_its_port_speaks_https_by_a_keystore(started: Any, tmp_path: Path) -> None:
    """As Ansible's variables say it."""
    pem = certificate.make(["localhost"], datetime.now(UTC))
    key, cert = load_pem_private_key(pem, None), x509.load_pem_x509_certificate(pem)
    store = tmp_path / "keystore.p12"
    hidden = BestAvailableEncryption(b"secret")
    store.write_bytes(serialize_key_and_certificates(b"x", key, cert, None, hidden))  # type: ignore[arg-type]
    variables = {
        "CONFIG_whisk_invoker_protocol": "https",
        f"{HTTPS}_keystorePath": str(store),
        f"{HTTPS}_keystorePassword": "secret",
        f"{HTTPS}_keystoreFlavor": "PKCS12",
        f"{HTTPS}_clientAuth": "false",
    }
    invoker = started("$INIT --id 0", **variables)
    assert f"ready at https://127.0.0.1:{invoker.port}" in invoker.said
    trust = ssl.create_default_context(cadata=certificate.public_part(pem).decode())
    connection = http.client.HTTPSConnection("localhost", invoker.port, timeout=20, context=trust)
    connection.request("GET", "/ping")
    assert connection.getresponse().read() == b"pong"
    connection.close()
    invoker.stop()
    wrong = run("$INIT --id 0", **{**invoker.variables, f"{HTTPS}_keystorePassword": "wrong"})
    assert wrong.returncode == 1
    assert wrong.stderr.splitlines()[-1] == (
        f"upcall: the keystore {store} cannot be opened: its password is wrong, or it is no PKCS12 file"
    )
    bare = run("$INIT --id 0", **{**invoker.variables, f"{HTTPS}_keystorePath": ""})
    assert (bare.returncode, "https needs a certificate: name a keystore" in bare.stderr) == (1, True)


def test_its_port_speaks_https_by_a_certificate_that_is_made(started: Any, world: World) -> None:
    invoker = started("$INIT --id 0 --tls self-signed")
    trust = ssl.create_default_context(cafile=world.folder / "upcall" / "invoker0" / "tls.crt")
    connection = http.client.HTTPSConnection("127.0.0.1", invoker.port, timeout=20, context=trust)
    connection.request("GET", "/ping")
    assert connection.getresponse().read() == b"pong"
    connection.close()
