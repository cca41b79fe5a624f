"""The operator's credentials, kept in the data folder for this user's tools."""

import os
import secrets
from pathlib import Path

from upcall.ownership import private_file, unusable
from upcall.places import operator_file

KEY_BYTES = 32


def operator_credentials(data: Path, username: str, password: str | None) -> str:
    """`USER:PASSWORD`, which are then in the data folder, for this user alone; where no password is given the one of an
    earlier life, or a new one. Raises Misconfigured where they cannot be kept."""
    path = operator_file(data)
    try:
        with os.fdopen(private_file(path), "r+") as file:
            known = file.read().strip().partition(":")[2]
            credentials = f"{username}:{password or known or secrets.token_urlsafe(KEY_BYTES)}"
            file.seek(0)
            file.truncate()
            file.write(f"{credentials}\n")
    except (OSError, UnicodeDecodeError) as error:
        raise unusable(data, f"{path.name}: {error}") from error
    return credentials
