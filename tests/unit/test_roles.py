"""The settings of Invokers and controllers: what differs from `serve`, and all faults in one message."""

from pathlib import Path

import pytest

from upcall.config import Settings, load, survey
from upcall.errors import Misconfigured
from upcall.identity import Claim, Surroundings
from upcall.model.store_url import SqliteUrl
from upcall.places import default_data
from upcall.setting import Role
from upcall.store.choice import store_url

KAFKA = {"KAFKA_HOSTS": "a:9092"}
NOWHERE = Surroundings("laptop")
MANIFEST = '{"runtimes": {"python": [{"kind": "python:3", "image": {"name": "action-python"}}]}, "blackboxes": []}'


def invoker(environment: dict[str, str] | None = None, **flags: str | None) -> Settings:
    return load({"id": "3", **flags}, {**KAFKA, **(environment or {})}, None, "invoker", NOWHERE)[0]


def controller(environment: dict[str, str] | None = None, **flags: str) -> Settings:
    return load(flags, {**KAFKA, **(environment or {})}, None, "controller")[0]


def test_roles_listen_where_deployments_expect_it() -> None:
    for settings in (invoker(), controller()):
        assert (settings.host, settings.port, settings.bus) == ("0.0.0.0", 8080, "kafka")
    assert invoker({"PORT": "9000"}).port == 9000
    assert invoker({"PORT": "9000", "UPCALL_PORT": "9001"}).port == 9001
    assert load({}, {"PORT": "9000"})[0].port == 3233


def test_each_has_its_folder_in_that_of_all_and_both_have_serves_store() -> None:
    home = default_data()
    assert (invoker().role, invoker().invoker_id, invoker().folder) == ("invoker", 3, home / "invoker3")
    assert (controller().role, controller().controller_id, controller().folder) == (
        "controller",
        "0",
        home / "controller0",
    )
    assert (invoker().member, controller().member, load({}, {})[0].member) == ("invoker3", "controller0", "")
    assert controller(id="a.b-1").folder == home / "controllera.b-1"
    assert load({}, {})[0].folder == home
    assert invoker().store == controller().store == SqliteUrl(home / "upcall.db")
    moved = invoker(data="/d"), controller({"UPCALL_DATA": "/d"}), load({"data": "/d"}, {})[0]
    assert [settings.folder for settings in moved] == [Path("/d/invoker3"), Path("/d/controller0"), Path("/d")]
    assert [store_url(settings.store, settings.folder) for settings in moved] == [SqliteUrl(Path("/d/upcall.db"))] * 3
    assert invoker(data="/d", store="sqlite:////e/f.db").store == SqliteUrl(Path("/e/f.db"))


def test_the_operators_of_roles_are_upstreams() -> None:
    assert (invoker().operator_username, invoker().operator_password) == ("invoker.user", "invoker.pass")
    assert (controller().operator_username, controller().operator_password) == ("controller.user", "controller.pass")
    assert invoker({"CONFIG_whisk_invoker_password": "x"}).operator_password == "x"
    assert controller({"CONFIG_whisk_invoker_password": "x"}).operator_password == "controller.pass"
    assert controller({"CONFIG_whisk_controller_password": "y"}).operator_password == "y"
    assert load({}, {})[0].operator_password is None


@pytest.mark.parametrize("role", ["invoker", "controller"])
def test_the_well_known_password_is_warned_of(role: Role) -> None:
    remarks = load({"id": "1"}, KAFKA, None, role)[1]
    assert [f"CONFIG_whisk_{role}_password" in remark for remark in remarks] == [True]
    assert load({"id": "1"}, {**KAFKA, "UPCALL_OPERATOR_PASSWORD": "x"}, None, role)[1] == []


def test_a_role_does_not_look_at_what_it_does_not_have() -> None:
    assert controller({"UPCALL_MEMORY": "much", "UPCALL_BUS": "x"}).memory is None
    with pytest.raises(Misconfigured, match="UPCALL_MEMORY"):
        invoker({"UPCALL_MEMORY": "much"})


ZOOKEEPER = {"ZOOKEEPER_HOSTS": "a:1, [::1]:2"}


