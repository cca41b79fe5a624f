"""The edge leans on names inside uvicorn that are not a public interface: this fails where their shape has changed."""

import inspect
import re
from importlib.metadata import version

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server, ServerState

from upcall.controller.exchange import Exchange


async def a_protocol() -> HttpToolsProtocol:
    config = Config(lambda scope, receive, send: None, lifespan="off", log_config=None)
    return HttpToolsProtocol(config, ServerState(), {})


def test_the_version_is_the_one_that_was_read() -> None:
    assert version("uvicorn") == "0.54.0"


def test_the_protocol_has_the_methods_that_are_overridden_or_called() -> None:
    expected = {
        "connection_made": ["self", "transport"],
        "data_received": ["self", "data"],
        "on_message_begin": ["self"],
        "on_url": ["self", "url"],
        "on_header": ["self", "name", "value"],
        "on_headers_complete": ["self"],
        "on_body": ["self", "body"],
        "on_message_complete": ["self"],
        "on_response_complete": ["self"],
        "shutdown": ["self"],
        "resume_writing": ["self"],
        "_start_asgi_task": ["self", "cycle", "app"],
        "__init__": ["self", "config", "server_state", "app_state", "_loop"],
    }
    for name, parameters in expected.items():
        assert list(inspect.signature(getattr(HttpToolsProtocol, name)).parameters) == parameters, name


async def test_the_protocol_has_the_members_that_are_used() -> None:
    protocol = await a_protocol()
    for name in ("app", "parser", "transport", "flow", "pipeline", "cycle", "scope", "headers", "connections"):
        assert hasattr(protocol, name), name
    assert protocol.cycle is None
    assert len(protocol.pipeline) == 0
    for name in ("should_keep_alive", "should_upgrade", "get_method", "get_http_version"):
        assert hasattr(protocol.parser, name), name


def test_the_protocol_uses_nothing_of_its_cycle_but_what_an_exchange_has() -> None:
    used = set(re.findall(r"self\.cycle\.(\w+)", inspect.getsource(HttpToolsProtocol)))
    in_asgi_only = {"body", "more_body"}  # on_body and on_message_complete, which are not passed on for an Exchange
    assert used - in_asgi_only == {"response_complete", "disconnected", "message_event", "keep_alive"}
    assert all(hasattr(Exchange, name) for name in used - in_asgi_only)


def test_a_cycle_has_what_is_set_from_outside() -> None:
    source = inspect.getsource(RequestResponseCycle)
    for name in ("response_complete", "disconnected", "message_event", "keep_alive", "response_started"):
        assert f"self.{name}" in source, name
    assert "self.on_response()" in source


def test_the_server_can_be_started_and_stopped_in_parts() -> None:
    assert list(inspect.signature(Server.startup).parameters) == ["self", "sockets"]
    assert list(inspect.signature(Server.shutdown).parameters) == ["self", "sockets"]
    assert list(inspect.signature(Server.on_tick).parameters) == ["self", "counter"]
    assert set(vars(ServerState())) == {"total_requests", "connections", "tasks", "default_headers"}
    assert STATUS_LINE[202] == b"HTTP/1.1 202 Accepted\r\n"
