"""The size of a line as Docker writes it; `tests/docker/test_logs.py` compares it with an engine's own file."""

import pytest

from upcall.logs.size import written

EMPTY = len('{"log":"","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}\n')


@pytest.mark.parametrize(
    ("line", "more"),
    [
        (b"plain", 5),
        (b"\x7f", 1),
        (b'"\\\r', 6),
        (b"\t\0\x1f", 18),
        (b"<&>", 18),
        ("é☃💡".encode(), 9),
        ("\u2028\u2029".encode(), 12),
        (b"\xff\xfe", 12),
        (b"\xe2\x98 ", 13),
        ("\ufffd".encode(), 3),
        ("\ufffd".encode() + b"\xff", 9),
    ],
)
def test_characters_are_as_long_as_docker_writes_them(line: bytes, more: int) -> None:
    text = line.decode("utf-8", "replace")
    assert written(line, text, newline=False) == EMPTY + more
    assert written(line, text, newline=True) == EMPTY + more + 2
