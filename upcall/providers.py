"""What OpenWhisk's deployments put in the place of its parts (`whisk.spi.…`), and which of it stops a start (spec:
invoker.md §1, §2.3). Classes are known by the last part of their names.

A start is refused where it would go on unseen: work that never comes, actions that are looked for in a database where
they are not, records that nobody finds.
"""

from collections.abc import Mapping

from upcall.setting import Role

SPI = "whisk.spi"
_FPC = (
    "{cause} for OpenWhisk's function-pulling scheduler, which this {who} does not work with: let controllers use the "
    "ShardingContainerPoolBalancer, and set org.apache.openwhisk.core.invoker.InvokerReactive"
)
_STORES = {
    "ArtifactStoreProvider": (("CouchDbStoreProvider",), "subjects and actions"),
    "ActivationStoreProvider": (("ArtifactActivationStoreProvider",), "activation records"),
}
_EXPECTED = {
    "MessagingProvider": ("KafkaMessagingProvider",),
    "InvokerProvider": ("InvokerReactive",),
    "InvokerServerProvider": ("DefaultInvokerServer",),
    "LoadBalancerProvider": ("ShardingContainerPoolBalancer",),
}
_PULLING: dict[Role, tuple[str, ...]] = {
    "serve": (),
    "invoker": ("InvokerProvider", "InvokerServerProvider"),
    "controller": ("LoadBalancerProvider",),
}
"""Where the FPC's classes refuse a start."""
KNOWN = (*_STORES, *_EXPECTED)
"""Parts whose classes are looked at here; others' are values of settings, or have no counterpart."""


def refused(role: Role, keys: Mapping[str, str], store_named: bool) -> list[str]:
    """`keys` are upstream's; `store_named`: the store is not upstream's, by the operator's choice."""
    if role == "serve":
        return []
    return _pulling(role, keys) + ([] if store_named else _elsewhere(keys))


def _pulling(role: Role, keys: Mapping[str, str]) -> list[str]:
    """Of the FPC's parts the first; without any, etcd is the sign of an Invoker's."""
    given = {f"{SPI}.{part}": keys[f"{SPI}.{part}"] for part in _PULLING[role] if f"{SPI}.{part}" in keys}
    for name, provider in given.items():
        if _pulls(provider):
            return [_FPC.format(cause=f"{name}: {provider} is", who=role.capitalize())]
    if role == "invoker" and f"{SPI}.InvokerProvider" not in given and keys.get("whisk.etcd.hosts"):
        return [_FPC.format(cause="whisk.etcd.hosts: etcd is", who="Invoker")]
    return []


def _elsewhere(keys: Mapping[str, str]) -> list[str]:
    return [
        f"{SPI}.{part}: {provider}: {what} are kept in CouchDB, PostgreSQL or SQLite here, not by this class, and "
        f"would not be found: set {expected[0]} there, too, or name this deployment's own store with "
        "--store (UPCALL_STORE)"
        for part, (expected, what) in _STORES.items()
        if (provider := keys.get(f"{SPI}.{part}")) and _last(provider) not in expected
    ]


def remarks(role: Role, keys: Mapping[str, str], store_named: bool) -> list[str]:
    """Of classes whose place ours takes all the same; not of those that are refused."""
    parts = {**_EXPECTED, **{part: expected for part, (expected, _) in _STORES.items() if store_named}}
    return [
        f"{SPI}.{part}: {provider} has no effect: this {role} does the part of {expected[0]}"
        for part, expected in parts.items()
        if role != "serve" and (provider := keys.get(f"{SPI}.{part}")) and _last(provider) not in expected
        if not (part in _PULLING[role] and _pulls(provider))
    ]


def _pulls(provider: str) -> bool:
    return _last(provider).startswith("FPC")


def _last(provider: str) -> str:
    return provider.rpartition(".")[2].removesuffix("$")
