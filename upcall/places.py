"""Where this user's data lie when nothing else is said. Imports nothing heavy: the command line looks here too."""

import os
from pathlib import Path

DATABASE = "upcall.db"
GUEST = "guest"
"""The subject that a platform has from its first start."""


def default_data() -> Path:
    """`$XDG_DATA_HOME/upcall`."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "upcall"


def operator_file(data: Path) -> Path:
    """The operator's credentials, `USER:PASSWORD`, for the platform that a data folder belongs to."""
    return data / ".operator"


def properties_file(data: Path) -> Path:
    """Address and key of the platform that a data folder belongs to, in the form of `~/.wskprops`."""
    return data / ".wskprops"
