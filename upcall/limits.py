"""Settings of limits: the system's, and those of namespaces that have none of their own (spec: rest-api.md §12)."""

from typing import Any

from upcall.model.forms import Parse, count, kilobytes_or_more, megabytes, milliseconds, optional
from upcall.model.sizes import MB, Bounds, NamespaceDefaults, Range, SystemLimits, parse_duration, parse_size
from upcall.setting import Setting

LIMITS = SystemLimits()
_BOUNDED = ("timeout", "memory", "logs", "concurrency")


def log_megabytes(text: str) -> int:
    """Whole MB of a size text; 0 is none."""
    return parse_size(text) // MB


def _limit(name: str, parse: Parse, key: str, unit: str, bounds: Bounds) -> list[Setting]:
    what = {"min": "least", "max": "greatest", "std": "usual"}
    return [
        Setting(
            f"limits.{name}-{end}",
            parse,
            f"{getattr(bounds, end)}{unit}",
            f"{what[end]} {name} of an action",
            (f"whisk.{key}.{end}",),
        )
        for end in what
    ]


def _default(name: str, parse: Parse, key: str, what: str) -> Setting:
    return Setting(
        f"namespace-limits.{name}",
        optional(parse),
        "",
        f"{what}, where a namespace has no value of its own  [default: the system's]",
        (f"whisk.namespace-default-limit.{key}",),
    )


def _defaults(name: str, parse: Parse, key: str) -> list[Setting]:
    ends = {"min": "least", "max": "greatest"}
    return [
        _default(f"{name}-{end}", parse, f"{key}.{end}", f"{what} {name} of an action") for end, what in ends.items()
    ]


LIMIT_SETTINGS: tuple[Setting, ...] = (
    *_limit("timeout", milliseconds, "time-limit", " ms", LIMITS.timeout),
    *_limit("memory", megabytes, "memory", " m", LIMITS.memory),
    *_limit("logs", log_megabytes, "log-limit", " m", LIMITS.logs),
    *_limit("concurrency", count, "concurrency-limit", "", LIMITS.concurrency),
    Setting(
        "limits.parameters",
        kilobytes_or_more,
        "1 m",
        "size of an action's parameters, and of its annotations",
        ("whisk.parameter-size-limit",),
    ),
    Setting("limits.code", kilobytes_or_more, "48 m", "size of an action's code", ("whisk.exec-size-limit",)),
    Setting(
        "limits.payload",
        kilobytes_or_more,
        "1 m",
        "size of an activation's arguments and of its result",
        ("whisk.activation.payload.max",),
    ),
    Setting(
        "limits.truncation",
        kilobytes_or_more,
        "1 m",
        "what is quoted of a result that is too large",
        ("whisk.activation.payload.truncation",),
    ),
    Setting(
        "limits.invocations-per-minute",
        count,
        "60",
        "invocations of a namespace in a minute",
        ("LIMITS_ACTIONS_INVOKES_PERMINUTE",),
    ),
    Setting(
        "limits.concurrent-invocations",
        count,
        "30",
        "activations of a namespace at a time",
        ("LIMITS_ACTIONS_INVOKES_CONCURRENT",),
    ),
    Setting(
        "limits.fires-per-minute",
        count,
        "60",
        "trigger fires of a namespace in a minute",
        ("LIMITS_TRIGGERS_FIRES_PERMINUTE",),
    ),
    Setting("limits.sequence-length", count, "50", "actions in a sequence", ("LIMITS_ACTIONS_SEQUENCE_MAXLENGTH",)),
    Setting("limits.list-default", count, "30", "entries of a list", ("whisk.query-limit.default-list-limit",)),
    Setting("limits.list-max", count, "200", "most entries of a list", ("whisk.query-limit.max-list-limit",)),
    Setting(
        "limits.blocking-wait",
        parse_duration,
        "60 s",
        "how long a blocking call waits before it gets an id",
        ("whisk.controller.activation.max-wait-for-blocking-activation",),
    ),
    *_defaults("timeout", milliseconds, "time-limit"),
    *_defaults("memory", megabytes, "memory"),
    *_defaults("logs", log_megabytes, "log-limit"),
    *_defaults("concurrency", count, "concurrency-limit"),
    _default("parameters", kilobytes_or_more, "parameter-size-limit", "size of an action's parameters"),
    _default("payload", kilobytes_or_more, "activation.payload.max", "size of arguments and of a result"),
    _default("truncation", kilobytes_or_more, "activation.payload.truncation", "what is quoted of a result too large"),
)


def take_limits(values: dict[str, Any]) -> tuple[SystemLimits, list[str]]:
    """Made of the values of `LIMIT_SETTINGS`, which are taken out; and what does not fit together."""
    limits, unfit = _take(values, "limits_"), []
    for name in _BOUNDED:
        bounds = Bounds(*(limits.pop(f"{name}_{end}") for end in ("min", "max", "std")))
        if not bounds.min <= bounds.std <= bounds.max:
            unfit.append(f"the limits of {name} must be min <= std <= max, and are {bounds}")
        limits[name] = bounds
    defaults = _take(values, "namespace_limits_")
    for name in _BOUNDED:
        defaults[name] = Range(*(defaults.pop(f"{name}_{end}") for end in ("min", "max")))
    return SystemLimits(**limits, defaults=NamespaceDefaults(**defaults)), unfit


def _take(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): values.pop(name) for name in list(values) if name.startswith(prefix)}
