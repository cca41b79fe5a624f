"""Bytes that are meant to hurt: heads that two readers read differently, targets in odd forms, requests that never end
(spec: rest-api.md §1). The edge with an app behind it; what is broken is refused, the connection ends, others go on."""

import asyncio
import resource
from collections.abc import AsyncIterator

import pytest

from tests.api.platform import AUTH, INVOKE, OTHER, PATH, ROUTES, Client, Platform, a_request
from upcall.controller.edge import NO_HTTP
from upcall.controller.exchange import CONNECTIONS, most_connections
from upcall.controller.patience import TOO_SLOW
from upcall.model import texts

CHUNKED = "Transfer-Encoding: chunked"
SMUGGLED = b"POST /smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform().run() as running:
        yield running


def a_head(path: str, *lines: str, body: bytes = b"", end: str = "\r\n", first: str = "") -> bytes:
    """A request with these header lines after those that it needs."""
    start = first or f"POST {path} HTTP/1.1"
    needed = [start, "Host: x", f"Authorization: {AUTH.decode()}", "Content-Type: application/json", *lines]
    return end.join([*needed, "", ""]).encode("latin-1") + body


AMBIGUOUS = {
    "length and chunks": (["Content-Length: 5", CHUNKED], b"0\r\n\r\n"),
    "chunks and length": ([CHUNKED, "Content-Length: 5"], b"0\r\n\r\n"),
    "one length twice": (["Content-Length: 2", "Content-Length: 2"], b"{}"),
    "two lengths": (["Content-Length: 2", "Content-Length: 90"], b"{}"),
    "a list of lengths": (["Content-Length: 2, 2"], b"{}"),
    "a length with a sign": (["Content-Length: +2"], b"{}"),
    "a negative length": (["Content-Length: -2"], b"{}"),
    "a hexadecimal length": (["Content-Length: 0x2"], b"{}"),
    "a length beyond 64 bits": (["Content-Length: 99999999999999999999999"], b"{}"),
    "an empty length": (["Content-Length: "], b"{}"),
    "an unknown coding": (["Transfer-Encoding: xchunked"], b"2\r\n{}\r\n0\r\n\r\n"),
    "chunks that are not the last coding": (["Transfer-Encoding: chunked, identity"], b"2\r\n{}\r\n0\r\n\r\n"),
    "chunks twice": ([CHUNKED, CHUNKED], b"2\r\n{}\r\n0\r\n\r\n"),
    "a blank before the colon": (["Transfer-Encoding : chunked", "Content-Length: 2"], b"{}"),
    "a folded header": (["Transfer-Encoding:", " chunked"], b"2\r\n{}\r\n0\r\n\r\n"),
    "a chunk beyond 64 bits": ([CHUNKED], b"FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n"),
    "chunks with bare line feeds": ([CHUNKED], b"2\n{}\n0\n\n"),
    "NUL in a header": (["X-A: a\0b", "Content-Length: 2"], b"{}"),
    "a bare carriage return": (["X-A: a\rX-B: b", "Content-Length: 2"], b"{}"),
    "a header without a colon": (["X-A", "Content-Length: 2"], b"{}"),
}


@ROUTES
@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_what_two_readers_read_differently_is_refused(platform: Platform, path: str, case: str) -> None:
    lines, body = AMBIGUOUS[case]
    client = await platform.connect()
    client.send(a_head(path, *lines, body=body + SMUGGLED))
    answered = await client.answer()
    assert (answered.status, answered.json["error"]) == (400, NO_HTTP)
    assert answered.headers["connection"] == "close"
    assert await client.ended()  # and nothing of what was smuggled in
    assert platform.invoker.messages == []
    assert (await platform.ask(a_request(INVOKE))).status == 200


NO_REQUESTS = {
    "bare line feeds": a_head(PATH, "Content-Length: 0", end="\n"),
    "HTTP/1.2": a_head(PATH, first=f"POST {PATH} HTTP/1.2"),
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "zeros": b"\0" * 1000,
    "a small method": b"post /x HTTP/1.1\r\n\r\n",
    "no method": b" /x HTTP/1.1\r\n\r\n",
    "a blank in the target": a_head("/a b", "Content-Length: 0"),
    "a raw byte in the target": a_head("/\xe9", "Content-Length: 0"),
    "a port that is none": a_head("http://x:99999/", "Content-Length: 0"),
}


@pytest.mark.parametrize("case", NO_REQUESTS)
async def test_what_is_no_request_is_refused(platform: Platform, case: str) -> None:
    client = await platform.connect()
    answered = await client.ask(NO_REQUESTS[case])
    assert (answered.status, answered.json["error"]) == (400, NO_HTTP)
    assert "access-control-allow-origin" not in answered.headers
    assert await client.ended()


