"""Which ordinals of a StatefulSet stay (spec: kubernetes.md §3; D8)."""

from datetime import UTC, datetime

import pytest
from lightkube.models.apps_v1 import StatefulSet, StatefulSetOrdinals, StatefulSetSpec
from lightkube.models.core_v1 import PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta

from upcall.kubernetes.ordinals import departing, judged


def a_set(replicas: int | None, start: int | None = None, deleted: bool = False) -> StatefulSet:
    ordinals = StatefulSetOrdinals(start=start) if start is not None else None
    spec = StatefulSetSpec(LabelSelector(), PodTemplateSpec(), ordinals=ordinals, replicas=replicas)
    when = datetime.now(UTC) if deleted else None
    return StatefulSet(metadata=ObjectMeta(name="owdev-invoker", deletionTimestamp=when), spec=spec)


@pytest.mark.parametrize(
    ("found", "number", "goes"),
    [
        (a_set(3), 2, False),
        (a_set(2), 2, True),
        (a_set(0), 0, True),
        (a_set(None), 0, False),
        (a_set(None), 1, True),
        (a_set(2, start=5), 6, False),
        (a_set(2, start=5), 7, True),
        (a_set(2, start=5), 4, True),
        (a_set(3, deleted=True), 0, True),
        (None, 0, True),
    ],
)
def test_what_lies_outside_of_the_set_goes(found: StatefulSet | None, number: int, goes: bool) -> None:
    assert (judged(found, "owdev-invoker", number) is not None) is goes


async def test_a_host_that_is_no_pod_of_a_set_stays() -> None:
    assert await departing(7) is None
