"""Where settings come from, which source wins, and what is said of a bad one."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from upcall.catalogue import SETTINGS, settings_of
from upcall.config import Settings, load
from upcall.errors import Misconfigured
from upcall.model.keep import parse_keep
from upcall.model.sizes import NamespaceDefaults, Range
from upcall.setting import ROLES, Role
from upcall.upstream import Upstream


def settings(environment: dict[str, str] | None = None, **flags: str) -> Settings:
    return load(flags, environment or {})[0]


def test_the_defaults_are_those_that_the_readme_names() -> None:
    plain = settings()
    assert (plain.host, plain.port, plain.isolation, plain.durability) == ("127.0.0.1", 3233, "full", "normal")
    assert plain.limits.invocations_per_minute == 60
    assert plain.limits.timeout.max == 300_000


def test_each_source_beats_the_one_below(tmp_path: Path) -> None:
    file = tmp_path / "upcall.toml"
    file.write_text('memory = "1 g"\n')
    upstream = {"CONFIG_whisk_containerPool_userMemory": "2048 m"}
    own = {**upstream, "UPCALL_MEMORY": "3g"}
    assert load({}, {}, file)[0].memory == 1024
    assert load({}, upstream, file)[0].memory == 2048
    assert load({}, own, file)[0].memory == 3072
    assert load({"memory": "4 GB"}, own, file)[0].memory == 4096


def test_what_namespaces_get_without_limits_of_their_own() -> None:
    assert settings({}).limits.defaults == NamespaceDefaults()
    given = {
        "CONFIG_whisk_namespaceDefaultLimit_timeLimit_max": "10 s",
        "CONFIG_whisk_namespaceDefaultLimit_memory_min": "200 m",
        "CONFIG_whisk_namespaceDefaultLimit_logLimit_max": "0 m",
        "CONFIG_whisk_namespaceDefaultLimit_parameterSizeLimit": "2 k",
        "CONFIG_whisk_namespaceDefaultLimit_activation_payload_max": "3 k",
    }
    assert settings(given).limits.defaults == NamespaceDefaults(
        timeout=Range(None, 10_000), memory=Range(200), logs=Range(None, 0), parameters=2048, payload=3072
    )


def test_upstreams_variables_raise_the_throttles() -> None:
    limits = settings({"LIMITS_ACTIONS_INVOKES_PERMINUTE": "9", "LIMITS_ACTIONS_INVOKES_CONCURRENT": "8"}).limits
    assert (limits.invocations_per_minute, limits.concurrent_invocations) == (9, 8)


def test_config_variables_become_keys() -> None:
    environment = {
        "CONFIG_whisk_containerPool_userMemory": "1 g",
        "CONFIG_whisk_spi_LogStoreProvider": "x",
        "CONFIG_whisk_empty": "",
        "CONFIG_whisk_blank": "' '",
        "CONFIG_whisk_named": "$ELSEWHERE",
        "ELSEWHERE": "there",
    }
    assert Upstream(environment, "serve").keys == {
        "whisk.container-pool.user-memory": "1 g",
        "whisk.spi.LogStoreProvider": "x",
        "whisk.named": "there",
    }


@pytest.mark.parametrize("role", ["serve", "controller"])
def test_databases_that_openwhisk_may_have_filled_lose_nothing_unasked(role: Role) -> None:
    there = {"store": "couchdb://a:b@couch.example.org:5984/whisk_", "kafka_hosts": "a:1"}
    assert load(there, {}, role=role)[0].keep == parse_keep("forever")
    assert load({**there, "keep": "7d"}, {}, role=role)[0].keep == parse_keep("7d")
    assert load({"kafka_hosts": "a:1"}, {}, role=role)[0].keep == parse_keep("30d,10GB")


def test_a_list_is_written_with_commas_as_a_toml_array_or_as_numbered_variables(tmp_path: Path) -> None:
    expected = (("192.0.2.9", 53), ("::1", 5353))
    file = tmp_path / "upcall.toml"
    file.write_text('dns = ["192.0.2.9", "[::1]:5353"]\n')
    name = "CONFIG_whisk_containerFactory_containerArgs_dnsServers"
    assert load({}, {}, file)[0].dns == expected
    assert settings(dns="192.0.2.9, [::1]:5353").dns == expected
    assert settings({f"{name}_1": "[::1]:5353", f"{name}_0": "192.0.2.9", f"{name}_2": ""}).dns == expected
    assert settings({f"{name}_{n}": f"10.0.0.{n}" for n in reversed(range(11))}).dns[10] == ("10.0.0.10", 53)
    assert settings().dns == ()


def test_actions_have_a_private_network_by_default_if_it_can_be_had() -> None:
    assert (settings().action_network, settings().action_network_range) == (None, None)
    named = settings({"UPCALL_ACTION_NETWORK_RANGE": "10.9.0.0/16"}, action_network="host")
    assert (named.action_network, named.action_network_range) == ("host", IPv4Network("10.9.0.0/16"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("10.9.0.1/16", "is no IPv4 network"),
        ("x", "is no IPv4 network"),
        ("0.0.0.0/4", "large"),
        ("10.9.0.0/24", "small"),
    ],
)
def test_a_range_is_a_network_of_a_fitting_size(text: str, complaint: str) -> None:
    with pytest.raises(Misconfigured, match=f"UPCALL_ACTION_NETWORK_RANGE: .*{complaint}"):
        settings({"UPCALL_ACTION_NETWORK_RANGE": text})


@pytest.mark.parametrize("text", ["localhost", "1.2.3", "1.2.3.4:0", "1.2.3.4:70000", "[::1", "[::1]:x", "::1:5:"])
def test_a_resolver_is_named_by_its_address(text: str) -> None:
    with pytest.raises(Misconfigured, match="is no address of a resolver; write it as"):
        settings(dns=text)


def test_tables_of_the_file_are_dots_in_names(tmp_path: Path) -> None:
    file = tmp_path / "upcall.toml"
    file.write_text('port = 80\n[limits]\ninvocations-per-minute = 7\n[log]\nlevel = "debug"\n')
    loaded, remarks = load({}, {}, file)
    assert (loaded.port, loaded.limits.invocations_per_minute, loaded.log_level) == (80, 7, "debug")
    assert remarks == []


def test_an_unknown_key_of_the_file_is_remarked(tmp_path: Path) -> None:
    file = tmp_path / "upcall.toml"
    file.write_text("prot = 80\n")
    assert load({}, {}, file)[1] == [f"{file}: the key 'prot' is not known and has no effect"]


def test_a_misspelt_variable_is_remarked() -> None:
    others = ("APIHOST", "APIVERSION", "NAMESPACE", "OPERATOR", "CONFIG", "CERT", "KEY", "PORT_3233_TCP")
    remarks = load({}, {f"UPCALL_{name}": "1" for name in ("PROT", *others)})[1]
    assert remarks == ["the variable UPCALL_PROT is not known and has no effect; UPCALL_PORT is"]


def test_a_service_of_our_name_in_kubernetes_does_not_say_where_to_listen() -> None:
    loaded, remarks = load({}, {"UPCALL_PORT": "tcp://10.96.0.7:80", "UPCALL_PORT_80_TCP": "tcp://10.96.0.7:80"})
    assert loaded.port == 3233
    assert [remark.split(" is ")[0] for remark in remarks] == ["the variable UPCALL_PORT=tcp://10.96.0.7:80"]


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"UPCALL_PORT": "http"}, "UPCALL_PORT: 'http' is no port"),
        ({"UPCALL_MEMORY": "much"}, "UPCALL_MEMORY: 'much' is no size"),
        ({"UPCALL_GRACE": "soon"}, "UPCALL_GRACE: 'soon' is no duration"),
        ({"UPCALL_ISOLATION": "some"}, "UPCALL_ISOLATION: 'some' is none of: full, none"),
        ({"LIMITS_ACTIONS_INVOKES_PERMINUTE": "-1"}, "LIMITS_ACTIONS_INVOKES_PERMINUTE: '-1' is no whole number"),
        ({"CONFIG_whisk_namespaceDefaultLimit_memory_max": "x"}, "namespace-default-limit.memory.max"),
        ({"CONFIG_whisk_memory_min": "600 m"}, "limits of memory must be min <= std <= max"),
    ],
)
def test_a_bad_value_is_named_with_its_source(environment: dict[str, str], says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        settings(environment)


def test_bad_credentials_are_not_quoted() -> None:
    with pytest.raises(Misconfigured) as caught:
        settings(auth="not-a-uuid:secret")
    assert "secret" not in str(caught.value)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "upcall.toml"
    file.write_text("port = = 3\n")
    with pytest.raises(Misconfigured, match=r"upcall\.toml cannot be read"):
        load({}, {}, file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"file .*/upcall\.toml cannot be read: No such file or directory$"):
        load({}, {}, tmp_path / "upcall.toml")


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert settings({"UPCALL_DATA": "~/data"}).data == Path("/home/ada/data")


@pytest.mark.parametrize("role", ROLES)
def test_every_default_can_be_parsed_and_a_role_has_every_name_once(role: Role) -> None:
    assert len({setting.field for setting in settings_of(role)}) == len(settings_of(role))
    for setting in SETTINGS:
        setting.parse(setting.default)