@pytest.mark.parametrize(
    ("name", "status"),
    [("hello", 200), ("h%65llo", 200), ("none", 404)]
    + [(name, 400) for name in ("a%2Fb", "a%2fb", "%00", "hello%00", "hello%0a", "hello%0d%0aX:1", "%20", "a%20")]
    + [(name, 400) for name in ("%C0%AF", "%E0%80%AF", "%ED%A0%80", "%FF", "%F0%9F%98%80", "h%C3%A9", "%zz", "a%")]
    + [(name, 400) for name in (".", "..", "%2e%2e", "...", "-x", "@", "a;b", "a+b", "a:b", "'", "%22", "%3Cx%3E")],
)
async def test_names_in_every_odd_spelling(platform: Platform, name: str, status: int) -> None:
    answered = await platform.ask(a_request(f"/api/v1/namespaces/_/actions/{name}?blocking=true"))
    assert answered.status == status
    if status == 400:
        assert answered.json["error"] == texts.NAME_ILLEGAL
        answered = await platform.ask(a_request(f"/api/v1/namespaces/{name}/actions/hello?blocking=true"))
        assert (answered.status, answered.json["error"]) == (400, texts.NAMESPACE_ILLEGAL)


@ROUTES
@pytest.mark.parametrize("pause", [0, 0.001])
async def test_a_request_may_come_byte_by_byte(platform: Platform, path: str, pause: float) -> None:
    client = await platform.connect()
    for byte in a_request(path, b"{}"):
        client.send(bytes([byte]))
        await asyncio.sleep(pause)
    assert (await client.answer()).status == 200


@ROUTES
@pytest.mark.parametrize("part", ["head", "body", "chunks"])
async def test_dripping_keeps_no_connection_open(path: str, part: str) -> None:
    platform = Platform(receive_time=0.1)
    platform.interval = 0.02
    async with platform.run():
        client = await platform.connect()
        client.send(
            {
                "head": a_head(path, "X-Slow: ")[:-4],
                "body": a_head(path, "Content-Length: 1000000"),
                "chunks": a_head(path, CHUNKED),
            }[part]
        )
        drop = asyncio.create_task(_drip(client, b"1\r\n \r\n" if part == "chunks" else b" "))
        answered = await client.answer()
        drop.cancel()
        assert (answered.status, answered.json["error"]) == (408, TOO_SLOW)
        assert platform.invoker.messages == []


async def _drip(client: Client, drop: bytes) -> None:
    while True:
        client.send(drop)
        await asyncio.sleep(0.01)


async def test_pipelined_refusals_do_not_reorder_or_leak(platform: Platform) -> None:
    client = await platform.connect()
    for _ in range(3):
        client.send(
            a_request(INVOKE, b'{"n":1}')
            + a_request(PATH.replace("hello", "none"))
            + a_request(OTHER, b"123")
            + a_request(INVOKE, auth=None)
            + a_request(INVOKE, b"[]")
            + a_request(OTHER, method="GET")
        )
    statuses = [200, 404, 200, 401, 400, 200] * 3
    answers = [await client.answer() for _ in statuses]
    assert [answered.status for answered in answers] == statuses
    assert [answered.body for answered in answers[::6]] == [b'{"n":1}'] * 3


async def test_half_open_connections_do_not_hold_up_the_others(platform: Platform) -> None:
    whole = a_request(INVOKE, b"{}")
    halves = [await platform.connect() for _ in range(200)]
    for number, client in enumerate(halves):
        client.send(whole[: 1 + number * (len(whole) - 2) // 200])
    for _ in range(20):
        assert (await platform.ask(whole)).status == 200
    for number, client in enumerate(halves):
        client.send(whole[1 + number * (len(whole) - 2) // 200 :])
    assert [(await client.answer()).status for client in halves] == [200] * 200


async def test_there_are_only_so_many_connections_and_more_when_some_have_gone() -> None:
    async with Platform(max_connections=3).run() as platform:
        kept = [await platform.connect() for _ in range(3)]
        await platform.connections(3)
        refused = await platform.connect()
        answered = await refused.answer()
        assert (answered.status, answered.json["error"]) == (503, texts.DEFAULTS[503])
        assert await refused.ended()
        assert [(await client.ask(a_request(INVOKE))).status for client in kept] == [200] * 3
        kept[0].writer.close()
        while len(platform.server._uvicorn.server_state.connections) == 3:
            await asyncio.sleep(0)
        assert (await platform.ask(a_request(INVOKE))).status == 200


def test_connections_leave_descriptors_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, most in ((1024, 768), (1_000_000, CONNECTIONS), (resource.RLIM_INFINITY, CONNECTIONS)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert most_connections() == most


async def test_an_expectation_that_nobody_knows_is_passed_over(platform: Platform) -> None:
    assert (await platform.ask(a_request(INVOKE, b"{}", headers={"Expect": "bogus"}))).status == 200
