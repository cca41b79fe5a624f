"""Actions find what the host's Python has installed."""

import json
import os
import subprocess

from tests.unit.containers.calls import result, spec
from upcall.containers.process import ProcessContainers
from upcall.containers.sandbox.launch import interpreter

PLACES = """
import sys
def main(args):
    return {"path": sys.path}
"""


async def test_what_the_host_has_installed_for_its_python_is_found(driver: ProcessContainers) -> None:
    """Also what the distribution's packages bring: those of Debian have a folder of their own."""
    ask = "import json, site; print(json.dumps(site.getsitepackages()))"
    told = subprocess.check_output([interpreter(), "-I", "-c", ask])
    there = {path for path in json.loads(told) if os.path.isdir(path)}
    assert there
    found = await result(await driver.create(spec()), PLACES)
    assert there <= set(found["path"])
