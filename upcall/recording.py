"""Settings of what is kept and who may read it: records, where logs go, locked parameters, shared packages (spec:
store.md §6.2, logs.md §6, container.md §2.4, rest-api.md §6.2)."""

import base64
import binascii
from typing import Any, Literal

from upcall.masks import hidden
from upcall.model.forms import Parse, folder, one_of, optional, switch
from upcall.model.sizes import parse_size
from upcall.setting import RUNS, Setting

LogStore = Literal["activation", "activation-file", "driver"]
LEVELS = one_of("STORE_ALWAYS", "STORE_FAILURES", "STORE_FAILURES_NOT_APPLICATION_ERRORS")
_STORES: dict[str, LogStore] = {
    "DockerToActivationLogStoreProvider": "activation",
    "DockerToActivationFileLogStoreProvider": "activation-file",
    "DockerCliLogStoreProvider": "activation",
    "ElasticSearchLogStoreProvider": "activation-file",
    "SplunkLogStoreProvider": "driver",
    "LogDriverLogStoreProvider": "driver",
}
_KEY_BYTES = {"aes-128": 16, "aes-256": 32}


def level(text: str) -> str:
    """`true` and `false` are of `disable-store-result`, the older switch."""
    found: str = LEVELS({"true": "STORE_FAILURES", "false": "STORE_ALWAYS"}.get(text.lower(), text))
    return found


def log_store(text: str) -> LogStore:
    """Ours by its name, OpenWhisk's by the last part of its class's name."""
    last = text.rpartition(".")[2].removesuffix("$")
    found = _STORES.get(last) or next((known for known in _STORES.values() if text == known), None)
    if found is None:
        raise ValueError(
            f"'{text}' is none of: {', '.join(_STORES.values())}; of OpenWhisk's classes there are "
            f"{', '.join(_STORES)}: with driver, Docker's own log drivers can send logs anywhere"
        )
    return found


def key_of(algorithm: str) -> Parse:
    """The base64 text, of which nothing is quoted."""
    size = _KEY_BYTES[algorithm]

    def parse(text: str) -> str:
        try:
            key = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError(f"it is no base64 text of a key: {error}") from error
        if len(key) != size:
            raise ValueError(f"a key of {algorithm} has {size} bytes, this one has {len(key)}")
        return text

    return parse


def _key(algorithm: str) -> Setting:
    return Setting(
        f"parameter-keys.{algorithm}",
        optional(key_of(algorithm)),
        "",
        f"key with which parameters are locked by {algorithm}, {_KEY_BYTES[algorithm]} bytes as base64  "
        "[default: none]",
        tuple(f"whisk.parameter-storage.{algorithm.replace('-', sign)}" for sign in ("-", "", ".")),
        show=hidden,
    )


def _spill(text: str) -> int:
    return int(text) if text.isdecimal() else parse_size(text)


RECORD_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "store-level.blocking",
        level,
        "STORE_ALWAYS",
        "which blocking activations are recorded",
        ("whisk.activation.store-blocking-result-level", "whisk.activation.disable-store-result"),
        roles=RUNS,
    ),
    Setting(
        "store-level.non-blocking",
        LEVELS,
        "STORE_ALWAYS",
        "which other activations are recorded",
        ("whisk.activation.store-non-blocking-result-level",),
        roles=RUNS,
    ),
    Setting(
        "store-level.tell-unstored",
        switch,
        "off",
        "whether the log has a line for each activation that is not recorded: on or off",
        ("whisk.activation.unstored-logs-enabled",),
        roles=RUNS,
    ),
    Setting(
        "store-spill",
        _spill,
        "1 GB",
        "size of the files, in the data folder, in which records wait for a CouchDB that is away",
    ),
    Setting(
        "logs.store",
        log_store,
        "activation",
        "where actions' logs go: activation (into its record), activation-file (and into files of logs.folder), or "
        "driver (none is collected: Docker's log driver has them)",
        ("whisk.spi.LogStoreProvider",),
    ),
    Setting("logs.folder", folder, "/logs", "folder of the files of activation-file", roles=RUNS),
    Setting(
        "log.markers",
        switch,
        "off",
        "OpenWhisk's markers in log lines, as in [marker:invoker_activationRun_finish:153:42]: on or off",
        ("whisk.metrics.logs-enabled", "METRICS_LOG"),
    ),
    Setting(
        "shared-packages.execute-only",
        switch,
        "off",
        "whether others may call what is in a published package and not read it: on or off",
        ("whisk.shared-packages-execute-only",),
        roles=("serve", "controller"),
    ),
    Setting(
        "parameter-encryption",
        one_of("off", "noop", "aes-128", "aes-256"),
        "off",
        "algorithm by which parameters of actions and packages are locked when they are written; it takes its key",
        ("whisk.parameter-storage.current",),
        roles=("serve", "controller"),
    ),
    _key("aes-128"),
    _key("aes-256"),
)


def take_keys(values: dict[str, Any]) -> dict[str, str]:
    """By their algorithms, those that were given; taken out."""
    taken = {algorithm: values.pop(f"parameter_keys_{algorithm.replace('-', '_')}") for algorithm in _KEY_BYTES}
    return {algorithm: key for algorithm, key in taken.items() if key}
