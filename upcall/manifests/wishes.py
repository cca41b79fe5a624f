"""Wishes as people write them, and what cannot be had: each refusal says what would work."""

import re
from collections.abc import Iterable

from upcall.errors import Misconfigured
from upcall.manifests.profiles import Profile
from upcall.manifests.wanted import Wanted
from upcall.model.store_url import SqliteUrl, parse_store

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
MOST = 1000
"""Replicas: what one topic each is made for."""
LEAST = 256
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LABEL = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?")
_CPU = re.compile(r"[1-9]\d*m?|(?!0+\.0+$)\d+\.\d{1,3}")
_IMAGE = re.compile(r"[a-z0-9]\S*")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_URL = re.compile(r"https?://[^\s/?#\"'\\]+(/[^\s\"'\\]*)?")


def check(wanted: Wanted, profile: Profile) -> None:
    """Raises Misconfigured."""
    _names(wanted)
    _numbers(wanted)
    _addresses(wanted)
    _together(wanted, profile)
    _idle(wanted)
    for text in wanted.tolerations:
        _toleration(text)


def selectors(texts: Iterable[str]) -> dict[str, str]:
    """Of `KEY=VALUE`; a comma is as good as a second option. Raises Misconfigured."""
    found = {}
    for text in (part for given in texts for part in given.split(",")):
        key, equal, value = text.partition("=")
        if not equal or not _LABEL.fullmatch(key) or not _VALUE.fullmatch(value):
            raise Misconfigured(f"--node-selector {text}: labels are given as KEY=VALUE, as in openwhisk-role=invoker")
        found[key] = value
    return found


def _toleration(text: str) -> None:
    pair, colon, effect = text.partition(":")
    key, _, value = pair.partition("=")
    if not _LABEL.fullmatch(key) or not _VALUE.fullmatch(value) or (colon and effect not in EFFECTS):
        raise Misconfigured(
            f"--toleration {text}: taints are given as KEY=VALUE:EFFECT, KEY:EFFECT or KEY, the effect as one of "
            f"{', '.join(EFFECTS)}"
        )


def _names(wanted: Wanted) -> None:
    for option, text, most in (
        ("--namespace", wanted.namespace, 63),
        ("--release", wanted.release, 40),
        ("--secret", wanted.secret, 63),
        ("--tls-secret", wanted.tls_secret, 63),
        ("--pull-secret", wanted.pull_secret, 63),
        ("--volume", wanted.volume, 63),
    ):
        if text and (not _NAME.fullmatch(text) or len(text) > most):
            raise Misconfigured(
                f"{option} {text}: a name in Kubernetes has small letters, digits and '-' inside, {most} characters "
                "at most"
            )
    if not wanted.namespace:
        raise Misconfigured("--namespace: a name is needed, as openwhisk is one")
    if not _IMAGE.fullmatch(wanted.full_image):
        raise Misconfigured(f"{wanted.full_image} is no image (--registry, --image), as upcall/invoker:1 is one")


def _numbers(wanted: Wanted) -> None:
    if not 1 <= wanted.replicas <= MOST:
        raise Misconfigured(f"--replicas {wanted.replicas}: there are 1 to {MOST} Invokers")
    if wanted.memory < LEAST:
        raise Misconfigured(f"--memory: {wanted.memory} MB are less than the {LEAST} MB that one action usually takes")
    if wanted.volume_size < 1:
        raise Misconfigured("--volume-size: a volume has a megabyte at least, as 1g is one")
    if wanted.cpu and not _CPU.fullmatch(wanted.cpu):
        raise Misconfigured(f"--cpu {wanted.cpu}: CPUs are given as 2, 1.5 or 500m")
    if not 0 <= wanted.docker_group < 2**31:
        raise Misconfigured(f"--docker-group {wanted.docker_group} is no number of a group")
    if wanted.scaler != "none" and not wanted.replicas <= wanted.most <= MOST:
        raise Misconfigured(f"--max-replicas {wanted.most}: it is from --replicas, {wanted.replicas}, up to {MOST}")


