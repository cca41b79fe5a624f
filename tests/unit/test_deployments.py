"""What an Invoker is told by the environments that OpenWhisk's deployments give it."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.system.deployments import ANSIBLE, HELM_DAEMON_SET, HELM_STATEFUL_SET, MANIFEST_OF_2017, encoded
from upcall.config import Settings, Survey, load, survey
from upcall.errors import Misconfigured
from upcall.identity import Surroundings
from upcall.model.sizes import Bounds
from upcall.model.store_url import CouchUrl
from upcall.upstream import key_of

NOWHERE = Surroundings("here")
KAFKA = {"KAFKA_HOSTS": "a:1"}
ALL = [HELM_STATEFUL_SET, HELM_DAEMON_SET, ANSIBLE, MANIFEST_OF_2017]
OWN = {"OWDEV_KAFKA_PORT", "KUBERNETES_SERVICE_HOST"}
"""Kubernetes' own."""
SPI = "org.apache.openwhisk.core"


def surveyed(environment: dict[str, str], role: Any = "invoker", **flags: str) -> Survey:
    return survey({"id": "1", **flags}, environment, None, role, NOWHERE)


def told(environment: dict[str, str], **flags: str) -> Settings:
    return load({"id": "1", **flags}, environment, None, "invoker", NOWHERE)[0]


def fates(environment: dict[str, str], **flags: str) -> dict[str, tuple[str, str]]:
    return {name: (kind, what) for name, kind, what in surveyed(environment, **flags).fates}


def test_helms_stateful_set_makes_pods_and_by_the_operators_choice_sandboxes() -> None:
    found = told(HELM_STATEFUL_SET)
    assert (found.driver, found.kubernetes.master) == ("kubernetes", "https://10.96.0.1")
    assert told({**HELM_STATEFUL_SET, "UPCALL_DRIVER": "process"}).driver == "process"


def test_who_sets_up_dockers_containers_gets_them() -> None:
    assert told(dict(KAFKA)).driver == "process"
    assert told({**KAFKA, "INVOKER_CONTAINER_NETWORK": "bridge"}).driver == "docker"
    assert told({**KAFKA, "INVOKER_CONTAINER_NETWORK": "bridge", "UPCALL_DRIVER": "auto"}).driver == "auto"
    assert load({}, {"CONFIG_whisk_docker_client_parallelRuns": "4"})[0].driver == "process", "serve's is its own"


def test_helms_daemon_set() -> None:
    found = told(HELM_DAEMON_SET)
    assert (found.port, found.driver, found.memory) == (8080, "docker", 2048)
    assert found.store == CouchUrl(
        host="owdev-couchdb.openwhisk.svc.cluster.local",
        port=5984,
        username="whisk_admin",
        password="some_passw0rd",
        subjects="test_subjects",
        entities="test_whisks",
        activations="test_activations",
    )
    assert found.brokers is not None
    assert found.brokers.hosts == "owdev-kafka-0.owdev-kafka.openwhisk.svc.cluster.local:9092"
    assert found.brokers.topics["invoker.retention.ms"] == "3600000"
    assert found.zookeeper_hosts == "owdev-zookeeper-0.owdev-zookeeper.openwhisk.svc.cluster.local:2181"
    assert found.api_host == "http://owdev-nginx.openwhisk.svc.cluster.local"
    assert found.docker.dns_search == ("openwhisk.svc.cluster.local", "svc.cluster.local")
    assert (found.docker.dns_options, found.docker.network) == (("ndots:5",), "bridge")
    assert found.docker.extra_env == ("__OW_ALLOW_CONCURRENT=false",)
    assert [address.host for address in found.dns] == ["10.96.0.10"]
    assert (found.metrics, found.metrics_tags, found.user_events, found.log_level) == (True, True, True, "info")
    assert found.runtimes is not None
    assert found.runtimes.kinds == ["nodejs:20", "python:3"]
    assert (found.limits.memory, found.limits.logs) == (Bounds(128, 512, 256), Bounds(0, 10, 10))
    assert (found.limits.payload, found.logs_store, found.https.protocol) == (1048576, "activation", "http")


