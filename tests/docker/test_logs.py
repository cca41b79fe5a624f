"""What a container prints, through FIFOs and through the engine's stream (spec: logs.md)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.docker.printing import ENDS, Boxes, boxes
from tests.system.engine import Engine


@pytest.fixture(params=["fifo", "stream"])
async def made(inside: Engine, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Boxes]:
    async with boxes(inside, tmp_path, request.param) as found:
        yield found


async def test_lines_of_both_streams_are_the_activations(made: Boxes) -> None:
    box = await made.make()
    for number in range(3):
        await box.run(f"print('out', {number}); print('err', {number}, file=sys.stderr); {ENDS}")
        assert sorted(await box.texts()) == [f"stderr: err {number}", f"stdout: out {number}"]
    assert made.tries == 1
