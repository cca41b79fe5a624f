"""What packages, sequences and rules cost beside plain calls: one process, calls by turns over one connection.

.venv/bin/python -m bench.compositions [CALLS]
"""

import json
import statistics
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from http.client import HTTPConnection

from bench.served import make, served
from tests.system.serving import Platform

CODE = "def main(args):\n    return args\n"
RULES = 20
STEPS = 5
BODY = json.dumps({"n": 1})


def caller(connection: HTTPConnection, auth: str) -> Callable[[str, str], float]:
    """Milliseconds of one request."""
    headers = {"Authorization": "Basic " + b64encode(auth.encode()).decode(), "Content-Type": "application/json"}

    def call(method: str, path: str) -> float:
        began = time.perf_counter()
        connection.request(method, f"/api/v1/namespaces/_/{path}", BODY if method == "POST" else None, headers)
        response = connection.getresponse()
        body = response.read()
        if response.status >= 400:
            raise RuntimeError(f"{path}: {response.status} {body!r}")
        return (time.perf_counter() - began) * 1e3

    return call


def fill(platform: Platform) -> None:
    """What is called."""
    make(platform, ["plain"], "python:default", CODE)
    steps = {"kind": "sequence", "components": ["/_/plain"] * STEPS}
    for path, body in (
        ("packages/p", {"parameters": [{"key": "a", "value": 1}]}),
        ("actions/p/inner", {"exec": {"kind": "python:default", "code": CODE}, "limits": {"memory": 128}}),
        ("packages/b", {"binding": {"namespace": "_", "name": "p"}, "parameters": [{"key": "b", "value": 2}]}),
        ("actions/steps", {"exec": steps}),
        ("triggers/t", {}),
        *((f"rules/r{number}", {"trigger": "/_/t", "action": "/_/plain"}) for number in range(RULES)),
    ):
        answer = platform.call("PUT", path, body)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.body}")


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    waited = "blocking=true&result=true"
    ways = {
        "plain action": ("POST", f"actions/plain?{waited}"),
        "action of a package": ("POST", f"actions/p/inner?{waited}"),
        "the same by a binding": ("POST", f"actions/b/inner?{waited}"),
        f"sequence of {STEPS}": ("POST", f"actions/steps?{waited}"),
        f"trigger with {RULES} rules, until 202": ("POST", "triggers/t"),
        "GET of an action": ("GET", "actions/plain"),
        "GET of a binding": ("GET", "packages/b"),
    }
    with served("--memory", "4096", LIMITS_TRIGGERS_FIRES_PERMINUTE="1000000") as platform:
        fill(platform)
        connection = platform.connect()
        call = caller(connection, platform.auth)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(calls + 20):
            for name, (method, path) in ways.items():
                took = call(method, path)
                if turn >= 20:
                    times[name].append(took)
            while _busy(platform):
                time.sleep(0.002)
        connection.close()
    floor = statistics.median(times["plain action"])
    for name, taken in times.items():
        middle, late = statistics.median(taken), sorted(taken)[len(taken) * 99 // 100]
        print(f"{name:38} p50 {middle:7.3f} ms  p99 {late:7.3f} ms  x{middle / floor:.2f}")
    ratio = statistics.median(times[f"sequence of {STEPS}"]) / floor / STEPS
    print(f"sequence of {STEPS} against {STEPS} plain calls: x{ratio:.2f}")


def _busy(platform: Platform) -> bool:
    """Whether what the rules have called is still under way."""
    connection = platform.connect()
    connection.request("GET", "/activation/count")
    count = int(connection.getresponse().read())
    connection.close()
    return count > 0


if __name__ == "__main__":
    main()