@pytest.mark.parametrize(
    ("flags", "number", "claim"),
    [
        ({"id": "3", "unique_name": "u"}, 3, None),
        ({"id": "3", "unique_name": "u", "overwrite_id": "4"}, 3, None),
        ({"id": None, "unique_name": "u"}, 0, Claim("a:1,[::1]:2", "u")),
        ({"id": None, "unique_name": "u", "overwrite_id": "4"}, 0, Claim("a:1,[::1]:2", "u", 4)),
        ({"id": None, "unique_name": " ", "id_from_hostname": "on"}, 7, None),
    ],
)
def test_the_number_is_given_or_claimed(flags: dict[str, str | None], number: int, claim: Claim | None) -> None:
    found = load(flags, {**KAFKA, **ZOOKEEPER}, None, "invoker", Surroundings("host-7"))[0]
    assert (found.invoker_id, found.claim) == (number, claim)


def test_servers_of_zookeeper_may_have_a_node_to_be_below() -> None:
    found = invoker({"ZOOKEEPER_HOSTS": "a:1,b:2/mine/ow/"}, id=None, unique_name="u")
    assert found.claim == Claim("a:1,b:2/mine/ow/", "u")


def test_an_invokers_names_and_tags() -> None:
    plain = invoker()
    assert (plain.unique_name, plain.displayed_name, plain.tags, plain.dedicated_namespaces) == (None, None, [], [])
    named = invoker(
        {"CONFIG_whisk_invoker_resource_tags": "' '", "CONFIG_whisk_invoker_dedicated_namespaces": "'a, b'"},
        unique_name="u",
        displayed_name="d",
    )
    assert (named.unique_name, named.displayed_name, named.tags) == ("u", "d", [])
    assert named.dedicated_namespaces == ["a", "b"]
    blank = invoker(unique_name=" ", displayed_name="")
    assert (blank.unique_name, blank.displayed_name) == (None, None)
    assert invoker({"UPCALL_TAGS": "' x,y '"}).tags == ["x", "y"]


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, None),
        ({"WHISK_API_HOST_NAME": "api.example.org"}, "https://api.example.org"),
        ({"WHISK_API_HOST_NAME": "a", "WHISK_API_HOST_PROTO": "http", "WHISK_API_HOST_PORT": "80"}, "http://a"),
        ({"WHISK_API_HOST_NAME": "10.0.0.1", "WHISK_API_HOST_PORT": "3233"}, "https://10.0.0.1:3233"),
        ({"UPCALL_API_HOST": "http://[::1]:80/"}, "http://[::1]"),
    ],
)
def test_the_api_that_actions_get(variables: dict[str, str], url: str | None) -> None:
    assert invoker(variables).api_host == url


@pytest.mark.parametrize("text", ["api.example.org", "ftp://a", "http://", "http://a/b", "http://a:x", "https://u@a"])
def test_an_api_is_named_by_its_url(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"UPCALL_API_HOST: .* is no URL"):
        invoker({"UPCALL_API_HOST": text})


def test_the_manifest_is_a_text_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "runtimes.json"
    file.write_text(MANIFEST)
    for text in (MANIFEST, f"@{file}", str(file)):
        found = controller({"RUNTIMES_MANIFEST": text}).runtimes
        assert found is not None
        assert list(found.runtimes) == ["python"]
    assert controller().runtimes is None
    with pytest.raises(Misconfigured, match="RUNTIMES_MANIFEST: the runtimes manifest cannot be read"):
        invoker({"RUNTIMES_MANIFEST": "{"})
    with pytest.raises(Misconfigured, match=r"RUNTIMES_MANIFEST: the file .*gone cannot be read: No such file"):
        invoker({"RUNTIMES_MANIFEST": str(tmp_path / "gone")})


def test_other_keys_of_upstreams() -> None:
    found = invoker(
        {
            "CONFIG_whisk_userEvents_enabled": "true",
            "CONFIG_whisk_kafka_topics_userEvent_prefix": "ev-",
            "CONFIG_whisk_containerPool_concurrentPeekFactor": "0.25",
            "CONFIG_whisk_blacklist_pollInterval": "2 minutes",
        }
    )
    assert found.brokers is not None
    assert (found.user_events, found.brokers.user_event_prefix, found.brokers.topics) == (True, "ev-", {})
    assert (found.concurrent_peek_factor, found.blacklist_poll_interval) == (0.25, 120)


