"""Settings of the load balancer: how work is divided among Invokers, and for how long it may be away (spec:
load-balancer.md §2, §3)."""

import re
from typing import Any

import msgspec

from upcall.model.forms import switch
from upcall.model.sizes import parse_duration
from upcall.setting import ANSWERS, Setting

_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*")


class Balancing(msgspec.Struct, frozen=True, kw_only=True):
    """Fractions are from 0 to 1, `timeout_addon` is in seconds."""

    managed_fraction: float = 0.9
    blackbox_fraction: float = 0.1
    timeout_factor: float = 2.0
    timeout_addon: float = 60.0
    readiness_fraction: float = 1.0
    local_image_prefix: str | None = None
    """Images with it are never pulled; None: there are no such ones."""
    polling: bool = True
    """Whether a result of which only the id came is looked for in the store."""


def fraction(text: str) -> float:
    """`90 %` or `0.9`."""
    match = _NUMBER.fullmatch(text)
    value = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"'{text}' is no share from 0 % to 100 %")
    return value


def factor(text: str) -> float:
    match = _NUMBER.fullmatch(text)
    if match is None or match[2] or float(match[1]) < 1:
        raise ValueError(f"'{text}' is no number of 1 or more")
    return float(match[1])


BALANCING_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "balancing.managed-fraction",
        fraction,
        "90 %",
        "share of the Invokers, the first ones, that managed runtimes use",
        ("whisk.loadbalancer.managed-fraction",),
        roles=ANSWERS,
    ),
    Setting(
        "balancing.blackbox-fraction",
        fraction,
        "10 %",
        "share of the Invokers, the last ones, for actions whose image has to be pulled; at least what is left",
        ("whisk.loadbalancer.blackbox-fraction",),
        roles=ANSWERS,
    ),
    Setting(
        "balancing.timeout-factor",
        factor,
        "2",
        "how many times an action's limit (60 s at least) may pass until its activation is given up",
        ("whisk.loadbalancer.timeout-factor",),
        roles=ANSWERS,
    ),
    Setting(
        "balancing.timeout-addon",
        parse_duration,
        "1 minute",
        "time in addition to that",
        ("whisk.loadbalancer.timeout-addon",),
        roles=ANSWERS,
    ),
    Setting(
        "balancing.readiness-fraction",
        fraction,
        "100 %",
        "share of the Invokers that are up, from which on GET /invokers/ready says 200",
        ("whisk.controller.readiness-fraction",),
        roles=ANSWERS,
    ),
    Setting(
        "balancing.local-images",
        switch,
        "off",
        "whether images with the local prefix are there already: they are not pulled",
        ("whisk.runtimes.bypass-pull-for-local-images",),
    ),
    Setting(
        "balancing.local-image-prefix",
        str,
        "whisk",
        "the local prefix of images",
        ("whisk.runtimes.local-image-prefix",),
    ),
    Setting(
        "balancing.polling",
        switch,
        "on",
        "whether a result that did not come whole, or not yet, is looked for in the store: on or off",
        ("whisk.controller.activation.polling-from-db",),
        roles=ANSWERS,
    ),
)


def take_balancing(values: dict[str, Any]) -> Balancing:
    """Made of the values of `BALANCING_SETTINGS`, which are taken out."""
    own = {name: values.pop(name) for name in list(values) if name.startswith("balancing_")}
    found = {name.removeprefix("balancing_"): value for name, value in own.items()}
    if not found.pop("local_images"):
        found["local_image_prefix"] = None
    return Balancing(**found)
