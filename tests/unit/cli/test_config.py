"""`upcall config`: each value with its source, nothing secret, and what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from upcall.cli.config import command
from upcall.errors import Misconfigured

SECRET = "hush" * 16
PLAIN = {"XDG_DATA_HOME": "/data", "UPCALL_CONFIG": "", "KAFKA_HOSTS": ""}


def shown(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(command, words, env={**PLAIN, **environment})


def rows(*words: str, **environment: str) -> dict[str, dict[str, Any]]:
    result = shown("--format", "json", *words, **environment)
    return {row["name"]: row for row in json.loads(result.stdout)["settings"]}


def test_each_value_has_its_source(tmp_path: Path) -> None:
    file = tmp_path / "upcall.toml"
    file.write_text('grace = "5 s"\n')
    found = rows(
        *("--role", "invoker", "--id", "3", "--config", str(file)),
        UPCALL_PORT="81",
        KAFKA_HOSTS="a:1",
        CONFIG_whisk_containerPool_userMemory="2 g",
    )
    assert found["id"] == {"name": "id", "value": "3", "source": "--id"}
    assert found["port"] == {"name": "port", "value": "81", "source": "UPCALL_PORT"}
    assert found["kafka.hosts"]["source"] == "KAFKA_HOSTS"
    assert found["memory"] == {"name": "memory", "value": "2 g", "source": "whisk.container-pool.user-memory"}
    assert found["grace"] == {"name": "grace", "value": "5 s", "source": "'grace' in the configuration file"}
    assert found["host"] == {"name": "host", "value": "0.0.0.0", "source": "default"}
    assert found["data"] == {"name": "data", "value": "/data/upcall", "source": "default"}
    assert found["store"]["value"] == "sqlite:////data/upcall/upcall.db"
    assert found["dns"] == {"name": "dns", "value": None, "source": "default"}


def test_the_table_says_what_an_empty_default_means() -> None:
    result = shown()
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0].split() == ["SETTING", "VALUE", "SOURCE"]
    assert lines[1].split() == ["host", "127.0.0.1", "default"]
    assert any(line.split("  ")[0] == "memory" and "(75 % of the RAM)" in line for line in lines)
    assert shown().stdout == result.stdout


@pytest.mark.parametrize("form", ["table", "json"])
@pytest.mark.parametrize(
    "environment",
    [
        {"UPCALL_AUTH": f"23bc46b1-71f6-4ed5-8c54-816aa4f8c502:{SECRET}"},
        {"UPCALL_AUTH": SECRET},
        {"UPCALL_OPERATOR_PASSWORD": SECRET},
        {"UPCALL_STORE": f"postgresql://u:{SECRET}@h/d"},
        {"UPCALL_STORE": f"mysql://u:{SECRET}@h/d"},
        {"UPCALL_STORE": f"postgresql://u:{SECRET}/@h/d"},
        {"CONFIG_whisk_kafka_common_sslKeystorePassword": SECRET},
        {"UPCALL_KAFKA_COMMON": f"sasl.jaas.config={SECRET},sasl.username=u"},
        {"UPCALL_KAFKA_CONSUMER": f"client.secret {SECRET}"},
        {"UPCALL_KAFKA_PRODUCER": f'{{"sasl.password": "{SECRET}"'},
    ],
)
def test_what_is_secret_is_not_shown(form: str, environment: dict[str, str]) -> None:
    result = shown("--format", form, **environment)
    assert SECRET[:8] not in result.output
    assert SECRET[:8] not in str(result.exception)
    assert "***" in result.stdout


def test_what_is_no_secret_of_kafkas_is_shown() -> None:
    found = rows(UPCALL_KAFKA_COMMON="sasl.username=u,ssl.key.location=/k.pem,ssl.key.password=x")
    assert found["kafka.common"]["value"] == "sasl.username=u,ssl.key.location=/k.pem,ssl.key.password=***"


def test_wrong_values_stand_beside_their_settings_and_are_told_again_at_the_end() -> None:
    result = shown("--role", "controller", UPCALL_PORT="x")
    assert any("UPCALL_PORT" in line and "WRONG: 'x' is no port" in line for line in result.stdout.splitlines())
    assert isinstance(result.exception, Misconfigured)
    assert result.exit_code == 1
    assert str(result.exception).splitlines()[0] == "2 settings are wrong or missing:"
    document = json.loads(shown("--role", "controller", "--format", "json", UPCALL_PORT="x").stdout)
    assert [fault.partition(":")[0] for fault in document["faults"]] == ["UPCALL_PORT", "a controller needs brokers"]


def test_an_option_of_another_role_is_refused() -> None:
    result = shown("--role", "controller", "--memory", "1g")
    assert result.exit_code == 2
    assert "'upcall controller' has no option --memory." in result.output


def test_upstreams_spellings_and_switches_are_taken() -> None:
    found = rows("--role", "invoker", "--uniqueName", "u", "--id-from-hostname", "--id", "1", KAFKA_HOSTS="a:1")
    assert (found["unique-name"]["value"], found["id-from-hostname"]["value"]) == ("u", "on")


def test_a_long_value_is_cut_in_the_table_alone() -> None:
    manifest = json.dumps({"runtimes": {}, "blackboxes": [{"name": "n" * 250}]}, indent=1)
    words = ("--role", "controller", "--kafka-hosts", "a:1")
    line = next(line for line in shown(*words, RUNTIMES_MANIFEST=manifest).stdout.splitlines() if "runtimes" in line)
    assert "…" in line
    assert len(line) < 200
    assert rows(*words, RUNTIMES_MANIFEST=manifest)["runtimes"]["value"] == manifest


def test_what_becomes_of_openwhisks_names_is_told_without_their_values() -> None:
    environment = {
        "CONFIG_whisk_couchdb_password": SECRET,
        "CONFIG_whisk_kubernetes_pdbEnabled": "true",
        "CONFIG_whisk_containerPool_userMemry": "1 g",
        "CONFIG_whisk_feature": "1",
        "INVOKER_OPTS": f"-Dwhisk.parameter-storage.aes-256={SECRET}",
    }
    words = ("--role", "invoker", "--id", "3")
    lines = [line.split(maxsplit=1) for line in shown(*words, **environment).stdout.splitlines()]
    told = {line[0]: line[1] for line in lines if len(line) > 1}
    assert told["CONFIG_whisk_couchdb_password"] == "used: store"
    assert told["CONFIG_whisk_kubernetes_pdbEnabled"].startswith("no counterpart: ")
    assert told["CONFIG_whisk_containerPool_userMemry"] == "not known; near to it is whisk.container-pool.user-memory"
    assert told["CONFIG_whisk_feature"] == "not known"
    assert told["whisk.parameter-storage.aes-256"] == "(INVOKER_OPTS)  used: parameter-keys.aes-256"
    assert SECRET not in shown(*words, **environment).output
    document = json.loads(shown("--format", "json", *words, **environment).stdout)["openwhisk"]
    assert {"name": "CONFIG_whisk_couchdb_password", "fate": "used", "what": "store"} in document
