"""Docker's settings: ours, OpenWhisk's keys for them, and what is shown of them."""

from pathlib import Path

import pytest

from upcall.config import Settings, load, survey
from upcall.docker import Driver
from upcall.errors import Misconfigured
from upcall.masks import arguments_shown, variables_shown

ARGS = "CONFIG_whisk_containerFactory_containerArgs"
SPI = "CONFIG_whisk_spi_ContainerFactoryProvider"
DOCKER = "org.apache.openwhisk.core.containerpool.docker.DockerContainerFactoryProvider"
KUBERNETES = "org.apache.openwhisk.core.containerpool.kubernetes.KubernetesContainerFactoryProvider"


def settings(environment: dict[str, str] | None = None, **flags: str) -> Settings:
    return load(flags, environment or {})[0]


def test_the_defaults_are_upstreams() -> None:
    plain = settings()
    assert plain.driver == "process"
    docker = plain.docker
    assert (docker.host, docker.network, docker.parallel_runs) == ("unix:///var/run/docker.sock", "bridge", 10)
    assert (docker.extra_env, docker.extra_args, docker.user_cpus, docker.mask_args) == ((), {}, None, False)
    minutes = dict.fromkeys(("run", "rm", "ps", "inspect"), 60)
    assert docker.times == {**minutes, "pull": 600, **dict.fromkeys(("pause", "unpause", "version"), 10)}
    assert (docker.registry, docker.user_registry, docker.registry_credentials, docker.tls) == ("", "", None, None)


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("docker", "docker"),
        ("kubernetes", "kubernetes"),
        ("auto", "auto"),
        ("process", "process"),
        (DOCKER, "docker"),
        (KUBERNETES, "kubernetes"),
    ],
)
def test_the_driver_has_a_short_name_and_openwhisks(given: str, driver: Driver) -> None:
    assert settings({SPI: given}).driver == driver


def test_a_driver_that_there_is_not_is_told() -> None:
    with pytest.raises(Misconfigured, match=r"whisk\.spi\.ContainerFactoryProvider: 'x' is none of: .*kubernetes"):
        settings({SPI: "x"})


def test_openwhisks_variables_are_understood() -> None:
    docker = settings(
        {
            f"{ARGS}_network": "actions",
            f"{ARGS}_dnsSearch_0": "a.example",
            f"{ARGS}_dnsSearch_1": "b.example",
            f"{ARGS}_dnsOptions_0": "ndots:2",
            f"{ARGS}_extraEnvVars_1": "B",
            f"{ARGS}_extraEnvVars_0": "A=1,2",
            f"{ARGS}_extraArgs_capDrop_0": "ALL",
            f"{ARGS}_extraArgs_label_0": "x=1,2",
            f"{ARGS}_extraArgs_label_1": "y",
            "CONFIG_whisk_docker_client_parallelRuns": "0",
            "CONFIG_whisk_docker_client_timeouts_pull": "Inf",
            "CONFIG_whisk_docker_client_timeouts_run": "90 s",
            "CONFIG_whisk_docker_client_maskDockerRunArgs": "true",
            "CONFIG_whisk_containerPool_userCpus": "3.5",
            "CONFIG_whisk_containerFactory_runtimesRegistry_url": "r.example:5000",
            "CONFIG_whisk_containerFactory_userImagesRegistry_url": "u.example/",
            "DOCKER_HOST": "tcp://10.0.0.1:2375",
        }
    ).docker
    assert (docker.network, docker.host) == ("actions", "tcp://10.0.0.1:2375")
    assert (docker.dns_search, docker.dns_options) == (("a.example", "b.example"), ("ndots:2",))
    assert docker.extra_env == ("A=1,2", "B")
    assert docker.extra_args == {"cap-drop": ("ALL",), "label": ("x=1,2", "y")}
    assert (docker.parallel_runs, docker.mask_args, docker.user_cpus) == (0, True, 3.5)
    assert (docker.times["pull"], docker.times["run"]) == (float("inf"), 90)
    assert (docker.registry, docker.user_registry) == ("r.example:5000", "u.example")


