"""Where a process keeps its sockets, and what it writes down for this user's tools."""

import contextlib
import hashlib
import os
from pathlib import Path

from upcall.ownership import unusable


def run_folder(data: Path) -> Path:
    """Where the sockets of this data folder's sandboxes lie: always the same, so that a later life finds what an
    earlier one left, and short, for a unix socket's path has 107 bytes."""
    user, given = os.getuid(), os.environ.get("XDG_RUNTIME_DIR", "")
    if user == 0 and os.access("/run", os.W_OK):  # not in a container whose root is read-only
        base = Path("/run/upcall")
    elif os.path.isdir(given) and os.stat(given).st_uid == user:  # `su` leaves the variable of the user before
        base = Path(given) / "upcall"
    else:
        base = Path(f"/tmp/upcall-{user}")  # noqa: S108 - the driver looks whose it is
    return base / hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]


def docker_folder(data: Path) -> Path:
    """Beside it, what Docker's containers have of this host. In a container whose root is read-only: in the data
    folder, which may be a volume that the engine finds by the same path."""
    if os.getuid() == 0 and not os.access("/run", os.W_OK):
        return data / "docker"
    beside = run_folder(data)
    return beside.with_name(f"{beside.name}-docker")


def remove(run: Path) -> None:
    """Nobody else uses it while the data folder is ours."""
    with contextlib.suppress(OSError):
        (run / "lock").unlink(missing_ok=True)
        run.rmdir()


def write_properties(data: Path, url: str, auth: str | None = None) -> None:
    """`.wskprops` of the data folder, for OpenWhisk's own tools and the operator's; readable by this user alone."""
    path, fresh = data / ".wskprops", data / ".wskprops.new"
    key = f"AUTH={auth}\n" if auth else ""
    text = f"APIHOST={url}\n{key}NAMESPACE=_\nAPIVERSION=v1\n"
    try:
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        raise unusable(data, error) from error
