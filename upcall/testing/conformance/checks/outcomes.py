"""From what a container answers to what the caller gets (spec: container.md §3), row by row.

The answers are bytes that the action's code puts in the place of its runtime's own, so each row is seen as it is,
whatever the runtime would make of it.
"""

from upcall.testing.conformance.activation import Json, annotations, outcome, refusal
from upcall.testing.conformance.check import check, equal, true
from upcall.testing.conformance.code import answering, http, said
from upcall.testing.conformance.world import World

QUIET = {"logs": 0}
INVALID = "The action did not produce a valid JSON or JSON Array response"
DIED = refusal(2, "The action did not produce a valid response and exited unexpectedly.")
INIT_DIED = refusal(2, "The action did not initialize and exited unexpectedly.")
EXHAUSTED = refusal(2, "The action exhausted its memory and was aborted.")
MAX = 1 << 20

RUN: dict[str, tuple[int, bytes, tuple[int, Json]]] = {
    "object": (200, b'{"a":[1,null,"\xc3\xa4"]}', (0, {"a": [1, None, "ä"]})),
    "object-empty": (200, b"{}", (0, {})),
    "array": (200, b'[1,{"a":2}]', (0, [1, {"a": 2}])),
    "array-empty": (200, b"[]", (0, [])),
    "error": (200, b'{"error":{"code":5},"more":1}', (1, {"error": {"code": 5}})),
    "error-null": (200, b'{"error":null}', (1, {"error": None})),
    "null": (200, b"null", refusal(2, f"{INVALID}: null")),
    "text": (200, b'"hello"', refusal(2, f'{INVALID}: "hello"')),
    "number": (200, b"42", refusal(2, f"{INVALID}: 42")),
    "bool": (200, b"true", refusal(2, f"{INVALID}: true")),
    "plain": (200, b"no JSON", refusal(2, f"{INVALID}: no JSON")),
    "empty": (200, b"", refusal(2, f"{INVALID}.")),
    "failed-error": (502, b'{"error":"it broke","more":1}', (2, {"error": "it broke"})),
    "failed-object": (502, b'{"a":1}', refusal(2, f'{INVALID}: {{"a":1}}')),
    "failed-array": (400, b"[1]", refusal(2, f"{INVALID}: [1]")),
    "failed-plain": (500, b"oops", refusal(2, f"{INVALID}: oops")),
    "failed-empty": (500, b"", refusal(2, f"{INVALID}.")),
    "moved": (302, b'{"a":1}', refusal(2, f'{INVALID}: {{"a":1}}')),
}

INIT: dict[str, tuple[int, bytes, tuple[int, Json]]] = {
    "error": (502, b'{"error":{"why":"x"},"more":1}', (2, {"error": {"why": "x"}})),
    "plain": (500, b"oops", refusal(2, "The action failed during initialization: oops")),
    "object": (403, b'{"a":1}', refusal(2, 'The action failed during initialization: {"a":1}')),
    "empty": (502, b"", refusal(2, "The action failed during initialization.")),
}


