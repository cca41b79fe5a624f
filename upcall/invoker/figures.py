"""The Invoker's counts and its pool as metrics (spec: metrics.md §3): names as OpenWhisk's exporter writes them, with
tags; what it has no name for begins with `upcall_`. Gauges are counted when somebody asks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from upcall.core.slots import STEM, Phase, Pool, Slot
from upcall.invoker.counters import Counters
from upcall.model.activation import STATUS
from upcall.model.sizes import MB

if TYPE_CHECKING:
    from prometheus_client import Metric

_HELD = {
    "active": "Containers with work",
    "idles": "Warm containers without work",
    "prewarm": "Stem cells, ready or starting",
}
_COUNTS = (
    ("counter_invoker_activation_start", "Messages taken.", "activations"),
    ("counter_invoker_activationInit_start", "Inits.", "inits"),
    ("counter_invoker_activationInit_error", "Inits that failed.", "init_failures"),
    ("counter_invoker_collectLogs_error", "Collections of logs that failed.", "log_failures"),
    ("upcall_activations_refused", "Ended before the pool saw them.", "refused"),
    ("upcall_activations_aborted", "Ended in the pool without having run.", "aborted"),
    ("upcall_activations_returned", "Given back by a container that would not take them.", "rescheduled"),
    ("upcall_container_failures", "Containers that did not do as they were told.", "container_failures"),
    ("upcall_containers_lost", "Containers that died by themselves.", "lost"),
)


def metrics(counters: Counters, pool: Pool) -> Iterator["Metric"]:
    """Everything that one Invoker has to say."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for name, help_, member in _COUNTS:
        yield CounterMetricFamily(name, help_, getattr(counters, member))
    starts = CounterMetricFamily(
        "counter_invoker_containerStart_counter", "How containers were found.", labels=["containerState"]
    )
    for start, count in counters.starts.items():
        starts.add_metric([start], count)
    yield starts
    outcomes = CounterMetricFamily("upcall_activations_ended", "What ran or tried to, by status.", labels=["status"])
    for status, count in zip(STATUS, counters.outcomes, strict=True):
        outcomes.add_metric([status], count)
    yield outcomes
    for kind, (number, memory) in _held(pool).items():
        yield GaugeMetricFamily(f"gauge_containerPool_{kind}Count_counter", f"{_HELD[kind]}.", number)
        size = f"gauge_containerPool_{kind}Size_counter_bytes"
        yield GaugeMetricFamily(size, f"{_HELD[kind]}: their memory.", memory * MB)
    waiting = [job.memory for job in pool.queue]
    yield GaugeMetricFamily("gauge_containerPool_runBufferCount_counter", "Activations that wait.", len(waiting))
    size = "gauge_containerPool_runBufferSize_counter_bytes"
    yield GaugeMetricFamily(size, "Activations that wait: their memory.", sum(waiting) * MB)
    yield GaugeMetricFamily("upcall_pool_free_bytes", "Memory that no container has.", pool.free * MB)


def _held(pool: Pool) -> dict[str, tuple[int, int]]:
    """Number of containers and their MB."""
    found = dict.fromkeys(_HELD, (0, 0))
    for slot in pool.slots.values():
        if slot.phase is not Phase.REMOVING:
            kind = _kind(slot)
            number, memory = found[kind]
            found[kind] = number + 1, memory + slot.memory
    return found


def _kind(slot: Slot) -> str:
    if slot.action == STEM:
        return "prewarm"
    at_rest = slot.phase in (Phase.WARM, Phase.PAUSING, Phase.PAUSED) and not slot.running and not slot.waiting
    return "idles" if at_rest else "active"
