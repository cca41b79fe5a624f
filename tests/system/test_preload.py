"""Python sandboxes have loaded what their operator wants, and no random state in common."""

from pathlib import Path

import pytest

from tests.unit.containers.calls import result, spec
from upcall.containers.process import ProcessContainers
from upcall.model.preload import Preload

LOADED = """
import sys
loaded = [name for name in ("asyncio", "colorsys", "sndhdr") if name in sys.modules]
def main(args):
    return {"loaded": loaded}
"""
DRAWN = """
import random, secrets, ssl, tempfile, uuid
def main(args):
    return {
        "random": random.random(),
        "system": random.SystemRandom().random(),
        "secrets": secrets.token_hex(),
        "ssl": ssl.RAND_bytes(16).hex(),
        "uuid1": [str(uuid.uuid1()), random.getrandbits(14)],
        "uuid4": str(uuid.uuid4()),
        "tempfile": tempfile.mktemp(),
    }
"""


@pytest.mark.parametrize(
    ("preload", "loaded"),
    [
        (Preload(), ["asyncio"]),
        (Preload(modules=("colorsys",)), ["asyncio", "colorsys"]),
        (Preload(common=False, modules=("colorsys",)), ["colorsys"]),
    ],
)
async def test_the_operator_names_what_is_loaded(folder: Path, preload: Preload, loaded: list[str]) -> None:
    driver = ProcessContainers(folder, preload=preload)
    await driver.start()
    try:
        assert await result(await driver.create(spec()), LOADED) == {"loaded": loaded}
    finally:
        await driver.close()


async def test_what_cannot_be_loaded_is_told_and_the_rest_goes_on(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driver = ProcessContainers(folder, preload=Preload(modules=("upcall", "no_such", "colorsys")))
    await driver.start()
    try:
        assert await result(await driver.create(spec()), LOADED) == {"loaded": ["asyncio", "colorsys"]}
    finally:
        await driver.close()
    for name in ("upcall", "no_such"):  # what is the platform's own is not an action's
        assert f"preload: {name} is not loaded ahead: No module named '{name}'" in caplog.text


async def test_two_containers_have_no_random_numbers_in_common(driver: ProcessContainers) -> None:
    one, other = [await result(await driver.create(spec()), DRAWN) for _ in range(2)]
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] == other[name]] == []
