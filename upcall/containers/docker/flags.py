"""Options of `docker run` as fields of the Engine's API: what `extra-args` may name (spec: container.md §4.1).

A row of `KNOWN` says where an option's values go and how each is read. Options that may be given once take the last
value; of the others all count. What would take a container from the platform's hands is not known here: its name, its
terminal, its MAC address, its published ports, its removal.
"""

import csv
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from upcall.errors import Misconfigured

Place = tuple[str, ...]


class Field(NamedTuple):
    """A value and where it is in the body; lists and objects join what stands there, others replace it: a command is a
    tuple."""

    place: Place
    value: Any


_NOTHING = Field((), ())
_KEPT = ("json-file", "local", "none", "")
"""Log drivers of which nobody but the engine has anything."""
_FORGING = ("NET_RAW", "NET_ADMIN")
_USUAL = ("NET_RAW",)
"""Of these what containers have if nobody says a word."""


_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.IGNORECASE)


class Row(NamedTuple):
    """One option; `many` is what its values make together, None where the last one counts."""

    place: Place
    read: Callable[[str], Any] = str
    many: type | None = None
    host: bool = True
    """Whether it is of the host's configuration, and not of the container's."""


def parse(extra: Mapping[str, Sequence[str]]) -> dict[str, Field]:
    """The field of each option. Raises Misconfigured that names all that is wrong."""
    faults, fields = [], {}
    for name, values in extra.items():
        try:
            if values:
                fields[name] = _field(name, values)
        except (ValueError, OSError, msgspec.MsgspecError) as error:
            faults.append(f"extra-args: {name}: {error}")
    if any(values and name not in KNOWN for name, values in extra.items()):
        faults.append(f"extra-args: known options: {', '.join(sorted(KNOWN))}")
    if faults:
        raise Misconfigured("\n".join(faults))
    return fields


def forging(fields: Mapping[str, Field]) -> list[str]:
    """Capabilities by which a container with these extra arguments could send with another one's addresses."""
    if fields.get("privileged", _NOTHING).value:
        return [*_FORGING]
    dropped, added = (_capabilities(fields.get(name, _NOTHING).value) for name in ("cap-drop", "cap-add"))
    dropped = dropped if "cap-drop" in fields else set(_FORGING)

    def had(name: str) -> bool:
        if "ALL" in added:
            return name not in dropped
        return name in added or ("ALL" not in dropped and name in _USUAL and name not in dropped)

    return [name for name in _FORGING if had(name)]


def passes_on(fields: Mapping[str, Field]) -> bool:
    """Whether these extra arguments have the engine pass on what containers print: then it has to see it."""
    return fields.get("log-driver", Field((), "")).value not in _KEPT


def _capabilities(names: Sequence[str]) -> set[str]:
    return {name.upper().removeprefix("CAP_") for name in names}


def _field(name: str, values: Sequence[str]) -> Field:
    row = KNOWN.get(name)
    if row is None:
        raise ValueError("this option of docker run is not known here")
    place = ("HostConfig", *row.place) if row.host else row.place
    read = [row.read(value) for value in values]
    return Field(place, row.many(read) if row.many else read[-1])


def _number(text: str) -> int:
    if not text.removeprefix("-").isdecimal():
        raise ValueError(f"'{text}' is no whole number")
    return int(text)


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0", ""):
        raise ValueError(f"'{text}' is neither true nor false")
    return text.lower() not in ("false", "0")


def _size(text: str) -> int:
    """As Docker's client reads sizes: `1.5g`, `64mb`, `1 TiB`; bytes."""
    if text == "-1":
        return -1
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is no size: write a number and a unit, as in 1.5g")
    return int(float(found[1]) * 1024 ** " kmgtp".index(found[2].lower() or " "))


def _nanos(text: str) -> int:
    try:
        return round(float(text) * 1e9)
    except ValueError:
        raise ValueError(f"'{text}' is no number of CPUs") from None


def _pair(text: str) -> tuple[str, str]:
    """`key=value`, or a key alone."""
    key, _, value = text.partition("=")
    if not key:
        raise ValueError(f"'{text}' has no name before the =")
    return key, value


def _env(text: str) -> str:
    """A name alone is this process's own variable; where it has none, the container has none either, even if its image
    does."""
    key, _ = _pair(text)
    return text if "=" in text or key not in os.environ else f"{key}={os.environ[key]}"


def _ulimit(text: str) -> dict[str, Any]:
    name, limits = _pair(text)
    soft, _, hard = limits.partition(":")
    return {"Name": name, "Soft": _number(soft), "Hard": _number(hard or soft)}


def _device(text: str) -> dict[str, str]:
    """`host[:inside[:rwm]]`."""
    host, *rest = text.split(":")
    rights = rest.pop() if rest and set(rest[-1]) <= set("rwm") else "rwm"
    return {"PathOnHost": host, "PathInContainer": rest[0] if rest else host, "CgroupPermissions": rights}


def _rate(text: str) -> dict[str, Any]:
    device, _, rate = text.rpartition(":")
    return {"Path": device, "Rate": _size(rate)}


def _weight(text: str) -> dict[str, Any]:
    device, _, weight = text.rpartition(":")
    return {"Path": device, "Weight": _number(weight)}


def _gpus(text: str) -> dict[str, Any]:
    """`all` or a number."""
    return {"Driver": "", "Count": -1 if text == "all" else _number(text), "Capabilities": [["gpu"]]}


def _restart(text: str) -> dict[str, Any]:
    name, _, count = text.partition(":")
    return {"Name": name, "MaximumRetryCount": _number(count or "0")}


def _tmpfs(text: str) -> tuple[str, str]:
    path, _, options = text.partition(":")
    return path, options


