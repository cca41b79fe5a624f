"""One fault of the table tried through the REST API: what is told, what is stored, what the next activations meet."""

import re
import time
from typing import Any

from tests.system.fault import Fault
from tests.system.serving import Answer, Platform

GOOD = "def main(args):\n    return {'good': 1}\n"


def record(platform: Platform, id: str) -> dict[str, Any]:
    """The activation's record, once it is there; it is there once."""
    deadline = time.monotonic() + 20
    while (found := platform.call("GET", f"activations/{id}")).status == 404:
        assert time.monotonic() < deadline, f"activation {id} has no record"
        time.sleep(0.01)
    body: dict[str, Any] = found.body
    listed = platform.call("GET", f"activations?name={body['name']}&limit=200").body
    assert [one["activationId"] for one in listed].count(id) == 1
    return body


def annotations(body: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: one["value"] for one in body["annotations"]}


def lines(body: dict[str, Any]) -> list[str]:
    """A record's logs without their times: `stdout: hello`."""
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr): ", line) for line in body["logs"])
    return [line[31:] for line in body["logs"]]


def is_cold(platform: Platform, answer: Answer) -> bool:
    return "initTime" in annotations(record(platform, answer.body["activationId"]))


def check(fault: Fault, kind: str, body: dict[str, Any]) -> None:
    """A record of the first activation in a container says what happened, in all its parts."""
    case, response, known = fault.cases[kind], body["response"], annotations(body)
    success = fault.status == "success"
    assert (response["status"], response["success"]) == (fault.status, success)
    if success:
        assert response["result"] == fault.result
    else:
        assert list(response["result"]) == ["error"]
        assert re.fullmatch(case.says or fault.says, response["result"]["error"], re.S)
    assert re.fullmatch(case.logs or fault.logs, "\n".join(lines(body)))
    assert (known["kind"], known["timeout"], known["path"]) == (kind, fault.late, f"guest/{body['name']}")
    assert min(known["waitTime"], known["initTime"]) >= 0
    assert body["end"] - body["start"] == body["duration"] >= (250 if fault.late and not fault.in_init else 0)


def create(platform: Platform, fault: Fault, kind: str) -> str:
    """The action that has the fault; gives its name."""
    name = re.sub("[^a-z0-9]+", "-", f"{fault.name} {kind}".lower())
    limits = {"timeout": 20000, **fault.limits}
    made = platform.call("PUT", f"actions/{name}", {"exec": fault.exec(kind), "limits": limits})
    assert made.status == 200, made
    return name


def attempt(platform: Platform, fault: Fault, kind: str) -> None:
    """The fault between two activations of an action that is warm, and then its own action once more."""
    name = create(platform, fault, kind)
    platform.invoke("good")
    first = platform.invoke(name)
    assert first.status == (200 if fault.status == "success" else 502)
    stored = record(platform, first.body["activationId"])
    check(fault, kind, stored)
    assert first.body["response"] == stored["response"]
    after = platform.invoke("good")
    assert (after.body["response"]["result"], is_cold(platform, after)) == ({"good": 1}, False)
    if fault.in_init:
        again = platform.invoke(name, query="blocking=false")
        assert again.status == 202
        check(fault, kind, record(platform, again.body["activationId"]))
    else:
        again = platform.invoke(name, {"again": True})
        if fault.trails and again.body["response"]["result"] != {"ok": 1}:
            again = platform.invoke(name, {"again": True})
        assert (again.status, again.body["response"]["result"]) == (200, {"ok": 1})
        assert is_cold(platform, again) is not fault.kept
