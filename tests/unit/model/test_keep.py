"""What `--keep` may say."""

import pytest

from upcall.model.keep import Keep, parse_keep

DAY, GB = 86400, 1024**3


@pytest.mark.parametrize(
    ("text", "age", "size"),
    [
        ("7d", 7 * DAY, None),
        ("10GB", None, 10 * GB),
        (" 7 d , 10 gb ", 7 * DAY, 10 * GB),
        ("10GB,36 hours", 1.5 * DAY, 10 * GB),
        ("1048576 B", None, 1024**2),
        ("5 m", 300, None),
        ("forever", None, None),
        ("Forever", None, None),
    ],
)
def test_age_size_both_or_neither(text: str, age: float | None, size: int | None) -> None:
    keep = parse_keep(text)
    assert (keep.age, keep.size) == (age, size)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "7",
        "7000",
        "7 d,",
        "7d,8d",
        "1GB,2GB",
        "forever,7d",
        "inf",
        "0 s",
        "1 KB",
        "10 bananas",
        "-1d",
        "ten GB",
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="as in 7d"):
        parse_keep(text)


def test_the_text_is_kept_for_the_log() -> None:
    assert parse_keep(" 7d,10GB ").text == "7d,10GB"
    assert parse_keep("FOREVER") == Keep()