def _security(text: str) -> str:
    """A seccomp profile is a file of this host: the API takes what is in it."""
    key, _, value = text.partition("=")
    if key != "seccomp" or value in ("unconfined", "builtin"):
        return text
    profile = msgspec.json.decode(Path(value).read_bytes())
    return f"seccomp={msgspec.json.encode(profile).decode()}"


def _mount(text: str) -> dict[str, Any]:
    """`type=bind,source=/x,target=/y,readonly`."""
    mount: dict[str, Any] = {"Type": "volume"}
    for part in next(csv.reader([text])):
        key, _, value = part.partition("=")
        match key:
            case "type":
                mount["Type"] = value
            case "source" | "src":
                mount["Source"] = value
            case "target" | "dst" | "destination":
                mount["Target"] = value
            case "readonly" | "ro":
                mount["ReadOnly"] = _flag(value)
            case "bind-propagation":
                mount["BindOptions"] = {"Propagation": value}
            case "tmpfs-size":
                mount.setdefault("TmpfsOptions", {})["SizeBytes"] = _size(value)
            case "tmpfs-mode":
                mount.setdefault("TmpfsOptions", {})["Mode"] = int(value, 8)
            case _:
                raise ValueError(f"'{key}' of '{text}' is not known here")
    if not mount.get("Target"):
        raise ValueError(f"'{text}' has no target")
    return mount


KNOWN: dict[str, Row] = {
    "add-host": Row(("ExtraHosts",), many=list),
    "blkio-weight": Row(("BlkioWeight",), _number),
    "blkio-weight-device": Row(("BlkioWeightDevice",), _weight, list),
    "cap-add": Row(("CapAdd",), many=list),
    "cap-drop": Row(("CapDrop",), many=list),
    "cgroup-parent": Row(("CgroupParent",)),
    "cgroupns": Row(("CgroupnsMode",)),
    "cpu-period": Row(("CpuPeriod",), _number),
    "cpu-quota": Row(("CpuQuota",), _number),
    "cpu-rt-period": Row(("CpuRealtimePeriod",), _number),
    "cpu-rt-runtime": Row(("CpuRealtimeRuntime",), _number),
    "cpu-shares": Row(("CpuShares",), _number),
    "cpus": Row(("NanoCpus",), _nanos),
    "cpuset-cpus": Row(("CpusetCpus",)),
    "cpuset-mems": Row(("CpusetMems",)),
    "device": Row(("Devices",), _device, list),
    "device-cgroup-rule": Row(("DeviceCgroupRules",), many=list),
    "device-read-bps": Row(("BlkioDeviceReadBps",), _rate, list),
    "device-read-iops": Row(("BlkioDeviceReadIOps",), _rate, list),
    "device-write-bps": Row(("BlkioDeviceWriteBps",), _rate, list),
    "device-write-iops": Row(("BlkioDeviceWriteIOps",), _rate, list),
    "dns": Row(("Dns",), many=list),
    "dns-opt": Row(("DnsOptions",), many=list),
    "dns-option": Row(("DnsOptions",), many=list),
    "dns-search": Row(("DnsSearch",), many=list),
    "domainname": Row(("Domainname",), host=False),
    "entrypoint": Row(("Entrypoint",), lambda text: (text,), host=False),
    "env": Row(("Env",), _env, list, host=False),
    "gpus": Row(("DeviceRequests",), _gpus, list),
    "group-add": Row(("GroupAdd",), many=list),
    "hostname": Row(("Hostname",), host=False),
    "init": Row(("Init",), _flag),
    "ipc": Row(("IpcMode",)),
    "label": Row(("Labels",), _pair, dict, host=False),
    "log-driver": Row(("LogConfig", "Type")),
    "log-opt": Row(("LogConfig", "Config"), _pair, dict),
    "memory": Row(("Memory",), _size),
    "memory-reservation": Row(("MemoryReservation",), _size),
    "memory-swap": Row(("MemorySwap",), _size),
    "memory-swappiness": Row(("MemorySwappiness",), _number),
    "mount": Row(("Mounts",), _mount, list),
    "net": Row(("NetworkMode",)),
    "network": Row(("NetworkMode",)),
    "no-healthcheck": Row(("Healthcheck",), lambda text: {"Test": ["NONE"]} if _flag(text) else None, host=False),
    "oom-kill-disable": Row(("OomKillDisable",), _flag),
    "oom-score-adj": Row(("OomScoreAdj",), _number),
    "pid": Row(("PidMode",)),
    "pids-limit": Row(("PidsLimit",), _number),
    "privileged": Row(("Privileged",), _flag),
    "read-only": Row(("ReadonlyRootfs",), _flag),
    "restart": Row(("RestartPolicy",), _restart),
    "runtime": Row(("Runtime",)),
    "security-opt": Row(("SecurityOpt",), _security, list),
    "shm-size": Row(("ShmSize",), _size),
    "stop-signal": Row(("StopSignal",), host=False),
    "stop-timeout": Row(("StopTimeout",), _number, host=False),
    "storage-opt": Row(("StorageOpt",), _pair, dict),
    "sysctl": Row(("Sysctls",), _pair, dict),
    "tmpfs": Row(("Tmpfs",), _tmpfs, dict),
    "ulimit": Row(("Ulimits",), _ulimit, list),
    "user": Row(("User",), host=False),
    "userns": Row(("UsernsMode",)),
    "uts": Row(("UTSMode",)),
    "volume": Row(("Binds",), many=list),
    "volume-driver": Row(("VolumeDriver",)),
    "volumes-from": Row(("VolumesFrom",), many=list),
    "workdir": Row(("WorkingDir",), host=False),
}
