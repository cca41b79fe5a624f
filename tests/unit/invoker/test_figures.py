"""The Invoker's metrics: names, and what stands behind them."""

from tests.unit.core.pool_builders import a_pool, arrive, busy, creating, job, paused, play, stem, warm
from upcall.core.events import Remove, Tick
from upcall.core.pool import Pool
from upcall.invoker.counters import Counters
from upcall.invoker.figures import metrics
from upcall.measures import Histogram
from upcall.testing import a_message, an_action, an_identity

MB = 1024 * 1024


def samples(counters: Counters, pool: Pool, tags: bool = True) -> dict[str, float]:
    """By name, with the labels' values behind it."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for metric in metrics(counters, pool, tags=tags)
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
    pools = {
        key.removeprefix("gauge_containerPool_"): value for key, value in found.items() if key.startswith("gauge_")
    }
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


def a_counted() -> Counters:
    """Every plain number is another one, from 1 on."""
    counters = Counters()
    number = 0
    for name in Counters.__slots__:
        if isinstance(getattr(counters, name), int):
            number += 1
            setattr(counters, name, number * 1000)
    return counters


def test_every_count_is_shown() -> None:
    counters = a_counted()
    numbers = {getattr(counters, name) for name in Counters.__slots__ if isinstance(getattr(counters, name), int)}
    numbers -= {counters.failed, counters.uninited, counters.blocked}  # for `status`, and parts of other numbers
    times = [value for name in Counters.__slots__ if isinstance(value := getattr(counters, name), Histogram)]
    for seconds, each in enumerate(times):
        each.observe(100.0 + seconds)
    for seconds, each in enumerate(counters.container_times.values()):
        each.observe(200.0 + seconds)
    counters.lost["prewarm"] = 77
    found = samples(counters, a_pool())
    assert numbers <= set(found.values())
    assert {100.0 + number for number in range(len(times))} <= set(found.values())
    assert found["upcall_container_seconds_sum resume"] == 203.0
    assert found["counter_invoker_containerHealthFailed_counter_total prewarm"] == 77


def test_starts_and_ends_are_counted_by_action() -> None:
    counters = Counters()
    message = a_message(an_action("hello", namespace="guest/pack"), user=an_identity("caller"))
    tally = counters.tallies.of("caller digest", message)
    tally.starts["cold"] += 2
    tally.starts["warmed"] += 3
    tally.outcomes[2] += 4
    tally.times.observe(0.3)
    counters.uninited = 2
    counters.init_times.observe(0.1)
    found = samples(counters, a_pool())
    assert found["counter_invoker_containerStart_counter_total cold caller guest/pack hello"] == 2
    assert found["upcall_activations_ended_total action developer error"] == 4
    assert found["counter_invoker_activationRun_start_total"] == 4
    assert found["histogram_invoker_activationRun_finish_seconds_sum"] == 0.3


def test_without_tags_the_state_is_part_of_the_name() -> None:
    counters = Counters()
    for namespace in ("one", "two"):
        counters.tallies.of(namespace, a_message(user=an_identity(namespace))).starts["cold"] += 2
    counters.lost["warm"] = 1
    found = samples(counters, a_pool(prewarm=stem()), tags=False)
    assert found["counter_invoker_containerStart_cold_counter_total"] == 4
    assert found["counter_invoker_containerHealthFailed_warm_counter_total"] == 1
    assert found["counter_containerPool_prewarmColdstart_counter_total"] == 0
    assert not any(name.startswith("counter_invoker_containerStart_counter") for name in found)


def test_the_names_that_boards_use_are_there() -> None:
    counters = Counters()
    counters.tallies.of("key", a_message()).starts["warmed"] += 1
    found = {name.split(" ")[0] for name in samples(counters, a_pool(prewarm=stem()))}
    assert {
        "counter_invoker_containerStart_counter_total",
        "gauge_containerPool_activeCount_counter",
        "gauge_containerPool_prewarmCount_counter",
        "counter_containerPool_prewarmColdstart_counter_total",
        "counter_containerPool_prewarmExpired_counter_total",
    } <= found
