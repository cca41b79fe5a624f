"""Heads of answers, blank line included, that the parser has met in one piece with a body that was all the rest: so the
body's length is what the head says, and nothing else in it matters. Whoever sees such a head again, and so many bytes
behind it, has the whole answer without a parser. They are of status 200, and leave the connection open.

A runtime of ours sends the same head but for the length; one whose head has the time in it costs an entry each second.
"""

BLANK = b"\r\n\r\n"
_MOST, _LONGEST = 1024, 512
"""Heads that are kept, and their bytes; past that the table is begun anew."""

known: dict[bytes, int] = {}
"""By head, the length of the body."""


def learn(data: bytes, length: int) -> None:
    """`data` came at one go, and is a whole answer with a body of `length` bytes."""
    end = data.find(BLANK) + len(BLANK)
    if end > _LONGEST or len(data) - end != length:
        return
    if len(known) >= _MOST:
        known.clear()
    known[data[:end]] = length
