"""Sizes and durations as people write them (spec: invoker.md §2.1, bus.md §1)."""

import pytest

from upcall.model.sizes import bytes_text, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256 m", 256 * 1024**2),
        ("256m", 256 * 1024**2),
        ("256 MB", 256 * 1024**2),
        ("16 k", 16384),
        ("1g", 1024**3),
        ("1024K", 1024**2),
        ("512 B", 512),
        ("77", 77),
        (" 1 GiB ", 1024**3),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "m", "1.5 m", "-1 m", "1 t", "1 m m"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


def test_sizes_are_written_in_bytes() -> None:
    assert bytes_text(1048576) == "1048576 B"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10 minutes", 600.0),
        ("10 minute", 600.0),
        ("10m", 600.0),
        ("500 ms", 0.5),
        ("500 milliseconds", 0.5),
        ("30s", 30.0),
        ("2 h", 7200.0),
        ("Inf", float("inf")),
        ("1500", 1.5),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3 s", "3 fortnights"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)
