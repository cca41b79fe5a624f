"""How many bytes Docker would have written for a line: a JSON object with text, stream and time, and a newline.

Its encoder writes some characters as `\\u` and four digits: what is below a blank, the three that mean something in
HTML, two that end a line in JavaScript, and each byte that is no UTF-8.
"""

_ENVELOPE = len('{"log":"","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}\n')
_NEWLINE = len("\\n")
_PAIRS = b'"\\\r'
"""Written with a backslash."""
_LONG = bytes(number for number in range(0x20) if number not in b"\r\n") + b"<>&"
_SEPARATORS = ("\u2028".encode(), "\u2029".encode())


def written(line: bytes, text: str, newline: bool) -> int:
    """For `line`, which is `text`; `newline` is whether one follows."""
    size = _ENVELOPE + len(line)
    if len(line.translate(None, _PAIRS + _LONG)) != len(line):
        size += len(line) - len(line.translate(None, _PAIRS))
        size += 5 * (len(line) - len(line.translate(None, _LONG)))
    if not line.isascii():
        size += sum(3 * line.count(separator) for separator in _SEPARATORS)
        if "\ufffd" in text:
            size += 5 * (len(line) - len(line.decode("utf-8", "ignore").encode()))
    return size + _NEWLINE if newline else size
