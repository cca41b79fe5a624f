"""`GET /ready`: whether a process does its work now, and why not (a probe's 200 or 503)."""

from collections.abc import Mapping, Sequence

from upcall.http.envelope import Answer
from upcall.http.operator import json_answer
from upcall.model.names import Json


def readiness(reasons: Sequence[str], facts: Mapping[str, Json]) -> Answer:
    """503 where there are reasons, each a sentence for people."""
    if reasons:
        return json_answer({"ready": False, "reason": "; ".join(reasons), **facts}, 503)
    return json_answer({"ready": True, **facts})