def test_a_file_has_arrays_and_tables(tmp_path: Path) -> None:
    file = tmp_path / "upcall.toml"
    file.write_text(
        '[docker]\nextra-env = ["A=1,2", "B=3"]\n'
        '[docker.extra-args]\nulimit = ["nofile=1:2", "core=0"]\nruntime = "runsc"\n'
    )
    loaded, remarks = load({}, {}, file)
    assert loaded.docker.extra_env == ("A=1,2", "B=3")
    assert loaded.docker.extra_args == {"ulimit": ("nofile=1:2", "core=0"), "runtime": ("runsc",)}
    assert remarks == []


def test_flags_are_short() -> None:
    docker = settings(docker_extra_env="A=1, B", docker_extra_args="--label=a,label=b,init=true").docker
    assert docker.extra_env == ("A=1", "B")
    assert docker.extra_args == {"label": ("a", "b"), "init": ("true",)}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("docker_network", "a b", "is no name of a Docker network"),
        ("docker_extra_env", "=secret", "NAME=VALUE"),
        ("docker_extra_env", "[secret", "no JSON array"),
        ("docker_extra_args", "secret", "name=value"),
        ("docker_extra_args", "{secret", "no JSON object"),
        ("docker_user_cpus", "0", "no number of CPUs"),
        ("docker_parallel_runs", "-1", "no whole number"),
        ("docker_times_run", "soon", "no duration"),
        ("docker_registry", "https://r.example", "without a scheme"),
    ],
)
def test_a_bad_text_is_told_without_its_secrets(name: str, text: str, says: str) -> None:
    with pytest.raises(Misconfigured, match=f"--{name.replace('_', '-')}: .*{says}") as caught:
        settings({}, **{name: text})
    assert "secret" not in str(caught.value)


def test_an_engine_of_another_kind_hinders_no_sandboxes() -> None:
    assert settings({"DOCKER_HOST": "ssh://me@there"}).driver == "process"


def test_runc_is_not_called_and_that_is_told() -> None:
    variables = {"CONFIG_whisk_docker_containerFactory_useRunc": "true"}
    assert load({}, variables)[1] == []
    (remark,) = load({"driver": "docker"}, variables)[1]
    assert "runc is not called" in remark
    assert load({"driver": "docker"}, {**dict.fromkeys(variables, "false")})[1] == []


def test_a_range_of_addresses_is_of_sandboxes_and_that_is_told() -> None:
    ranged = {"action_network_range": "10.9.0.0/16"}
    assert load(ranged, {})[1] == []
    (remark,) = load({**ranged, "driver": "docker"}, {})[1]
    assert "action-network-range has no effect" in remark


@pytest.mark.parametrize("text", ["A=1,B=x,__OW_Y=2,C", '["A=1","B=x","__OW_Y=2","C"]'])
def test_values_of_variables_are_not_shown(text: str) -> None:
    assert variables_shown(text) == "A=***,B=***,__OW_Y=2,C"


def test_values_of_variables_among_options_are_not_shown() -> None:
    assert arguments_shown('{"label":["a=b,c"],"env":["A=1","B"]}') == "env=A=***,env=B,label=a=b,c"
    assert arguments_shown("log-opt=splunk-token=x,log-opt=tag=y,init=true") == (
        "init=true,log-opt=splunk-token=***,log-opt=tag=y"
    )
    assert arguments_shown("env=A=1,init=true") == "env=A=***,init=true"
    assert [arguments_shown(text) for text in ("secret", "{secret")] == ["***", "***"]
    assert variables_shown("[secret") == "***"


def test_config_shows_them_with_their_source() -> None:
    found = survey({"driver": "docker"}, {f"{ARGS}_extraEnvVars_0": "KEY=secret"})
    (row,) = (each for each in found.findings if each.setting.name == "docker.extra-env")
    assert (row.found.source, row.setting.show(row.found.text)) == (
        "whisk.container-factory.container-args.extra-env-vars",
        "KEY=***",
    )
