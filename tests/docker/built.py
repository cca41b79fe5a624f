"""Images of tests' own, built on an engine without a registry."""

import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.system.engine import Engine

UPSTREAM = Path(__file__).parent / "upstream"
"""Stand-ins for upstream's proxies."""


def built(engine: Engine, name: str, dockerfile: str, files: Mapping[str, bytes | Path] | None = None) -> str:
    """The name. Where the file has no tag it is `latest`; `files` are the context's, by their names there."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path, content in {"Dockerfile": dockerfile.encode(), **(files or {})}.items():
            found = content.read_bytes() if isinstance(content, Path) else content
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(found), 0o755
            tar.addfile(entry, io.BytesIO(found))
    engine.build(data.getvalue(), name)
    return name


def proxies() -> dict[str, Path]:
    """As a context."""
    return {os.fspath(path.relative_to(UPSTREAM)): path for path in UPSTREAM.glob("*.[jp][sy]")}
