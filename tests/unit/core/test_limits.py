"""A namespace's own limits, clamped to the system's."""

from msgspec import UNSET, structs

from upcall.core.limits import effective, limits_view, standard_limits
from upcall.model.entities import ActionLimits, UserLimits
from upcall.model.sizes import MB, Bounds, NamespaceDefaults, Range, SystemLimits

SYSTEM = SystemLimits()


def test_without_own_limits_the_system_holds() -> None:
    assert effective(SYSTEM, UserLimits()) == SYSTEM
    assert effective(SYSTEM, UserLimits(max_action_memory=None, max_payload_size=None)) == SYSTEM


def test_own_limits_are_clamped() -> None:
    own = UserLimits(
        min_action_memory=1,
        max_action_memory=256,
        min_action_timeout=1000,
        max_action_timeout=10**9,
        min_action_logs=1,
        max_action_logs=2,
        min_action_concurrency=0,
        max_action_concurrency=9,
        max_parameter_size="2 MB",
        max_payload_size="1 KB",
        truncation_size="10 B",
    )
    holds = effective(SYSTEM, own)
    assert holds.memory == Bounds(128, 256, 256)
    assert holds.timeout == Bounds(1000, 300_000, 60_000)
    assert holds.logs == Bounds(1, 2, 10)
    assert holds.concurrency == Bounds(1, 1, 1)
    assert (holds.parameters, holds.payload, holds.truncation) == (MB, 1024, 10)


def test_a_namespace_without_own_limits_has_the_defaults_within_the_systems() -> None:
    defaults = NamespaceDefaults(
        timeout=Range(200, 10**9), memory=Range(max=256), logs=Range(1, 2), parameters=2048, payload=10**9, truncation=5
    )
    system = structs.replace(SYSTEM, defaults=defaults)
    holds = effective(system, UserLimits())
    assert (holds.timeout, holds.memory, holds.logs) == (
        Bounds(200, 300_000, 60_000),
        Bounds(128, 256, 256),
        Bounds(1, 2, 10),
    )
    assert (holds.concurrency, holds.parameters, holds.payload, holds.truncation) == (SYSTEM.concurrency, 2048, MB, 5)
    own = effective(system, UserLimits(max_action_memory=512, max_parameter_size="1 MB", max_payload_size="1 KB"))
    assert (own.memory.max, own.parameters, own.payload) == (512, MB, 1024)
    assert limits_view(system, UserLimits()).max_action_memory == 256


def test_throttles_are_not_clamped() -> None:
    own = UserLimits(invocations_per_minute=0, concurrent_invocations=500, fires_per_minute=1000)
    holds = effective(SYSTEM, own)
    assert (holds.invocations_per_minute, holds.concurrent_invocations, holds.fires_per_minute) == (0, 500, 1000)


def test_the_view_leaves_out_what_is_not_set() -> None:
    view = limits_view(SYSTEM, UserLimits(allowed_kinds=[], store_activations=None))
    assert (view.allowed_kinds, view.store_activations, view.max_payload_size) == (UNSET, UNSET, UNSET)
    view = limits_view(SYSTEM, UserLimits(store_activations=False, max_action_instances=7))
    assert (view.store_activations, view.max_action_instances) == (False, 7)
    assert limits_view(SYSTEM, UserLimits(max_action_instances=70)).max_action_instances == 30


def test_standards() -> None:
    assert standard_limits(SYSTEM) == ActionLimits(60000, 256, 10, 1)
