"""How far this host's clock is from an API server's, by the `Date` of an answer.

Nothing is sent but a request without credentials, and the certificate is not looked at: a clock that is wrong makes it
invalid, and a refusal has a `Date`, too.
"""

import email.utils
import http.client
import os
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

PATIENCE = 1.5
"""Seconds."""


def in_pod() -> str:
    """The API server's address, as Kubernetes tells it to pods; empty elsewhere."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}" if host else ""


def ahead(server: str, now: Callable[[], float]) -> float | None:
    """Seconds, to a second; negative where this clock is behind. None where the server does not say. Blocks."""
    try:
        told = urlsplit(server)
        if not told.hostname:
            return None
        connection = _connection(told.scheme, told.hostname, told.port)
        try:
            connection.request("GET", "/version")
            before = now()
            date = connection.getresponse().getheader("Date", "")
        finally:
            connection.close()
        theirs = email.utils.parsedate_to_datetime(date).timestamp()
    except (OSError, ValueError, TypeError, http.client.HTTPException):
        return None
    return round(before - theirs - 0.5, 1)  # a Date has no parts of seconds


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=PATIENCE)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=PATIENCE, context=context)