def _addresses(wanted: Wanted) -> None:
    for option, text in (("--kafka-hosts", wanted.kafka), ("--zookeeper-hosts", wanted.zookeeper)):
        if text and not all(_address(part) for part in text.split(",")):
            raise Misconfigured(
                f"{option} {text}: servers are given as HOST:PORT,HOST:PORT, as in kafka.openwhisk:9092"
            )
    for option, text in (("--api-host", wanted.api_host), ("--prometheus", wanted.prometheus)):
        if text and not _URL.fullmatch(text):
            raise Misconfigured(f"{option} {text}: a URL is needed, as https://api.example.com is one")


def _address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(_HOST.fullmatch(host)) and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 2**16


def _together(wanted: Wanted, profile: Profile) -> None:
    if wanted.daemon and not wanted.zookeeper:
        raise Misconfigured(
            "--daemonset: pods of a DaemonSet have no ordinals, so ZooKeeper keeps the Invokers' numbers: name it by "
            "--zookeeper-hosts HOST:PORT, or leave --daemonset out"
        )
    if wanted.daemon and wanted.scaler != "none":
        raise Misconfigured("--daemonset has an Invoker per node, and nothing to scale: leave --scale out")
    if wanted.daemon and wanted.volume:
        raise Misconfigured("--daemonset: only pods of a StatefulSet have volumes of their own; leave --volume out")
    _process(wanted, profile)
    if wanted.store and wanted.secret:
        raise Misconfigured("--store and --secret: the Secret that is there has the store's address; give one of them")
    if wanted.store:
        _store(wanted.store)


def _process(wanted: Wanted, profile: Profile) -> None:
    asked = {"--isolation none": wanted.isolation == "none", "--user-namespace": wanted.user_namespace}
    odd = [option for option, is_asked in asked.items() if is_asked]
    if odd and wanted.driver != "process":
        raise Misconfigured(f"{odd[0]} is for the process driver alone: give --driver process, too, or leave it out")
    if len(odd) > 1:
        raise Misconfigured("--isolation none takes no rights at all, so --user-namespace has no use: leave it out")
    if wanted.driver == "process" and wanted.isolation == "full" and not profile.capabilities:
        raise Misconfigured(
            f"--driver process cannot keep actions apart on {profile.name} ({profile.hosts}), where pods get no "
            "capabilities: take --driver kubernetes; or, only for code that you trust as your own, --isolation none"
        )


def _idle(wanted: Wanted) -> None:
    """What would be passed over without a word."""
    usual = Wanted()
    for field, why, has_use in (
        ("zookeeper", "--daemonset", wanted.daemon),
        ("most", "--scale hpa or keda", wanted.scaler != "none"),
        ("prometheus", "--scale keda", wanted.scaler == "keda"),
        ("volume_size", "--volume", bool(wanted.volume)),
        ("docker_group", "--driver docker", wanted.driver == "docker"),
    ):
        if not has_use and getattr(wanted, field) != getattr(usual, field):
            option = OPTIONS.get(field, f"--{field}")
            raise Misconfigured(f"{option} has a use with {why} alone: give that, too, or leave it out")


def _store(text: str) -> None:
    try:
        url = parse_store(text)
    except ValueError as error:
        raise Misconfigured(f"--store: {error}") from None
    if isinstance(url, SqliteUrl):
        raise Misconfigured("--store: Invokers in pods have no file in common; give a postgresql:// or couchdb:// one")


def only(wanted: Wanted, form: str, taken: Iterable[str]) -> None:
    """Refuses what that form of output has no place for. Raises Misconfigured."""
    usual, given = Wanted(), {field for field in wanted.__struct_fields__ if field not in {*taken, "profile", "driver"}}
    if odd := sorted(field for field in given if getattr(wanted, field) != getattr(usual, field)):
        raise Misconfigured(f"{form} has no place for {', '.join(OPTIONS.get(field, f'--{field}') for field in odd)}")


OPTIONS = {
    "node_selector": "--node-selector",
    "tolerations": "--toleration",
    "pull_secret": "--pull-secret",
    "kafka": "--kafka-hosts",
    "zookeeper": "--zookeeper-hosts",
    "api_host": "--api-host",
    "tls_secret": "--tls-secret",
    "volume_size": "--volume-size",
    "daemon": "--daemonset",
    "scaler": "--scale",
    "most": "--max-replicas",
    "user_namespace": "--user-namespace",
    "docker_group": "--docker-group",
}
"""Of fields that are not named as they are written."""
