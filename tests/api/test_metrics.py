"""`GET /metrics` (spec: metrics.md): form, names, and that the figures move."""

import gzip
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from tests.api.client import Api
from tests.api.platform import INVOKE, PATH, Platform, a_request
from upcall.controller.figures import Figures
from upcall.http.metrics import Metrics
from upcall.measures import BOUNDS

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def values(text: str) -> Values:
    """By name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def source() -> Iterator[Metric]:
    yield CounterMetricFamily("counter_invoker_activation_start", "Messages taken.", 7)


def an_api(figures: Figures) -> Api:
    return Api(figures=figures, metrics=Metrics([lambda: figures.metrics(3, ["up", "down"]), source]))


async def test_the_text_has_what_is_counted() -> None:
    figures = Figures()
    api = an_api(figures)
    for path in ("/ping", "/ping", "/bogus"):
        await api("GET", path, user=None)
    for _ in range(5):
        figures.invoked(202, 0.003)
    figures.waits.observe(0.002)
    figures.waits.observe(1000.0)
    reply = await api("GET", "/metrics", user=None)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = values(reply.body.decode())
    name = "histogram_controller_blockingActivation_finish_seconds"
    expected: Values = {
        ("counter_http_get_counter_total", (("statusCode", "200"),)): 2,
        ("counter_http_get_counter_total", (("statusCode", "404"),)): 1,
        ("counter_http_post_counter_total", (("statusCode", "202"),)): 5,
        ("counter_invoker_activation_start_total", ()): 7,
        ("upcall_activations_in_flight", ()): 3,
        ("upcall_invokers", (("state", "up"),)): 1,
        ("upcall_invokers", (("state", "down"),)): 1,
        ("histogram_http_post_counter_seconds_count", (("statusCode", "202"),)): 5,
        ("histogram_http_post_counter_seconds_bucket", (("le", "0.0025"), ("statusCode", "202"))): 0,
        ("histogram_http_post_counter_seconds_bucket", (("le", "0.005"), ("statusCode", "202"))): 5,
        ("histogram_http_get_counter_seconds_count", (("statusCode", "200"),)): 2,
        (f"{name}_bucket", (("le", "0.001"),)): 0,
        (f"{name}_bucket", (("le", "0.0025"),)): 1,
        (f"{name}_bucket", (("le", "60.0"),)): 1,
        (f"{name}_bucket", (("le", "+Inf"),)): 2,
        (f"{name}_count", ()): 2,
        (f"{name}_sum", ()): 1000.002,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found["process_resident_memory_bytes", ()] > 0
    assert ("python_gc_collections_total", (("generation", "0"),)) in found


async def test_it_is_packed_for_who_can_unpack_it() -> None:
    api = an_api(Figures())
    reply = await api("GET", "/metrics", user=None, headers={"Accept-Encoding": "br, gzip"})
    assert reply.headers["content-encoding"] == "gzip"
    assert values(gzip.decompress(reply.body).decode())["upcall_activations_in_flight", ()] == 3


async def test_other_methods_are_not_allowed() -> None:
    assert (await an_api(Figures())("POST", "/metrics", user=None)).status == 405


async def test_without_metrics_there_is_no_route() -> None:
    assert (await Api()("GET", "/metrics", user=None)).status == 404


async def test_invokes_are_counted_and_blocking_ones_timed() -> None:
    async with Platform().run() as platform:
        figures = platform.route.figures
        assert (await platform.ask(a_request(INVOKE))).status == 200
        assert (await platform.ask(a_request(PATH))).status == 202
        assert (await platform.ask(a_request(INVOKE, auth=None))).status == 401
        assert (await platform.ask(a_request(f"{INVOKE}&{'x' * 9000}"))).status == 414
        answered = {status: times.count for status, times in enumerate(figures.invokes) if times}
        assert answered == {200: 1, 202: 1, 401: 1}
        others = [(method, status, times.count) for method, status, times in figures.requests.times()]
        assert others == [("refused", 414, 1)]
        assert sum(figures.waits.counts) == 1
        assert 0 < figures.waits.sum < BOUNDS[-1]


async def test_odd_methods_are_counted_under_a_name_that_a_metric_may_have() -> None:
    api = an_api(Figures())
    await api("M-SEARCH", "/ping", user=None)
    text = (await api("GET", "/metrics", user=None)).body.decode()
    assert values(text)["counter_http_m_search_counter_total", (("statusCode", "405"),)] == 1
