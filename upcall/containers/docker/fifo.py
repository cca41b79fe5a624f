"""Two FIFOs of the host that are a container's stdout and stderr.

They are held open for reading and writing: so the container's shell need not wait for a reader, its last writer's end
is no end of the file, and whoever opens `/dev/stdout` anew finds the same FIFO. Any user inside may open them; on the
host only the folder's owner gets that far. They are read all the time, also while nobody waits for the lines, so that
no container stands still before a full pipe.
"""

import os
import stat
from pathlib import Path

from upcall.logs.pipes import widen
from upcall.logs.streams import STREAMS, Stream

_ALL_WRITE = stat.S_IRUSR | stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class Fifos:
    """Made in a folder of their own, which must not exist. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: dict[Stream, str] = {name: str(folder / name) for name in STREAMS}
        self.readers: dict[int, Stream] = {}
        """Descriptors; whoever reads closes them."""
        folder.mkdir(mode=0o700)
        try:
            for name, path in self.paths.items():
                os.mkfifo(path)
                os.chmod(path, _ALL_WRITE)  # mkfifo obeys the umask
                fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                self.readers[fd] = name
                widen(fd)
        except OSError:
            for fd in self.readers:
                os.close(fd)
            self.remove()
            raise

    def remove(self) -> None:
        """From the host; what has them open goes on."""
        remove(self.folder)


def remove(folder: Path) -> None:
    """A folder of FIFOs, or what is left of it."""
    for name in STREAMS:
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir():
        folder.rmdir()


def sweep(folder: Path) -> None:
    """Make a private folder for the folders of FIFOs, which are named by numbers; those of an earlier life go."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for left in folder.iterdir():
        if left.name.isdecimal():
            remove(left)
