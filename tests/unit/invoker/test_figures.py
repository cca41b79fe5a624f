"""The Invoker's metrics: names, and what stands behind them."""

from tests.unit.core.pool_builders import a_pool, arrive, busy, creating, job, paused, play, stem, warm
from upcall.core.events import Remove, Tick
from upcall.core.pool import Pool
from upcall.invoker.counters import Counters
from upcall.invoker.figures import metrics

MB = 1024 * 1024


def samples(counters: Counters, pool: Pool) -> dict[str, float]:
    """By name, with the labels' values behind it."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for metric in metrics(counters, pool)
        for sample in metric.samples
    }


def test_the_pools_gauges_say_what_containers_do() -> None:
    pool = a_pool(
        busy(job("a", 128, kind="other")),
        paused("b"),
        warm("c", at=10.0),
        creating(job("d", 128, kind="other")),
        memory=1024,
        prewarm=stem(memory=128, number=2),
    )
    found = samples(Counters(), pool)
    pools = {key.removeprefix("gauge_containerPool_"): value for key, value in found.items() if "Pool_" in key}
    assert pools == {
        "activeCount_counter": 2,
        "activeSize_counter_bytes": 256 * MB,
        "idlesCount_counter": 2,
        "idlesSize_counter_bytes": 512 * MB,
        "prewarmCount_counter": 2,
        "prewarmSize_counter_bytes": 256 * MB,
        "runBufferCount_counter": 0,
        "runBufferSize_counter_bytes": 0,
    }
    assert found["upcall_pool_free_bytes"] == 0


def test_a_container_that_goes_is_none_any_more() -> None:
    pool = a_pool(paused("a"))
    assert play(pool, Tick(), 700.0) == [Remove(1)]
    found = samples(Counters(), pool)
    held = ("activeCount", "idlesCount", "prewarmCount")
    assert [found[f"gauge_containerPool_{kind}_counter"] for kind in held] == [0, 0, 0]


def test_what_waits_is_counted_with_its_memory() -> None:
    pool = a_pool(busy(job("a", 1024)))
    arrive(pool, job("b", 256), job("c", 128))
    found = samples(Counters(), pool)
    assert found["gauge_containerPool_runBufferCount_counter"] == 2
    assert found["gauge_containerPool_runBufferSize_counter_bytes"] == 384 * MB


def test_every_count_is_shown() -> None:
    counters = Counters()
    number = 0
    for name in Counters.__slots__:
        if name not in ("starts", "outcomes"):
            number += 1
            setattr(counters, name, number)
    counters.starts["cold"] = 40
    counters.outcomes[2] = 50
    found = samples(counters, a_pool())
    assert found["counter_invoker_containerStart_counter_total cold"] == 40
    assert found["counter_invoker_containerStart_counter_total warmed"] == 0
    assert found["upcall_activations_ended_total action developer error"] == 50
    assert found["counter_invoker_activation_start_total"] == counters.activations
    assert set(range(1, number + 1)) <= set(found.values())
