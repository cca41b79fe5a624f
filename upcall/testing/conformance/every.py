"""All checks: reading this module registers them, in the order of the list."""

from importlib import import_module

from upcall.testing.conformance.check import CHECKS, Check

AREAS = (
    "bus",
    "messages",
    "acks",
    "outcomes",
    "proxy",
    "records",
    "limits",
    "logs",
    "pool",
    "life",
    "rest",
    "supervision",
    "events",
    "delivery",
    "docker",
)

for _area in AREAS:
    import_module(f"upcall.testing.conformance.checks.{_area}")


def chosen(patterns: tuple[str, ...] = ()) -> list[Check]:
    """Those whose id begins with one of the patterns; all of them where there is none."""
    return [each for each in CHECKS.values() if not patterns or each.id.startswith(patterns)]
