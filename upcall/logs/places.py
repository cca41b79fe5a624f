"""Where the logs of activations go (spec: logs.md §6)."""

import msgspec

from upcall.logs.files import LogFiles


class Place(msgspec.Struct, frozen=True):
    """`collected`: into their records; else somebody else takes what actions print, and nobody waits for it. `files`
    have them, too."""

    collected: bool = True
    files: LogFiles | None = None
