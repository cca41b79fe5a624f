"""A real Kafka for tests: one KRaft node from Maven Central's jars, on loopback, gone with the test run.

The jars (43 MB) are fetched once by Maven into `${XDG_CACHE_HOME:-~/.cache}/upcall/kafka-VERSION`. Beside them lie a
formatted data folder and the JVM's archive of the classes that a broker loads: with both it starts for less than half,
and many do. Each broker has its own ports and data folder, and the kernel ends it when the process that started it dies
(`setpriv --pdeathsig`).
Without Java or Maven the tests are skipped with the reason; with `CI=true` that is a failure.

    pytest_plugins = ["tests.system.kafka"]         def test_…(kafka: "Broker") -> None: …
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

VERSION = "4.4.0"
LOG4J = "2.25.5"
"""Of the log4j-core that this Kafka brings; the bridge for its slf4j must be the same."""
MAVEN_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>upcall</groupId><artifactId>kafka-jars</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
<version>{LOG4J}</version></dependency></dependencies></project>"""

PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://{address}:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://{advertised}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=1
num.io.threads=2
background.threads=1
"""

CLASSES = "classes.jsa"

LOGGING = """Configuration:
  Appenders: {Console: {name: out, PatternLayout: {pattern: "%d %p %c{1} %m%n"}}}
  Loggers: {Root: {level: warn, AppenderRef: {ref: out}}}
"""


def missing() -> list[str]:
    """Programs that are not on this machine."""
    return [program for program in ("java", "mvn", "setpriv") if shutil.which(program) is None]


def required() -> None:
    """Skip where no broker can run; in CI that is a failure."""
    if lacking := missing():
        reason = f"a real Kafka needs {', '.join(lacking)}: apt-get install default-jre-headless maven util-linux"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def jars() -> Path:
    """The folder of Kafka's jars, fetched when it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "upcall"
    folder = cache / f"kafka-{VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several test processes one fetches, the others wait for it
        if not folder.exists():
            _fetch(folder)
        if not _ready(folder).exists():
            _make_ready(folder)
    return folder


def _ready(libs: Path) -> Path:
    """What a broker starts with, for the Java of this machine."""
    java = Path(shutil.which("java") or "java").resolve()
    return libs / f"ready-{java.stat().st_mtime_ns}"


def _make_ready(libs: Path) -> None:
    work = libs / f".ready-{uuid4().hex}"
    work.mkdir()
    try:
        broker = Broker(libs, work)
        shutil.copytree(work / "data", work / "formatted")
        broker.archive(work / CLASSES)
        work.rename(_ready(libs))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fetch(folder: Path) -> None:
    print(f"Fetching Kafka {VERSION} from Maven Central (43 MB, once) …", flush=True)
    begun = time.monotonic()
    work = folder.with_name(f".kafka-{uuid4().hex}")
    work.mkdir()
    (work / "pom.xml").write_text(POM)
    command = [
        "mvn",
        "-q",
        "-B",
        f"{MAVEN_PLUGIN}:copy-dependencies",
        "-DincludeScope=runtime",
        "-DoutputDirectory=jars",
    ]
    try:
        done = subprocess.run(command, check=False, cwd=work, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise RuntimeError(f"Maven could not fetch Kafka {VERSION}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        (work / "jars").rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"Kafka {VERSION} is in {folder} after {time.monotonic() - begun:.0f} s.", flush=True)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Broker:
    """One node; `start` after `kill` goes on with the same data and port. It listens at an address of this host's, and
    says that it is there, or elsewhere (`advertised`)."""

    def __init__(self, libs: Path, folder: Path, address: str = "127.0.0.1", advertised: str = "") -> None:
        self.port, controller = free_ports(2)
        self.address = address
        self.bootstrap = f"{address}:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._properties = folder / "server.properties"
        ours = {"address": address, "port": self.port, "controller": controller, "folder": folder}
        ours["advertised"] = advertised or self.bootstrap
        self._properties.write_text(PROPERTIES.format(**ours))
        (folder / "log4j2.yaml").write_text(LOGGING)
        # C1 alone, serial GC: a test broker starts sooner and takes less memory
        self._java = ["java", "-Xmx384m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
        self._java += [f"-Dlog4j2.configurationFile={folder}/log4j2.yaml", "-cp", f"{libs}/*"]
        if (ready := _ready(libs)).exists():
            self._java.append(f"-XX:SharedArchiveFile={ready / CLASSES}")
            shutil.copytree(ready / "formatted", folder / "data")
        else:
            self._format()

    def _format(self) -> None:
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", "upcall-test-cluster-00"]
        subprocess.run([*self._java, *tool, "-c", str(self._properties)], check=True, capture_output=True, timeout=60)

    def archive(self, classes: Path) -> None:
        """Start and end; the JVM leaves the classes that it has loaded."""
        self._java.append(f"-XX:ArchiveClassesAtExit={classes}")
        self.start()
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(60)
        finally:
            self.kill()
        if not classes.exists():
            raise RuntimeError(f"Java has made no archive of classes:\n{(self._folder / 'log').read_text()[-3000:]}")

    def start(self) -> None:
        """Returns when it takes connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._java, "kafka.Kafka", str(self._properties)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = (self._folder / "log").read_text(errors="replace")
                self.kill()
                raise RuntimeError(f"Kafka did not start:\n{text[-3000:]}")
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, as a machine's supervisor or the OOM killer would; nothing if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections and answers nothing, until `thaw`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.5)
            return probe.connect_ex((self.address, self.port)) == 0


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running broker, the same for all tests of this process: each takes topics of its own."""
    required()
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        libs = jars()
    broker = Broker(libs, tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.kill()