@pytest.mark.parametrize(
    ("flags", "environment", "says"),
    [
        ({"id": "-1"}, {}, "--id: '-1' is no number of an Invoker"),
        ({"id": "10000"}, {}, "--id: 10000 is too high: Invokers are numbered 0, 1, 2, …, up to 9999"),
        ({"id": "9" * 5000}, {}, "--id: 99999999999999999999 is too high"),
        ({"id": "0", "unique_name": "x" * 254}, {}, "253 characters at most"),
        ({"overwrite_id": "x"}, {}, "--overwrite-id: 'x' is no number of an Invoker"),
        (
            {"id": None, "overwrite_id": "1"},
            {},
            "--overwriteId N is for a name whose number ZooKeeper keeps: give --un",
        ),
        ({"id": None, "unique_name": "u"}, {}, "--uniqueName u without --id: ZooKeeper keeps its number; name that by"),
        ({"id": None, "unique_name": "a/b"}, ZOOKEEPER, "--uniqueName a/b cannot be a node of ZooKeeper"),
        ({"id": None, "unique_name": ".."}, ZOOKEEPER, "a name has no '/' and is neither '.' nor '..'"),
        ({"id": None, "unique_name": "u"}, {"ZOOKEEPER_HOSTS": "zk"}, "'zk' is no ZooKeeper; write it as"),
        ({"id": None, "unique_name": "u"}, {"ZOOKEEPER_HOSTS": "zk:0"}, "'zk:0' is no ZooKeeper"),
        ({"id": None, "unique_name": "u"}, {"ZOOKEEPER_HOSTS": ","}, "--uniqueName u without --id"),
        ({}, {"UPCALL_CONCURRENT_PEEK_FACTOR": "0"}, "'0' is no number above 0, and up to 1"),
        ({}, {"UPCALL_CONCURRENT_PEEK_FACTOR": "nan"}, "'nan' is no number above 0, and up to 1"),
        ({}, {"CONFIG_whisk_blacklist_pollInterval": "0 s"}, "'0 s' is no time between two looks"),
        (
            {},
            {"CONFIG_whisk_spi_InvokerProvider": "org.apache.openwhisk.core.invoker.FPCInvokerReactive"},
            "InvokerProvider: org.apache.openwhisk.core.invoker.FPCInvokerReactive is for OpenWhisk's function-pulling",
        ),
        ({}, {"CONFIG_whisk_etcd_hosts": "etcd:2379"}, "whisk.etcd.hosts: etcd is for OpenWhisk's function-pulling"),
    ],
)
def test_what_an_invoker_cannot_be(flags: dict[str, str | None], environment: dict[str, str], says: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        invoker(environment, **flags)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_sharding_beside_etcd_is_sharding() -> None:
    provider = "org.apache.openwhisk.core.invoker.InvokerReactive"
    assert invoker({"CONFIG_whisk_spi_InvokerProvider": provider, "CONFIG_whisk_etcd_hosts": "e:1"}).invoker_id == 3


def test_a_controller_leaves_etcd_to_others_and_has_an_id_of_letters() -> None:
    assert controller({"CONFIG_whisk_etcd_hosts": "e:1"}).controller_id == "0"
    with pytest.raises(Misconfigured, match="--id: 'a b' is no id of a controller"):
        controller(id="a b")


def test_everything_wrong_or_missing_is_told_at_once() -> None:
    with pytest.raises(Misconfigured) as refused:
        load({"port": "x"}, {"UPCALL_MEMORY": "much", "CONFIG_whisk_etcd_hosts": "e"}, None, "invoker", NOWHERE)
    first, *rest = str(refused.value).splitlines()
    assert first == "5 settings are wrong or missing:"
    starts = (
        "--port: 'x'",
        "UPCALL_MEMORY: 'much'",
        "an Invoker needs brokers",
        "say which Invoker",
        "whisk.etcd.hosts",
    )
    assert len(rest) == len(starts)
    assert all(line.startswith(f"  {start}") for line, start in zip(rest, starts, strict=True))


def test_what_is_wrong_is_told_once() -> None:
    wrong = {"KAFKA_HOSTS": "a", "UPCALL_ID": "x", "CONFIG_whisk_memory_std": "x", "CONFIG_whisk_memory_max": "200 m"}
    faults = survey({}, wrong, None, "invoker", NOWHERE).faults
    assert [fault.partition(":")[0] for fault in faults] == ["UPCALL_ID", "KAFKA_HOSTS", "whisk.memory.std"]


def test_an_id_beyond_the_deployments_count_is_remarked() -> None:
    remarks = load({"id": "3"}, {**KAFKA, "INVOKER_INSTANCES": "3"}, None, "invoker", NOWHERE)[1]
    assert any("INVOKER_INSTANCES=3" in remark for remark in remarks)