def run_check(name: str, status: int, body: bytes, expected: tuple[int, Json]) -> None:
    @check(
        f"outcomes.run-{name}", "container.md §3", f"/run answers {status} {body.decode()[:24]!r}: status {expected[0]}"
    )
    def looked(world: World) -> None:
        record = world.run(world.node(answering(), limits=QUIET), said(http(status, body)))
        equal("outcome", outcome(record), expected)
        equal("size, in UTF-16 units", record["response"].get("size"), len(body.decode().encode("utf-16-le")) // 2)


def init_check(name: str, status: int, body: bytes, expected: tuple[int, Json]) -> None:
    @check(f"outcomes.init-{name}", "container.md §3", f"/init answers {status} {body.decode()[:24]!r}: status 2")
    def looked(world: World) -> None:
        record = world.run(world.node(answering(http(status, body)), limits=QUIET))
        equal("outcome", outcome(record), expected)
        true("the record has no initTime", "initTime" in annotations(record))
        true("the record has a size", "size" not in record["response"])


for _name, _row in RUN.items():
    run_check(_name, *_row)
for _name, _row in INIT.items():
    init_check(_name, *_row)


@check("outcomes.init-body", "container.md §3", "200 on /init is success, whatever its body says")
def init_body(world: World) -> None:
    action = world.node(answering(http(200, b'{"error":"not looked at"}')), limits=QUIET)
    equal("status", world.run(action)["response"]["statusCode"], 0)


@check("outcomes.chunked", "container.md §2.5", "a body in chunks is read; upstream takes it for no answer")
def chunked(world: World) -> None:
    raw = http(200, b'7\r\n{"a":1,\r\n6\r\n"b":2}\r\n0\r\n\r\n', "Transfer-Encoding: chunked", length=False)
    equal("outcome", outcome(world.run(world.node(answering(), limits=QUIET), said(raw))), (0, {"a": 1, "b": 2}))


@check("outcomes.closed", "container.md §3", "the connection closes without an answer to /run")
def closed(world: World) -> None:
    equal("outcome", outcome(world.run(world.node(answering(), limits=QUIET), said(b""))), DIED)


@check("outcomes.closed-init", "container.md §3", "the connection closes without an answer to /init")
def closed_init(world: World) -> None:
    equal("outcome", outcome(world.run(world.node(answering(b""), limits=QUIET))), INIT_DIED)


@check("outcomes.died", "container.md §3", "the process ends during /run, and during /init")
def died(world: World) -> None:
    ends = "import os\ndef main(args):\n    os._exit(0)"
    equal("outcome of /run", outcome(world.run(world.action(ends))), DIED)
    equal("outcome of /init", outcome(world.run(world.action("import os\nos._exit(0)"))), INIT_DIED)


@check("outcomes.limit-exact", "container.md §2.5", "a response of exactly the greatest size is a success")
def limit_exact(world: World) -> None:
    record = world.run(world.node(FILLED, limits=QUIET), said_large(MAX - 8))
    equal("status", record["response"]["statusCode"], 0)
    equal("size", record["response"]["size"], MAX)


@check(
    "outcomes.limit-above", "container.md §3", "one byte more: status 1, its length and beginning; the container stays"
)
def limit_above(world: World) -> None:
    action = world.node(FILLED, limits=QUIET)
    record = world.run(action, said_large(MAX - 7))
    text = truncated(MAX + 1, MAX, '{"t":"' + "x" * (MAX - 7) + '"')
    equal("status", record["response"]["statusCode"], 1)
    true(f"text {record['response']['result']['error'][:160]!r}", record["response"]["result"] == {"error": text})
    equal("size", record["response"]["size"], MAX + 1)
    true("the next run is a cold start", "initTime" not in annotations(world.run(action, said_large(1))))


@check("outcomes.limit-failed", "container.md §3", "a response that is too large is status 1, whatever its HTTP status")
def limit_failed(world: World) -> None:
    record = world.run(world.node(FILLED, limits=QUIET), {**said_large(MAX), "status": 502})
    equal("status", record["response"]["statusCode"], 1)


@check("outcomes.limit-user", "bus.md §6.3", "a namespace's maxPayloadSize and truncationSize hold for /run")
def limit_user(world: World) -> None:
    message = world.message(world.node(FILLED, limits=QUIET), said_large(2000))
    message["user"]["limits"] = {"maxPayloadSize": "1 KB", "truncationSize": "100 B"}
    record = world.send(message).told()
    equal("outcome", outcome(record), refusal(1, truncated(2008, 1024, '{"t":"' + "x" * 94)))


@check("outcomes.limit-user-capped", "bus.md §6.3", "a namespace's limits are capped by the system's")
def limit_user_capped(world: World) -> None:
    message = world.message(world.node(FILLED, limits=QUIET), said_large(MAX))
    message["user"]["limits"] = {"maxPayloadSize": "5 MB"}
    equal("status", world.send(message).told()["response"]["statusCode"], 1)


@check("outcomes.timeout-init", "container.md §3", "/init takes longer than the limit")
def timeout_init(world: World) -> None:
    record = world.run(world.action("import time\ntime.sleep(5)\ndef main(args): pass", limits={"timeout": 300}))
    text = "The action exceeded its time limits of 300 milliseconds during initialization."
    equal("outcome", outcome(record), refusal(2, text))
    equal("annotation timeout", annotations(record)["timeout"], True)


@check(
    "outcomes.timeout-run", "container.md §3", "/run takes longer than the limit, in a new container and in a warm one"
)
def timeout_run(world: World) -> None:
    code = "import time\ndef main(args):\n    time.sleep(args.get('sleep', 0))\n    return {}"
    action = world.action(code, limits={"timeout": 500})
    expected = refusal(2, "The action exceeded its time limits of 500 milliseconds.")
    cold = world.run(action, {"sleep": 5})
    equal("outcome", outcome(cold), expected)
    equal("annotation timeout", annotations(cold)["timeout"], True)
    world.result(action)
    warm = world.run(action, {"sleep": 5})
    equal("outcome in a warm container", outcome(warm), expected)
    true("the container that timed out is used again", "initTime" in annotations(world.run(action)))


@check("outcomes.memory", "container.md §3", "more memory than the limit during /run")
def memory(world: World) -> None:
    equal("outcome", outcome(world.run(world.action(f"def main(args):\n    {GREED}"))), EXHAUSTED)


@check("outcomes.memory-init", "container.md §3", "more memory than the limit during /init")
def memory_init(world: World) -> None:
    equal("outcome", outcome(world.run(world.action(GREED))), EXHAUSTED)


GREED = "kept = [bytearray(b'x') * (64 << 20) for _ in range(40)]"

FILLED = """
const plain = require('net').Socket.prototype.write;
let answer = null;
require('net').Socket.prototype.write = function (data, ...rest) {
  const text = typeof data === 'string' ? data : Buffer.from(data).toString('latin1');
  if (answer === null || !text.startsWith('HTTP/1.')) return plain.call(this, data, ...rest);
  const raw = answer;
  answer = null;
  return plain.call(this, raw, ...rest);
};
function main(args) {
  const body = '{"t":"' + 'x'.repeat(args.fill) + '"}';
  const head = `HTTP/1.1 ${args.status || 200} Said\\r\\nContent-Type: application/json\\r\\n`;
  answer = Buffer.from(`${head}Content-Length: ${body.length}\\r\\n\\r\\n${body}`);
  return {};
}
"""
"""Answers an object of `fill` + 8 bytes with status `status`."""


def said_large(fill: int) -> dict[str, Json]:
    return {"fill": fill}


def truncated(length: int, limit: int, beginning: str) -> str:
    text = f"The action produced a response that exceeded the allowed length: {length} > {limit} bytes."
    return f"{text} The truncated response was: {beginning}"
