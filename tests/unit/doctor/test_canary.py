"""The first step of a canary that fails names the failure; where all is well nothing is said."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from upcall.doctor import canary
from upcall.doctor.canary import LINE, sing

RUNTIMES = {"nodejs": [{"kind": "nodejs:18"}, {"kind": "nodejs:20", "default": True}]}


class Answer(NamedTuple):
    status: int
    document: Any


class Platform:
    """One in memory, with a fault; `actions` are those that it has."""

    def __init__(self, fault: str = "", runtimes: Mapping[str, Any] = RUNTIMES) -> None:
        self.fault = fault
        self.runtimes = runtimes
        self.actions: list[str] = []
        self.kinds: list[str] = []
        self.calls: list[str] = []

    def operate(self, method: str, path: str) -> Answer:
        return Answer(200, {"description": "OpenWhisk", "runtimes": self.runtimes})

    def ask(self, method: str, *segments: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Answer:
        match method, segments:
            case "PUT", (_, "actions", name):
                if self.fault == "forbidden":
                    return Answer(403, {"error": "The supplied authentication is not authorized"})
                self.actions.append(name)
                self.kinds.append(body["exec"]["kind"])
                return Answer(200, {})
            case "DELETE", (_, "actions", name):
                self.actions.remove(name)
                return Answer(200, {})
            case "POST", (_, "actions", name):
                if self.fault == "no invokers":
                    return Answer(503, {"error": "There are no invokers available."})
                self.calls.append(body["song"])
                return Answer(202, {"activationId": f"a{len(self.calls)}"})
            case "GET", (_, "activations", id):
                return self._record(int(id[1:]))
            case _:
                return Answer(200, {"logs": []})

    def _record(self, number: int) -> Answer:
        if self.fault == "lost":
            return Answer(404, {"error": "The requested resource does not exist."})
        result = {"error": "cannot start"} if self.fault == "failing" else {"sung": self.calls[number - 1]}
        cold = number == 1 or self.fault == "thrown away"
        logs = [] if self.fault in ("mute", "thrown away") else [f"2026-01-01T00:00:00Z stdout: {LINE}"]
        annotations = [{"key": "initTime", "value": 9}] if cold else []
        return Answer(200, {"response": {"result": result}, "logs": logs, "annotations": annotations})


@pytest.mark.parametrize(
    ("fault", "ids"),
    [
        ("", []),
        ("no invokers", ["K8S-12"]),
        ("lost", ["K8S-13"]),
        ("failing", ["K8S-13"]),
        ("mute", ["K8S-17"]),
        ("thrown away", ["HOST-07"]),
    ],
)
def test_each_step(monkeypatch: pytest.MonkeyPatch, fault: str, ids: list[str]) -> None:
    for name in ("PATIENCE", "LATE", "AGAIN", "PAUSE"):
        monkeypatch.setattr(canary, name, 0.02)
    platform = Platform(fault)
    found = sing(platform, "http://there")
    assert [each.id for each in found.findings] == ids
    assert not found.unseen
    assert (platform.actions, platform.kinds) == ([], ["nodejs:20"])


def test_who_may_put_no_action_blames_nobody() -> None:
    found = sing(Platform("forbidden"), "http://there")
    assert (found.findings, len(found.unseen)) == ((), 1)
    assert "not authorized" in found.unseen[0]


def test_a_platform_without_a_known_kind() -> None:
    found = sing(Platform(runtimes={"ruby": [{"kind": "ruby:3"}]}), "http://there")
    assert (found.findings, len(found.unseen)) == ((), 1)
