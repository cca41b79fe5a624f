"""How the modules are written that Python sandboxes have loaded: `numpy,yaml` are had besides the common ones,
`none,yaml` instead of them."""

import keyword
from typing import NamedTuple

NOTHING = "none"


class Preload(NamedTuple):
    """`common`: whether the common ones are loaded, too."""

    common: bool = True
    modules: tuple[str, ...] = ()


def parse_preload(text: str) -> Preload:
    """Raises ValueError."""
    names = text.replace(",", " ").split()
    modules = tuple(dict.fromkeys(name for name in names if name != NOTHING))
    for name in modules:
        if not all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")):
            raise ValueError(f"'{name}' is no name of a Python module, as xml.dom is one")
    return Preload(NOTHING not in names, modules)
