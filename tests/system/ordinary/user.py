"""An ordinary user for tests, and tests run again as this user.

The checkout is bound to a place that others may reach, wherever it lies, in a mount namespace of the run's own. The
files of tests are spread over several files here, so that several workers have them.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = os.geteuid() == 0
USER = 54_321
REPOSITORY = Path(__file__).parents[3]
AS_USER = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"]
as_root = pytest.mark.skipif(not ROOT, reason="only root has these means")

USABLE = "import os, sys, ssl; sys.exit(not os.access(sys.executable, os.X_OK))"
BOUND = 'set -e; mount --bind "$1" "$2"; {mounts}; cd "$2"; shift 2; exec "$@"'


def user_python() -> str | None:
    """An interpreter of our version that an ordinary user may execute."""
    name = f"python3.{sys.version_info.minor}"
    for path in (f"{sys.base_prefix}/bin/{name}", f"/usr/local/bin/{name}", f"/usr/bin/{name}"):
        command = [*AS_USER, path, "-c", USABLE]
        if Path(path).exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return path
    return None


def holds(folder: Path, *words: str, mounts: list[list[str]] | None = None, **variables: str) -> None:
    """pytest with these words, files and options, succeeds as an ordinary user with some of it passed. `mounts` are
    more things that are bound to places, for it alone."""
    python = user_python()
    if python is None:
        reason = f"no Python 3.{sys.version_info.minor} that an ordinary user may execute: apt-get install python3"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    folder.chmod(0o755)
    place = folder / "checkout"
    place.mkdir()
    binds = "; ".join(shlex.join(["mount", "--bind", *pair]) for pair in mounts or []) or ":"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", BOUND.format(mounts=binds), "sh"]
    command += [str(REPOSITORY), str(place), *AS_USER, python, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *words]
    done = subprocess.run(
        command, env={**_environment(place), **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def _environment(place: Path) -> dict[str, str]:
    packages = Path(sysconfig.get_path("purelib"))
    if packages.is_relative_to(REPOSITORY):
        packages = place / packages.relative_to(REPOSITORY)
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "PYTHONPATH": f"{packages}:{place}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