def test_ansibles_docker_run() -> None:
    found = told(ANSIBLE)
    assert found.driver == "docker"
    assert found.store == CouchUrl(
        protocol="https",
        host="172.17.0.3",
        port=6984,
        username="whisk_invoker",
        password="it's $ecret",
        subjects="whisk_local_subjects",
        entities="whisk_local_whisks",
        activations="whisk_local_activations",
        designs=found.store.designs if isinstance(found.store, CouchUrl) else None,  # type: ignore[arg-type]
    )
    assert found.store.designs.filters == "whisks-filters.v2.1.0"
    assert found.store.designs.entities == "whisks.v2.1.0"
    assert found.brokers is not None
    assert (found.brokers.hosts, found.brokers.replication_factor) == ("172.17.0.1:9093,172.17.0.2:9093", 2)
    assert found.brokers.topics == {"invoker.retention.bytes": "1073741824", "invoker.retention.ms": "172800000"}
    assert found.brokers.common["security.protocol"] == "SSL"
    assert (found.tags, found.dedicated_namespaces) == ([], ["guest", "ada"])
    assert (found.operator_username, found.operator_password) == ("admin", "hidden")
    https = found.https
    assert (https.protocol, https.keystore, https.client_auth) == ("https", Path("/conf/invoker.p12"), True)
    assert (https.keystore_password, https.keystore_flavor) == ("openwhisk", "PKCS12")
    assert (found.logs_store, found.log_markers, found.log_level) == ("activation-file", True, "debug")
    assert (found.metrics_tags, found.user_events, found.api_host) == (False, False, "https://172.17.0.1")
    assert (found.limits.memory.max, found.limits.concurrency.max, found.limits.payload) == (1024, 200, 2**20)
    assert (found.docker.registry, found.docker.user_registry) == ("registry.example.org:5000", "")
    assert (found.docker.extra_env, found.docker.parallel_runs) == (("__OW_ALLOW_CONCURRENT=True",), 10)
    assert (found.dns, found.zookeeper_hosts) == ((), "172.17.0.1:2181")


def test_the_manifest_of_2017() -> None:
    found = told(MANIFEST_OF_2017)
    assert found.store == CouchUrl(
        host="couchdb.openwhisk",
        port=5984,
        username="couch_user",
        password="couch_password",
        subjects="openwhisk_kube_subjects",
        entities="openwhisk_kube_whisks",
        activations="openwhisk_kube_activations",
        designs=found.store.designs if isinstance(found.store, CouchUrl) else None,  # type: ignore[arg-type]
    )
    assert found.store.designs.entities == "whisks.v2"
    assert found.brokers is not None
    assert (found.brokers.hosts, found.zookeeper_hosts) == ("kafka.openwhisk:9092", "zookeeper.openwhisk:2181")
    assert [address.host for address in found.dns] == ["10.0.0.10", "10.0.0.11"]
    assert (found.docker.network, found.api_host) == ("bridge", "https://nginx.openwhisk")
    assert found.runtimes is not None
    java = found.runtimes.runtime("java")
    assert java is not None
    assert str(java.image) == "openwhisk/java8action:latest"
    assert found.runtimes.is_native(java.image) is False
    assert str(found.runtimes.blackboxes[0]) == "openwhisk/dockerskeleton:latest"


@pytest.mark.parametrize("environment", ALL)
def test_of_every_name_it_is_told_what_becomes_of_it(environment: dict[str, str]) -> None:
    found = fates(environment)
    missing = [name for name in environment if name not in found and name not in OWN]
    unknown = [name for name, (kind, _) in found.items() if kind == "unknown"]
    assert missing == []
    assert unknown == [name for name in environment if "_kakfa_" in name]


