"""Packages that single settings need and a plain installation does not bring."""

import shlex
import sys

from upcall.errors import Misconfigured


def missing(setting: str, package: str) -> Misconfigured:
    """With the line that installs it where this process looks. It names the package itself: an extra of ours would be
    looked for under our name at the registry."""
    return Misconfigured(
        f"{setting} needs the package {package}: {shlex.quote(sys.executable)} -m pip install {package}"
    )
