"""The body of a creation says what upstream's `docker run` says (spec: container.md §4.1)."""

import pytest

from upcall.containers.docker import flags
from upcall.containers.docker.arguments import Surroundings, body, cpus, shares
from upcall.containers.docker.entry import Entry
from upcall.containers.docker.options import DockerOptions, settled
from upcall.model.names import Json
from upcall.ports import ContainerSpec

SPEC = ContainerSpec(
    kind="python:3", image="upcall/python:3.11", memory=256, name="wsk00_1_guest_hello", tenant="guest"
)
GIVEN = Surroundings(labels={"upcall.instance": "a"}, api_host="http://172.17.0.1", mac="02:75:70:01:02:03")
V1_41, V1_44 = (1, 41), (1, 44)


def told(options: DockerOptions, given: Surroundings = GIVEN, api: tuple[int, int] = V1_41) -> Json:
    return body(SPEC, options, flags.parse(options.extra_args), given, api)


def test_by_default_it_says_this_and_nothing_else() -> None:
    assert told(DockerOptions(user_memory=2048)) == {
        "Image": "upcall/python:3.11",
        "Env": ["__OW_API_HOST=http://172.17.0.1"],
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": {"upcall.instance": "a"},
        "MacAddress": "02:75:70:01:02:03",
        "HostConfig": {
            "CpuShares": 128,
            "Memory": 256 << 20,
            "MemorySwap": 256 << 20,
            "NetworkMode": "bridge",
            "CapDrop": ["NET_RAW", "NET_ADMIN"],
            "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 1024}],
            "PidsLimit": 1024,
            "LogConfig": {"Type": "json-file", "Config": {}},
        },
    }


def test_what_an_operator_sets_is_handed_on() -> None:
    options = DockerOptions(
        network="actions",
        dns_servers=("10.0.0.1", "10.0.0.2"),
        dns_search=("example.org",),
        dns_options=("ndots:1",),
        user_cpus=3,
        user_memory=1024,
    )
    host = told(options)["HostConfig"]
    assert host["NetworkMode"] == "actions"
    assert (host["Dns"], host["DnsSearch"]) == (["10.0.0.1", "10.0.0.2"], ["example.org"])
    assert host["DnsOptions"] == ["ndots:1"]
    assert host["NanoCpus"] == 750_000_000


@pytest.mark.parametrize(
    ("memory", "user_memory", "expected"),
    [(256, 2048, 128), (256, 256, 1024), (300, 1024, 341), (512, 256, 1024), (128, 1 << 20, 2)],
)
def test_shares_are_of_1024_and_at_least_2(memory: int, user_memory: int, expected: int) -> None:
    assert shares(memory, user_memory) == expected


@pytest.mark.parametrize(
    ("memory", "user_memory", "user_cpus", "expected"),
    [(256, 1024, 4, 1.0), (256, 768, 1, 0.33333), (128, 1 << 20, 1, 0.01), (512, 256, 2, 2)],
)
def test_cpus_have_five_decimals_and_a_least_value(
    memory: int, user_memory: int, user_cpus: float, expected: float
) -> None:
    assert cpus(memory, user_memory, user_cpus) == expected


def test_variables_stand_in_their_order_and_one_without_a_value_is_empty() -> None:
    options = DockerOptions(extra_env=("__OW_ALLOW_CONCURRENT=true", "PLAIN", "EQUALS=a=b"))
    assert told(options)["Env"] == [
        "__OW_API_HOST=http://172.17.0.1",
        "__OW_ALLOW_CONCURRENT=true",
        "PLAIN=",
        "EQUALS=a=b",
    ]


def test_an_operators_variable_wins_over_ours() -> None:
    options = DockerOptions(extra_env=("A=1", "__OW_API_HOST=https://api.example.org", "A=2"))
    assert told(options)["Env"] == ["__OW_API_HOST=https://api.example.org", "A=2"]


def test_without_an_api_no_address_is_named() -> None:
    assert told(DockerOptions(), Surroundings(labels={}))["Env"] == []


def test_extra_arguments_replace_ours_from_cap_drop_on() -> None:
    extra = {
        "cap-drop": ("ALL",),
        "ulimit": ("nproc=5:10", "core=0"),
        "pids-limit": ("64",),
        "log-driver": ("syslog",),
        "log-opt": ("tag=actions", "mode"),
    }
    host = told(DockerOptions(extra_args=extra))["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["Ulimits"] == [{"Name": "nproc", "Soft": 5, "Hard": 10}, {"Name": "core", "Soft": 0, "Hard": 0}]
    assert host["PidsLimit"] == 64
    assert host["LogConfig"] == {"Type": "syslog", "Config": {"tag": "actions", "mode": ""}}


def test_extra_arguments_before_cap_drop_are_added_or_win() -> None:
    extra = {
        "env": ("B=2",),
        "dns": ("10.0.0.9",),
        "cpu-shares": ("7", "8"),
        "memory-swap": ("-1",),
        "label": ("team=a", "upcall.instance=forged"),
    }
    said = told(DockerOptions(dns_servers=("10.0.0.1",), extra_env=("A=1",), extra_args=extra))
    assert said["Env"] == ["__OW_API_HOST=http://172.17.0.1", "A=1", "B=2"]
    assert said["HostConfig"]["Dns"] == ["10.0.0.1", "10.0.0.9"]
    assert said["HostConfig"]["CpuShares"] == 8
    assert (said["HostConfig"]["Memory"], said["HostConfig"]["MemorySwap"]) == (256 << 20, -1)
    assert said["Labels"] == {"team": "a", "upcall.instance": "a"}


def test_how_a_container_begins_is_said_last() -> None:
    mount = {"Type": "bind", "Source": "/run/1/out", "Target": "/dev/out"}
    given = Surroundings(labels={}, entry=Entry(("/bin/sh", "-c", "x"), ("node",), (mount,)))
    extra = {"entrypoint": ("/tini",), "mount": ("type=tmpfs,target=/scratch,tmpfs-size=1m",)}
    said = told(DockerOptions(extra_args=extra), given)
    assert list(said["Entrypoint"]) == ["/bin/sh", "-c", "x"]
    assert list(said["Cmd"]) == ["node"]
    scratch = {"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": 1 << 20}}
    assert said["HostConfig"]["Mounts"] == [scratch, mount]


def test_one_creation_leaves_nothing_to_the_next() -> None:
    options = DockerOptions(extra_args={"env": ("B=2",), "mount": ("type=tmpfs,target=/scratch",)})
    extra = flags.parse(options.extra_args)
    given = Surroundings(labels={"a": "b"}, entry=Entry(mounts=({"Target": "/dev/out"},)))
    first = body(SPEC, options, extra, given, V1_41)
    assert body(SPEC, options, extra, given, V1_41) == first


def test_a_newer_engine_has_the_mac_address_by_network() -> None:
    said = told(DockerOptions(network="actions"), api=V1_44)
    assert "MacAddress" not in said
    assert said["NetworkingConfig"] == {"EndpointsConfig": {"actions": {"MacAddress": "02:75:70:01:02:03"}}}


def test_a_network_among_the_extra_arguments_is_the_network() -> None:
    options = settled(DockerOptions(extra_args={"network": ("one", "two"), "init": ("true",)}))
    assert options.network == "two"
    assert options.extra_args == {"init": ("true",)}
    assert settled(DockerOptions(extra_args={"net": ("one",)})) == DockerOptions(network="one")
    plain = DockerOptions(network="actions")
    assert settled(plain) is plain
