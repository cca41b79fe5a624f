"""What pods print, as Kubernetes' API gives it: attached to (`pods/attach`), stdout and stderr apart and as it comes;
from the log (`pods/log`), both as one, with the node's times.

Each of them holds a connection of its own, so there is no bound on their number. Credentials and certificates are
lightkube's business, and so is their renewal.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx2
from httpx2.websockets import HTTPXWSException, WebSocketUpgradeError
from lightkube.config.client_adapter import ConnectionParams
from lightkube.config.kubeconfig import SingleConfig

from upcall.containers.kubernetes.spec import CONTAINER
from upcall.logs.streams import Stream

TAIL = 2000
"""Lines of a log that are ever looked back at."""
_LARGEST = 4 << 20
"""Bytes of them."""
_PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"]
_CHANNELS: dict[int, Stream] = {1: "stdout", 2: "stderr"}
_ENDED = 3
_MESSAGE = 4 << 20
_PING = 20.0
_MISSING = 404
_FORBIDDEN = (403, 405, 501)

Feed = Callable[[Stream, bytes], Awaitable[None]]


class Broken(Exception):
    """It may be tried again: in a sentence why."""


class Refused(Exception):
    """By this API, or to us: another time it is the same."""


class Gone(Exception):
    """There is no such pod."""


class Streams:
    """Of the pods of one namespace."""

    def __init__(self, config: SingleConfig, namespace: str) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=4)
        self._client = httpx2.AsyncClient(**ConnectionParams().httpx_params(config), limits=limits)
        self._pods = f"/api/v1/namespaces/{namespace}/pods"

    async def attach(self, pod: str, opened: Callable[[], Awaitable[None]], feed: Feed) -> bool:
        """Call `opened`, then `feed` with all that the container prints; returns whether it has ended, else the
        connection has. Raises Broken, Refused, Gone."""
        query = {"container": CONTAINER, "stdout": "true", "stderr": "true"}
        with _told():
            async with self._client.websocket(
                f"{self._pods}/{pod}/attach",
                params=query,
                subprotocols=_PROTOCOLS,
                max_message_size_bytes=_MESSAGE,
                keepalive_ping_interval_seconds=_PING,
                keepalive_ping_timeout_seconds=_PING,
            ) as session:
                await opened()
                return await _pass_on(session, feed)

    async def log(self, pod: str) -> bytes:
        """The end of the log, with timestamps. Raises Broken, Refused, Gone."""
        query = {"container": CONTAINER, "timestamps": "true", "tailLines": str(TAIL), "limitBytes": str(_LARGEST)}
        with _told():
            response = await self._client.get(f"{self._pods}/{pod}/log", params=query)
            _look(response)
            return response.content

    async def follow(
        self, pod: str, since: str, opened: Callable[[], None], feed: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Call `opened`, then `feed` with the log as it grows, with timestamps, until it ends. `since` is the time of
        its first line, empty: from its beginning. Raises Broken, Refused, Gone."""
        query = {"container": CONTAINER, "timestamps": "true", "follow": "true"}
        if since:
            query["sinceTime"] = since
        timeout = httpx2.Timeout(10, read=None)
        with _told():
            async with self._client.stream("GET", f"{self._pods}/{pod}/log", params=query, timeout=timeout) as response:
                if response.is_error:
                    await response.aread()
                _look(response)
                opened()
                async for data in response.aiter_bytes():
                    await feed(data)

    async def close(self) -> None:
        await self._client.aclose()


async def _pass_on(session: Any, feed: Feed) -> bool:
    while True:
        try:
            message = await session.receive_bytes()
        except HTTPXWSException:
            return False
        if not message:
            continue
        if message[0] == _ENDED:
            return b'"Success"' in message
        if len(message) > 1 and message[0] in _CHANNELS:
            await feed(_CHANNELS[message[0]], message[1:])


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """A session's own exceptions come in groups."""
    try:
        yield
    except BaseExceptionGroup as group:
        inner, rest = group.split((httpx2.HTTPError, HTTPXWSException, OSError))
        if rest is not None or inner is None:
            raise
        raise Broken(str(inner.exceptions[0]) or "the connection has broken") from group
    except WebSocketUpgradeError as error:
        _look(error.response)
        raise Broken(str(error)) from error
    except (httpx2.HTTPError, HTTPXWSException, OSError) as error:
        raise Broken(str(error) or type(error).__name__) from error


def _look(response: httpx2.Response) -> None:
    """Raises Gone, Refused, Broken."""
    code = response.status_code
    if not response.is_error:
        return
    if code == _MISSING:
        raise Gone
    if code in _FORBIDDEN:
        raise Refused(f"the API answers {code} {response.reason_phrase}")
    raise Broken(f"the API answers {code} {response.reason_phrase}")