def test_a_fate_says_what_a_name_is_and_who_wins() -> None:
    found = fates({**ANSIBLE, "CONFIG_whisk_loadbalancer_timeoutFactor": "3", "OTHER": "x"}, memory="1 g")
    assert found["CONFIG_whisk_containerPool_userMemory"] == ("overruled", "memory, which --memory says")
    assert found["CONFIG_whisk_couchdb_databases_WhiskAuth"] == ("used", "store")
    assert found["CONFIG_whisk_containerPool_userCpus"] == ("none", "it is empty, and so as if it were not given")
    assert found["CONFIG_whisk_loadbalancer_timeoutFactor"][1] == "a setting of upcall serve and of upcall controller"
    assert found["CONFIG_whisk_kakfa_topics_invoker_segmentBytes"] == ("unknown", "whisk.kafka.topics.*")
    assert "OTHER" not in found


def test_of_other_names_nothing_is_told() -> None:
    assert surveyed({"PATH": "/bin", "UPCALL_MEMORY": "1 g", "DB_HOST": "x"}, "serve").fates == [
        ("DB_HOST", "none", "names of 2017 count for Invokers and controllers")
    ]


def test_later_sources_win() -> None:
    hocon = "whisk { container-pool.user-memory = 1 g, metrics.prometheus-enabled = false }"
    key = "whisk.container-pool.user-memory"
    layers = [
        ({"OPENWHISK_ENCODED_CONFIG": encoded(hocon)}, 1024, f"{key} (OPENWHISK_ENCODED_CONFIG)"),
        ({"OPENWHISK_CONFIG": f"{key} = 2 g"}, 2048, f"{key} (OPENWHISK_CONFIG)"),
        ({"JAVA_OPTS": f"-Xmx1g -D{key}=3g"}, 3072, f"{key} (JAVA_OPTS)"),
        ({"INVOKER_OPTS": f"'-D{key}=4 g' -Dx"}, 4096, f"{key} (INVOKER_OPTS)"),
        ({"CONFIG_whisk_containerPool_userMemory": "5g"}, 5120, key),
        ({"UPCALL_MEMORY": "6g"}, 6144, "UPCALL_MEMORY"),
    ]
    environment = dict(KAFKA)
    for layer, memory, source in layers:
        environment |= layer
        found = surveyed(environment)
        [finding] = [finding for finding in found.findings if finding.setting.name == "memory"]
        assert (finding.value, finding.found.source) == (memory, source)
    assert found.settings is not None
    assert found.settings.metrics is False


def test_a_class_that_is_refused_is_not_said_to_have_no_effect() -> None:
    spi = {"CONFIG_whisk_spi_InvokerProvider": "x.FPCInvokerReactive", "CONFIG_whisk_spi_MessagingProvider": "x.Other"}
    found = surveyed({**KAFKA, **spi})
    assert [fault.partition(":")[0] for fault in found.faults] == ["whisk.spi.InvokerProvider"]
    assert [remark.partition(":")[0] for remark in found.remarks] == ["whisk.spi.MessagingProvider"]


def test_keys_without_a_name_are_none_and_take_nothing_away() -> None:
    found = surveyed({**KAFKA, "INVOKER_OPTS": "-D -D= -D=3 -Dx"})
    assert found.settings is not None
    assert found.settings.brokers is not None, "KAFKA_HOSTS counts"


def test_the_jvms_own_options_stop_no_start() -> None:
    found = surveyed({**KAFKA, "JAVA_OPTS": "-Xmx2g -Dx='"})
    assert (found.faults, found.remarks[0]) == (
        [],
        "JAVA_OPTS: its quotes are wrong: no closing quotation; it has no effect",
    )


def test_the_apis_host_is_none_where_its_name_was_not_replaced() -> None:
    found = surveyed({**KAFKA, "WHISK_API_HOST_NAME": "$(NGINX)", "WHISK_API_HOST_PORT": "80"})
    assert found.settings is not None
    assert found.settings.api_host is None


