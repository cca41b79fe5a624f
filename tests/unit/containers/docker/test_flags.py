"""Options of `docker run` go where the Engine's API has them."""

from pathlib import Path
from typing import Any

import pytest

from upcall.containers.docker import flags
from upcall.containers.docker.flags import Field
from upcall.errors import Misconfigured

READ: list[tuple[str, str, tuple[str, ...], Any]] = [
    ("add-host", "db:10.0.0.1", ("HostConfig", "ExtraHosts"), ["db:10.0.0.1"]),
    ("blkio-weight", "300", ("HostConfig", "BlkioWeight"), 300),
    (
        "blkio-weight-device",
        "/dev/sda:200",
        ("HostConfig", "BlkioWeightDevice"),
        [{"Path": "/dev/sda", "Weight": 200}],
    ),
    ("cap-add", "SYS_PTRACE", ("HostConfig", "CapAdd"), ["SYS_PTRACE"]),
    ("cpus", "1.5", ("HostConfig", "NanoCpus"), 1_500_000_000),
    ("cpuset-cpus", "0,1", ("HostConfig", "CpusetCpus"), "0,1"),
    (
        "device",
        "/dev/fuse",
        ("HostConfig", "Devices"),
        [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}],
    ),
    (
        "device",
        "/dev/a:/dev/b:r",
        ("HostConfig", "Devices"),
        [{"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"}],
    ),
    ("device-read-bps", "/dev/sda:1m", ("HostConfig", "BlkioDeviceReadBps"), [{"Path": "/dev/sda", "Rate": 1 << 20}]),
    ("dns-opt", "ndots:2", ("HostConfig", "DnsOptions"), ["ndots:2"]),
    ("entrypoint", "/tini", ("Entrypoint",), ("/tini",)),
    ("gpus", "all", ("HostConfig", "DeviceRequests"), [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]),
    ("group-add", "video", ("HostConfig", "GroupAdd"), ["video"]),
    ("hostname", "action", ("Hostname",), "action"),
    ("init", "", ("HostConfig", "Init"), True),
    ("init", "false", ("HostConfig", "Init"), False),
    ("ipc", "private", ("HostConfig", "IpcMode"), "private"),
    ("label", "team=a=b", ("Labels",), {"team": "a=b"}),
    ("log-opt", "max-size=10m", ("HostConfig", "LogConfig", "Config"), {"max-size": "10m"}),
    ("memory-reservation", "64m", ("HostConfig", "MemoryReservation"), 64 << 20),
    ("memory-swappiness", "0", ("HostConfig", "MemorySwappiness"), 0),
    (
        "mount",
        "type=bind,src=/x,dst=/y,readonly,bind-propagation=rslave",
        ("HostConfig", "Mounts"),
        [
            {
                "Type": "bind",
                "Source": "/x",
                "Target": "/y",
                "ReadOnly": True,
                "BindOptions": {"Propagation": "rslave"},
            }
        ],
    ),
    ("no-healthcheck", "true", ("Healthcheck",), {"Test": ["NONE"]}),
    ("pid", "host", ("HostConfig", "PidMode"), "host"),
    ("pids-limit", "-1", ("HostConfig", "PidsLimit"), -1),
    ("read-only", "true", ("HostConfig", "ReadonlyRootfs"), True),
    (
        "restart",
        "on-failure:3",
        ("HostConfig", "RestartPolicy"),
        {"Name": "on-failure", "MaximumRetryCount": 3},
    ),
    ("runtime", "runsc", ("HostConfig", "Runtime"), "runsc"),
    ("security-opt", "no-new-privileges", ("HostConfig", "SecurityOpt"), ["no-new-privileges"]),
    ("security-opt", "seccomp=unconfined", ("HostConfig", "SecurityOpt"), ["seccomp=unconfined"]),
    ("net", "host", ("HostConfig", "NetworkMode"), "host"),
    ("shm-size", "1g", ("HostConfig", "ShmSize"), 1 << 30),
    ("shm-size", "1.5GiB", ("HostConfig", "ShmSize"), 3 << 29),
    ("shm-size", "1 tb", ("HostConfig", "ShmSize"), 1 << 40),
    ("shm-size", "4096", ("HostConfig", "ShmSize"), 4096),
    ("stop-timeout", "3", ("StopTimeout",), 3),
    ("storage-opt", "size=1G", ("HostConfig", "StorageOpt"), {"size": "1G"}),
    ("sysctl", "net.core.somaxconn=1024", ("HostConfig", "Sysctls"), {"net.core.somaxconn": "1024"}),
    ("tmpfs", "/scratch:size=1m", ("HostConfig", "Tmpfs"), {"/scratch": "size=1m"}),
    ("user", "1000:1000", ("User",), "1000:1000"),
    ("volume", "/srv:/data:ro", ("HostConfig", "Binds"), ["/srv:/data:ro"]),
    ("workdir", "/action", ("WorkingDir",), "/action"),
]


