"""Images that a hostile tenant makes: of the server of odd ways (`images/server.py`), with a configuration or a shell
of its own."""

from typing import Any

from tests.docker.built import built
from tests.system.engine import Engine

_SHELL = """FROM odd/server:1
COPY sh /x
RUN ["/usr/bin/python3", "-c", "import os; os.rename('/x', '/bin/sh')"]
"""


def configured(engine: Engine, name: str, *lines: str) -> str:
    """With these lines of a Dockerfile; its name."""
    return built(engine, f"evil/{name}:1", "\n".join(("FROM odd/server:1", *lines)))


def shelled(engine: Engine, name: str, code: str) -> str:
    """Whose shell is this Python."""
    return built(engine, f"evil/{name}:1", _SHELL, {"sh": f"#!/usr/bin/python3\n{code}\n".encode()})


def committed(engine: Engine, name: str, config: dict[str, Any]) -> str:
    """With a configuration that no Dockerfile could have."""
    made = engine.call("POST", "/containers/create", {"Image": "odd/server:1"})
    try:
        engine.call("POST", "/commit", config, container=made["Id"], repo=f"evil/{name}", tag="1")
    finally:
        engine.call("DELETE", f"/containers/{made['Id']}")
    return f"evil/{name}:1"