@pytest.mark.parametrize("name", ["UPCALL_API_HOST", "UPCALL_DOCKER_REGISTRY"])
def test_users_in_addresses_are_not_quoted(name: str) -> None:
    (fault,) = surveyed({**KAFKA, name: "https://u:geheim@h"}).faults
    assert "without users" in fault
    assert "geheim" not in fault


def test_a_later_list_takes_the_place_of_the_whole_earlier_one() -> None:
    name = "whisk.container-factory.container-args.dns-servers"
    environment = {**KAFKA, "OPENWHISK_CONFIG": f'{name} = ["10.0.0.1", "10.0.0.2"]'}
    assert [address.host for address in told(environment).dns] == ["10.0.0.1", "10.0.0.2"]
    environment["CONFIG_whisk_containerFactory_containerArgs_dnsServers_0"] = "10.0.0.3"
    assert [address.host for address in told(environment).dns] == ["10.0.0.3"]


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"OPENWHISK_CONFIG": "a {\n b = = 1\n"}, "OPENWHISK_CONFIG: line 1: '{' is not closed"),
        ({"OPENWHISK_ENCODED_CONFIG": "%%%"}, "OPENWHISK_ENCODED_CONFIG: it is no text in base64"),
        ({"INVOKER_OPTS": "-Da='b"}, "INVOKER_OPTS: its quotes are wrong"),
        ({"DB_PROVIDER": "CouchDB", "DB_HOST": "c", "DB_PASSWORD": "hush"}, "no whisk.couchdb.username"),
        ({"CONFIG_whisk_couchdb_host": "c"}, r"no whisk.couchdb.databases.WhiskAuth \(CONFIG_whisk_couchdb_databases"),
        ({"KAFKA_HOSTS": "", "KAFKA_HOST": "kafka"}, r"KAFKA_HOSTS \(KAFKA_HOST\): 'kafka' is no broker"),
        ({"CONFIG_whisk_parameterStorage_aes-128": "hush!"}, "it is no base64 text of a key"),
        ({"CONFIG_whisk_parameterStorage_aes-256": "AAAA"}, "a key of aes-256 has 32 bytes, this one has 3"),
        ({"INVOKER_OPTS": f"-Dwhisk.spi.InvokerProvider={SPI}.invoker.FPCInvokerReactive"}, "function-pulling"),
        ({"OPENWHISK_CONFIG": "whisk.etcd.hosts = e"}, "whisk.etcd.hosts: etcd is for OpenWhisk's function-pulling"),
        ({"CONFIG_whisk_spi_InvokerServerProvider": f"{SPI}.invoker.FPCInvokerServer"}, "function-pulling"),
        ({"CONFIG_whisk_spi_ArtifactStoreProvider": f"{SPI}.database.memory.MemoryArtifactStoreProvider"}, "--store"),
        (
            {"CONFIG_whisk_spi_ActivationStoreProvider": f"{SPI}.database.elasticsearch.ElasticSearchActivationStore"},
            "activation records are kept in CouchDB, PostgreSQL or SQLite here",
        ),
        ({"CONFIG_whisk_spi_LogStoreProvider": "x.YLogStore"}, "'x.YLogStore' is none of: activation"),
    ],
)
def test_what_cannot_be_is_refused_with_its_cause(environment: dict[str, str], says: str) -> None:
    with pytest.raises(Misconfigured, match=says) as caught:
        told({**KAFKA, **environment})
    assert "hush" not in str(caught.value)


