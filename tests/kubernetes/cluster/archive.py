"""Image archives without an engine: what `docker save` would write of one layer."""

import hashlib
import io
import json
import os
import platform
import shutil
import tarfile
import tempfile
from itertools import islice
from pathlib import Path
from typing import IO

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MEMBERS = 500
"""Of which an archive's index is one: it has few, a root file system thousands."""
INDEXES = {"manifest.json", "index.json", "oci-layout"}


def write(name: str, source: Path, sink: IO[bytes], entrypoint: list[str] | None = None) -> None:
    """An image of this name, of a root file system (a folder, or a tar) or a static program; an archive as it is."""
    if source.is_file() and _ready(source):
        with source.open("rb") as archive:
            shutil.copyfileobj(archive, sink, 1 << 20)
        return
    with tempfile.TemporaryFile() as layer:
        _layer(source, layer)
        layer.seek(0)
        digest = hashlib.file_digest(layer, "sha256").hexdigest()
        config = {
            "architecture": MACHINES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Env": [PATH], "WorkingDir": "/", **({"Entrypoint": entrypoint} if entrypoint else {})},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
        index = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
        with tarfile.open(fileobj=sink, mode="w|") as tar:
            for inner, content in (("manifest.json", index), ("config.json", config)):
                data = json.dumps(content).encode()
                _add(tar, inner, len(data), io.BytesIO(data))
            _add(tar, "layer.tar", layer.seek(0, os.SEEK_END), layer)


def _ready(source: Path) -> bool:
    """It is an archive of images."""
    if not tarfile.is_tarfile(source):
        return False
    with tarfile.open(source) as tar:
        return any(member.name.removeprefix("./") in INDEXES for member in islice(tar, MEMBERS))


def _layer(source: Path, layer: IO[bytes]) -> None:
    if source.is_file() and tarfile.is_tarfile(source):
        with source.open("rb") as tar:
            shutil.copyfileobj(tar, layer, 1 << 20)
        return
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as packed:
        for each in sorted(source.iterdir()) if source.is_dir() else [source]:
            packed.add(each, arcname=each.name)


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    content.seek(0)
    tar.addfile(entry, content)
