"""Images that a hostile tenant makes: of the server of odd ways (`images/server.py`), with a configuration or a shell
of its own."""

import io
import tarfile
from typing import Any

from tests.system.engine import Engine

_SHELL = """FROM odd/server:1
COPY sh /x
RUN ["/usr/bin/python3", "-c", "import os; os.rename('/x', '/bin/sh')"]
"""


def configured(engine: Engine, name: str, *lines: str) -> str:
    """With these lines of a Dockerfile; its name."""
    return _built(engine, name, "\n".join(("FROM odd/server:1", *lines)))


def shelled(engine: Engine, name: str, code: str) -> str:
    """Whose shell is this Python."""
    return _built(engine, name, _SHELL, sh=f"#!/usr/bin/python3\n{code}\n")


def committed(engine: Engine, name: str, config: dict[str, Any]) -> str:
    """With a configuration that no Dockerfile could have."""
    made = engine.call("POST", "/containers/create", {"Image": "odd/server:1"})
    try:
        engine.call("POST", "/commit", config, container=made["Id"], repo=f"evil/{name}", tag="1")
    finally:
        engine.call("DELETE", f"/containers/{made['Id']}")
    return f"evil/{name}:1"


def _built(engine: Engine, name: str, dockerfile: str, **files: str) -> str:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path, text in {"Dockerfile": dockerfile, **files}.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text.encode()), 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    engine.build(data.getvalue(), f"evil/{name}:1")
    return f"evil/{name}:1"
