"""Escaped halves of surrogate pairs in JSON: `JSON.stringify` writes such, no UTF-8 text can hold them, and our reader
refuses them where upstream's does not. They become U+FFFD, once reading has failed."""

import re

_ESCAPES = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u[dD][89a-fA-F]..|\\.", re.DOTALL)
_HALF = re.compile(rb"\\u[dD]...\Z")


def mend(body: bytes) -> bytes:
    """The same JSON without halves of pairs; equal to what was given where there are none."""
    return _ESCAPES.sub(_whole, body) if b"\\ud" in body or b"\\uD" in body else body


def _whole(escape: re.Match[bytes]) -> bytes:
    """Keeps an escape, pairs of surrogates included."""
    text = escape[0]
    return b"\\ufffd" if len(text) == 6 and _HALF.match(text) else text
