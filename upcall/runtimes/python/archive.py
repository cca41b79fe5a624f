"""The zip that code may come in: unpacked with its executable bits and links, or refused, never repaired.

Refused is what would fill the folder (what the entries say of their sizes is checked before, and reading stops there),
and what climbs out of it: by its path, or as a link. Files are written before any link is made, so that none is written
through one; where links lead is looked at when all of them exist.

A file is as old as the zip says in seconds of UTC, as Info-ZIP's `zip` does: bytecode that comes along counts only for
the source of that very time. What other programs say is an hour of nobody knows where, to two seconds, and is left out.
"""

import binascii
import io
import os
import stat
import struct
from typing import TYPE_CHECKING

from .protocol import Refused

if TYPE_CHECKING:
    import zipfile  # 10 ms of a container's start, for code that mostly is text

_MAX_ENTRIES = 50_000
_TIMES, _MODIFIED = 0x5455, 1
"""Extra field of an entry, and its bit for the time of modification."""


def decoded(code: str) -> bytes:
    """What the base64 stands for. Raises Refused."""
    try:
        return binascii.a2b_base64(code)  # `base64.b64decode` would copy the text first
    except ValueError as error:
        raise Refused(502, f"The action's code is not base64: {error}") from error


def unpack(data: bytes, folder: str) -> None:
    """Extract a zip into `folder`, which is made where it is missing. Raises Refused."""
    import zipfile

    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception as error:  # broken archives raise whatever their parts do
        raise Refused(502, f"The action's code is not a zip file in base64: {error}") from error
    os.makedirs(folder, exist_ok=True)
    with archive:
        entries = archive.infolist()
        _check_size(entries, folder)
        for entry in entries:
            _check_path(entry.filename, folder)
        try:
            _extract(archive, entries, folder)
        except Refused:
            raise
        except Exception as error:  # broken archives raise whatever their decompressors do
            raise Refused(502, f"The action's zip file cannot be unpacked: {error}") from error


def _check_size(entries: "list[zipfile.ZipInfo]", folder: str) -> None:
    space = os.statvfs(folder)
    free = space.f_bavail * space.f_frsize
    if len(entries) > _MAX_ENTRIES or sum(entry.file_size for entry in entries) > free:
        raise Refused(
            502,
            f"The action's zip file is too large: it would unpack to more than {free} bytes or {_MAX_ENTRIES} files.",
        )


def _check_path(name: str, folder: str) -> None:
    target = os.path.normpath(os.path.join(folder, name))
    if os.path.isabs(name) or not _inside(target, folder):
        raise Refused(502, f"The action's zip file holds a path outside of it: {name}")


def _inside(path: str, folder: str) -> bool:
    return (path + os.sep).startswith(folder + os.sep)


def _extract(archive: "zipfile.ZipFile", entries: "list[zipfile.ZipInfo]", folder: str) -> None:
    links = []
    for entry in entries:
        mode = entry.external_attr >> 16
        if stat.S_ISLNK(mode):
            links.append(entry)
            continue
        path = archive.extract(entry, folder)
        if mode & 0o100:
            os.chmod(path, 0o755)  # noqa: S103
        if (time := _modified(entry.extra)) is not None:
            os.utime(path, (time, time))
    for link in links:
        path = os.path.join(folder, os.path.normpath(link.filename))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(os.fsdecode(archive.read(link)), path)
    root = os.path.realpath(folder)
    for link in links:
        path = os.path.join(folder, os.path.normpath(link.filename))
        if not _inside(os.path.realpath(path), root):
            raise Refused(502, f"The action's zip file holds a link that leads out of it: {link.filename}")


def _modified(extra: bytes) -> int | None:
    while len(extra) >= 9:
        field, length, flags, time = struct.unpack_from("<HHBi", extra)
        if field == _TIMES and length >= 5 and flags & _MODIFIED:
            return int(time)
        extra = extra[4 + length :]
    return None
