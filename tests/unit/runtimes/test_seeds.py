"""Generators that were there before a fork go their own ways after it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[3]
FORKS = """
import gc, json, os, sys
sys.path[:0] = sys.argv[1:]
import random, mine, numpy.random
from upcall.runtimes.python.seeds import Seeds
seeds = Seeds()
gc.freeze()
for _ in range(2):
    reader, writer = os.pipe()
    if not os.fork():
        seeds.renew()
        drawn = [random.random(), mine.dice.random(), mine.cards.random(), numpy.random.global_.state]
        os.write(writer, json.dumps(drawn).encode())
        os._exit(0)
    os.wait()
    print(os.read(reader, 4096).decode())
"""
MINE = "import random\nclass Cards(random.Random): pass\ndice, cards = random.Random(1), Cards(2)\n"
NUMPY = """
import os
class BitGenerator:
    def __init__(self):
        self.state = os.urandom(8).hex()
class PCG64(BitGenerator): pass
global_ = PCG64()
"""
"""What is asked of numpy, which is too much to install for this."""


def test_children_of_one_process_draw_different_numbers(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("")
    (tmp_path / "numpy" / "random.py").write_text(NUMPY)
    argv = [sys.executable, "-I", "-c", FORKS, str(REPOSITORY), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    drawn: list[tuple[Any, Any]] = list(zip(first, second, strict=True))
    assert len(drawn) == 4
    assert all(one != other for one, other in drawn), drawn
