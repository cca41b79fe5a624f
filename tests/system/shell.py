"""A user at the command line: `upcall` as a process, in a home folder of its own and with a bare environment."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.system.serving import Platform


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Shell:
    """`home` is where files are looked for and where commands run."""

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        self.environment = {**kept, "HOME": str(home), **variables}

    @classmethod
    def of(cls, platform: Platform, home: Path) -> "Shell":
        """A shell on the platform's machine: nothing but the data folder says where the server is."""
        return cls(home, UPCALL_DATA=str(platform.data))

    def upcall(self, *words: str, **variables: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "upcall", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            env={**self.environment, **variables},
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def good(self, *words: str, **variables: str) -> Done:
        """The same, and it has to succeed in silence on stderr."""
        done = self.upcall(*words, **variables)
        assert (done.code, done.err) == (0, ""), done
        return done

    def write(self, name: str, text: str | bytes) -> str:
        """A file in the home folder; its name."""
        (self.home / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name
