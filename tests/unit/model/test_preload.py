"""How modules for Python sandboxes are named."""

import pytest

from upcall.model.preload import Preload, parse_preload


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", Preload()),
        ("numpy", Preload(True, ("numpy",))),
        ("numpy, xml.dom  numpy", Preload(True, ("numpy", "xml.dom"))),
        ("none", Preload(False)),
        ("none,yaml", Preload(False, ("yaml",))),
    ],
)
def test_modules_are_had_besides_the_common_ones_or_instead_of_them(text: str, meant: Preload) -> None:
    assert parse_preload(text) == meant


@pytest.mark.parametrize("text", ["a-b", "../x", "xml.", ".x", "a..b", "import", "a;b", "x/y"])
def test_what_is_no_module_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no name of a Python module"):
        parse_preload(text)
