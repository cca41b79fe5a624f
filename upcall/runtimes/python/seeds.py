"""Generators of random numbers that preloaded modules have made: with a new state in each child of the zygote.

`random` takes care of its own when a process forks, and so do `secrets`, `uuid4` and OpenSSL; a generator that a module
has made for itself, and those of numpy, would go on alike in all containers. What is alike still is what a module has
computed when it was imported, and the seed of `hash()`.
"""

import gc
import random
import sys
from typing import Any


class Seeds:
    """The generators that were there when it was made."""

    def __init__(self) -> None:
        numpy = sys.modules.get("numpy.random")
        bits: Any = numpy.BitGenerator if numpy else ()
        everything = gc.get_objects()  # asked for their types: some of a library's may pretend to be another's
        self._plain: list[Any] = [each for each in everything if issubclass(type(each), random.Random)]
        self._plain.remove(random.random.__self__)  # type: ignore[attr-defined]  # the module takes care of that one
        self._bits: list[Any] = [each for each in everything if issubclass(type(each), bits)]

    def renew(self) -> None:
        """Take new seeds from the kernel."""
        for plain in self._plain:
            plain.seed()
        for bits in self._bits:
            bits.state = type(bits)().state
