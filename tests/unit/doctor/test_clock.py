"""How far a clock is from a server's is read from an answer, whatever it says."""

import email.utils
import http.server
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from upcall.doctor.facts.clock import ahead, in_pod

NOW = 1_700_000_000.0


@contextmanager
def server(date: str) -> Iterator[str]:
    """Its address; it refuses everybody."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(401)
            self.send_header("Date", date)
            self.send_header("Content-Length", "0")
            self.end_headers()

    made = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def test_a_clock_that_is_ahead_and_one_that_is_behind() -> None:
    with server(email.utils.formatdate(NOW, usegmt=True)) as address:
        assert ahead(address, lambda: NOW + 60.5) == 60.0
        assert ahead(address, lambda: NOW - 59.5) == -60.0


def test_a_server_that_does_not_say() -> None:
    with server("some day") as address:
        assert ahead(address, lambda: NOW) is None
    assert ahead(address, lambda: NOW) is None
    assert ahead("", lambda: NOW) is None
    assert ahead("https://[", lambda: NOW) is None


def test_a_pod_knows_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert in_pod() == ""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    assert in_pod() == "https://[fd00::1]:6443"