def test_a_store_of_the_operators_own_wins_over_couchdb_and_over_its_class() -> None:
    environment = {
        **KAFKA,
        "CONFIG_whisk_couchdb_host": "c",
        "CONFIG_whisk_spi_ArtifactStoreProvider": f"{SPI}.database.mongodb.MongoDBArtifactStoreProvider",
    }
    found = surveyed(environment, store="sqlite:////x.db")
    assert found.faults == []
    assert [remark for remark in found.remarks if "MongoDB" in remark]


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        (
            {"CONFIG_whisk_containerPool_userMemory": "$(SIZE)"},
            r"CONFIG_whisk_containerPool_userMemory has no effect: $(S",
        ),
        ({"CONFIG_whisk_containerPool_userMemory": "$SIZE"}, "it names the variable SIZE, which there is not"),
        ({"CONFIG_whisk_containerPool_userMemry": "1 g"}, "no effect; whisk.container-pool.user-memory is"),
        ({"INVOKER_OPTS": "-Dwhisk.containerpool.user-memory=1g"}, "(INVOKER_OPTS) is not known and has no effect"),
        ({"CONFIG_whisk_spi_MessagingProvider": "x.LeanMessagingProvider"}, "this invoker does the part of Kafka"),
    ],
)
def test_what_has_no_effect_is_remarked(environment: dict[str, str], says: str) -> None:
    found = surveyed({**KAFKA, **environment})
    assert found.faults == []
    assert [remark for remark in found.remarks if says in remark]


def test_what_a_variable_names_is_taken() -> None:
    environment = {**KAFKA, "CONFIG_whisk_containerPool_userMemory": "$(SIZE)", "SIZE": "3 g"}
    assert told(environment).memory == 3072
    assert told({**environment, "CONFIG_whisk_containerPool_userMemory": '"${SIZE}"'}).memory == 3072


def test_names_of_2017_are_nothing_to_a_platform_that_is_alone() -> None:
    found = surveyed({"DB_PROVIDER": "x", "DB_HOST": "c", "KAFKA_HOST": "k"}, "serve")
    assert (found.faults, found.settings is not None and found.settings.store) == ([], None)


@pytest.mark.parametrize(
    ("name", "store"),
    [
        ("logging.DockerToActivationLogStoreProvider", "activation"),
        ("logging.DockerToActivationFileLogStoreProvider", "activation-file"),
        ("logging.LogDriverLogStoreProvider", "driver"),
        ("logging.SplunkLogStoreProvider", "driver"),
        ("logging.ElasticSearchLogStoreProvider", "activation-file"),
    ],
)
def test_log_stores_are_known_by_their_last_name(name: str, store: str) -> None:
    assert told({**KAFKA, "CONFIG_whisk_spi_LogStoreProvider": f"{SPI}.containerpool.{name}"}).logs_store == store


def test_old_switch_of_results_counts_where_no_level_is_given() -> None:
    environment = {**KAFKA, "CONFIG_whisk_activation_disableStoreResult": "true"}
    assert told(environment).store_level_blocking == "STORE_FAILURES"
    environment["CONFIG_whisk_activation_storeBlockingResultLevel"] = "STORE_ALWAYS"
    assert told(environment).store_level_blocking == "STORE_ALWAYS"


def test_keys_of_parameters_are_taken_by_their_algorithm() -> None:
    key = "AAAAAAAAAAAAAAAAAAAAAA=="
    assert told({**KAFKA, "CONFIG_whisk_parameterStorage_aes-128": key}).parameter_keys == {"aes-128": key}


def test_the_guide_tells_the_fate_of_every_name_that_deployments_give() -> None:
    page = (Path(__file__).parents[2] / "docs" / "migration.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    named = {key_of(name) or name for environment in ALL for name in environment} - OWN
    missing = [
        name for name in named if "kakfa" not in name and not any(re.fullmatch(_open(row), name) for row in rows)
    ]
    assert missing == []


def _open(row: str) -> str:
    """A row that ends with `.*` is for all below it, any is for the elements of its list."""
    return re.escape(row).replace(r"\.\*", r"\..+") + r"(\.\d+)?"


def test_https_without_a_certificate_is_a_fault_of_the_settings() -> None:
    environment = {**KAFKA, "CONFIG_whisk_invoker_protocol": "https"}
    (fault,) = surveyed(environment).faults
    assert fault.startswith("https needs a certificate: name a keystore")
    assert surveyed({**environment, "UPCALL_TLS": "self-signed"}).faults == []
    assert surveyed({**environment, "CONFIG_whisk_invoker_https_keystorePath": "/conf/a.p12"}).faults == []
