"""Sizes and durations as people write them, and the system's limits.

Inside, a size is an `int` of bytes (memory and log limits: MB as the documents have them) and a duration is an `int`
of ms in documents, a `float` of seconds elsewhere. Only this module reads and writes the texts (spec: invoker.md §2.1).
"""

import re

import msgspec

KB, MB, GB = 1024, 1024**2, 1024**3
_SIZE = re.compile(r"\s*(\d+)\s*([bkmg]?)(?:ib|b)?\s*", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "b": 1, "k": KB, "m": MB, "g": GB}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zµ]*)\s*", re.IGNORECASE)
_DURATION_UNITS = {
    **dict.fromkeys(("", "ms", "milli", "millis", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("us", "micro", "micros", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nano", "nanos", "nanosecond", "nanoseconds"), 1e-9),
}


def parse_size(text: str) -> int:
    """Bytes of `256 m`, `256MB`, `16 k`, `1g` or plain bytes. Raises ValueError with the text that was wrong."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f"'{text}' is no size: write a number and a unit, as in 256 MB")
    return int(match[1]) * _SIZE_UNITS[match[2].lower()]


def parse_duration(text: str) -> float:
    """Seconds of `10 minutes`, `500 ms`, `30s`, `5 m` (m is minutes), `Inf`. Raises ValueError."""
    if text.strip().lower() in ("inf", "infinity"):
        return float("inf")
    match = _DURATION.fullmatch(text)
    unit = _DURATION_UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"'{text}' is no duration: write a number and a unit, as in 30 s")
    return float(match[1]) * unit


def bytes_text(size: int) -> str:
    """The form of sizes in messages and documents: `1048576 B`."""
    return f"{size} B"


class Bounds(msgspec.Struct, frozen=True):
    """Least, greatest and standard value of one limit."""

    min: int
    max: int
    std: int


class Range(msgspec.Struct, frozen=True):
    """Least and greatest value; None is the system's."""

    min: int | None = None
    max: int | None = None


class NamespaceDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of namespaces that have none of their own; units as in `SystemLimits`, None is the system's."""

    timeout: Range = Range()
    memory: Range = Range()
    logs: Range = Range()
    concurrency: Range = Range()
    parameters: int | None = None
    payload: int | None = None
    truncation: int | None = None


class SystemLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the whole system; a namespace's own are clamped to them (spec: rest-api.md §12)."""

    timeout: Bounds = Bounds(100, 300_000, 60_000)
    """ms"""
    memory: Bounds = Bounds(128, 512, 256)
    """MB"""
    logs: Bounds = Bounds(0, 10, 10)
    """MB"""
    concurrency: Bounds = Bounds(1, 1, 1)
    """activations per container"""
    parameters: int = MB
    """bytes, of parameters and of annotations"""
    code: int = 48 * MB
    """bytes"""
    payload: int = MB
    """bytes, of an invoke's arguments and of a result"""
    truncation: int = MB
    """bytes of an over-long result that its error text quotes"""
    invocations_per_minute: int = 60
    concurrent_invocations: int = 30
    fires_per_minute: int = 60
    sequence_length: int = 50
    list_default: int = 30
    list_max: int = 200
    blocking_wait: float = 60.0
    """seconds that a blocking caller waits at most"""
    defaults: NamespaceDefaults = NamespaceDefaults()