@pytest.mark.parametrize(("name", "text", "place", "value"), READ)
def test_an_option_is_read_as_docker_run_reads_it(name: str, text: str, place: tuple[str, ...], value: object) -> None:
    assert flags.parse({name: (text,)}) == {name: Field(place, value)}


def test_of_an_option_that_may_be_given_once_the_last_value_counts() -> None:
    assert flags.parse({"user": ("1", "2")})["user"].value == "2"


def test_an_option_without_values_says_nothing() -> None:
    assert flags.parse({"dns": ()}) == {}


def test_a_variable_without_a_value_is_this_processs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPPER_OWN", "a=b")
    monkeypatch.delenv("UPPER_NONE", raising=False)
    read = flags.parse({"env": ("UPPER_OWN", "UPPER_NONE", "UPPER_OWN=", "OTHER=x")})
    assert read["env"].value == ["UPPER_OWN=a=b", "UPPER_NONE", "UPPER_OWN=", "OTHER=x"]


def test_a_seccomp_profile_is_read_from_its_file(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{ "defaultAction": "SCMP_ACT_ALLOW" }')
    read = flags.parse({"security-opt": (f"seccomp={profile}",)})
    assert read["security-opt"].value == ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']


WRONG = [
    ("name", "x", "name: this option of docker run is not known here"),
    ("publish", "80:80", "publish: this option of docker run is not known here"),
    ("pids-limit", "many", "pids-limit: 'many' is no whole number"),
    ("ulimit", "nofile", "ulimit: '' is no whole number"),
    ("cpus", "two", "cpus: 'two' is no number of CPUs"),
    ("memory", "lots", "memory: 'lots' is no size"),
    ("memory", "-2", "memory: '-2' is no size"),
    ("init", "perhaps", "init: 'perhaps' is neither true nor false"),
    ("mount", "type=bind,src=/x", "has no target"),
    ("mount", "typo=bind", "'typo' of 'typo=bind' is not known here"),
    ("label", "=x", "'=x' has no name before the ="),
    ("security-opt", "seccomp=/nowhere/profile.json", "No such file or directory: '/nowhere/profile.json'"),
]


@pytest.mark.parametrize(("name", "text", "fault"), WRONG)
def test_what_is_wrong_is_named(name: str, text: str, fault: str) -> None:
    with pytest.raises(Misconfigured, match="extra-args: ") as caught:
        flags.parse({name: (text,)})
    assert fault in str(caught.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(Misconfigured) as caught:
        flags.parse({"rm": ("true",), "init": ("true",), "user": ("1",), "shm-size": ("x",)})
    lines = str(caught.value).splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["rm", "shm-size", "known options"]
    assert lines[-1].endswith(", volumes-from, workdir")


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, []),
        ({"cap-drop": ("ALL",)}, []),
        ({"cap-drop": ("MKNOD",)}, ["NET_RAW"]),
        ({"cap-drop": ("cap_net_raw",)}, []),
        ({"cap-add": ("NET_ADMIN",)}, ["NET_ADMIN"]),
        ({"cap-add": ("CAP_NET_RAW",), "cap-drop": ("ALL",)}, ["NET_RAW"]),
        ({"cap-add": ("ALL",)}, []),
        ({"cap-add": ("ALL",), "cap-drop": ("NET_ADMIN",)}, ["NET_RAW"]),
        ({"cap-add": ("SYS_PTRACE",)}, []),
        ({"privileged": ("true",)}, ["NET_RAW", "NET_ADMIN"]),
        ({"privileged": ("false",)}, []),
    ],
)
def test_what_lets_a_container_forge_addresses_is_known(extra: dict[str, tuple[str, ...]], expected: list[str]) -> None:
    assert flags.forging(flags.parse(extra)) == expected


@pytest.mark.parametrize(
    ("driver", "expected"), [("syslog", True), ("fluentd", True), ("json-file", False), ("none", False)]
)
def test_of_log_drivers_those_that_pass_lines_on_have_to_see_them(driver: str, expected: bool) -> None:
    assert flags.passes_on(flags.parse({"log-driver": (driver,)})) == expected


def test_without_a_log_driver_nothing_is_passed_on() -> None:
    assert not flags.passes_on(flags.parse({"log-opt": ("max-size=1m",)}))
