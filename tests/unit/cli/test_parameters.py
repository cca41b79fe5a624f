"""Values of the command line: JSON where they are JSON, text where they are not."""

from pathlib import Path

import pytest

from upcall.cli.parameters import key_values, merged, value
from upcall.cli.refusal import Refused


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("5", 5),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ('"5"', "5"),
        ('{"a": [1]}', {"a": [1]}),
        (" 7 ", 7),
        ("Ada", "Ada"),
        ("", ""),
        ("007", "007"),
        ("True", "True"),
        ("{a: 1}", "{a: 1}"),
        ("NaN", "NaN"),
        ("[Infinity]", "[Infinity]"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
        ("[" * 100_000, "[" * 100_000),
        ("12345678901234567890", 12345678901234567890),
    ],
)
def test_values(text: str, held: object) -> None:
    found = value(text)
    assert found == held
    assert type(found) is type(held)


def test_the_command_line_wins_over_files_and_later_over_earlier(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text('{"a": 1, "b": 1, "c": 1}')
    second.write_text('{"b": 2, "c": 2}')
    held = merged((("c", "3"), ("d", "3"), ("d", "4")), (str(first), str(second)))
    assert held == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert key_values({"a": 1}) == [{"key": "a", "value": 1}]


@pytest.mark.parametrize(
    ("text", "says"),
    [("[1]", "is not one JSON object"), ("{", "is no JSON"), ('{"a": NaN}', "is no JSON"), ("\xff", "is no JSON")],
)
def test_files_that_hold_no_object(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(Refused, match=says):
        merged((), (str(path),))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read: No such file"):
        merged((), (str(tmp_path / "nothing"),))
